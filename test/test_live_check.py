"""What is said of a graph that was seen; the listening itself is tested in ros/."""

from __future__ import annotations

from dataclasses import replace

import pytest
from robot_rl.contract import load_contract
from robot_rl.live_check import Arrivals, Endpoint, judge, LiveGraph, Topic, topic_keys
from robot_rl.paths import contract_path

LEADER = ('safety: {intervention: {topic: leader, type: sensor_msgs/msg/JointState, '
          'joints: position, timeout: 0.2}}\nreward:')


@pytest.fixture
def contract(tmp_path):
    path = tmp_path / 'contract.yaml'
    path.write_text(contract_path('reach').read_text().replace('reward:', LEADER, 1))
    return load_contract(path)


def graph(contract) -> LiveGraph:
    """Return a graph in which all is well, and nobody takes over."""
    came = Arrivals(100, rate=50.0, gap=0.03, delay=0.001, oldest=0.03)
    topics = {}
    for key, entry in topic_keys(contract).items():
        end = Endpoint('/robot', entry.type),
        topics[key] = (Topic((), end) if key == 'action' else
                       Topic(end, (), Arrivals() if key == 'safety.intervention' else came))
    return LiveGraph(5.0, topics, reset=('std_srvs/srv/Trigger',))


def said(contract, key: str = '', clock=(), **changed) -> list[tuple[str, str]]:
    """Return all findings when one topic is changed."""
    seen = graph(contract)
    topics = dict(seen.topics)
    if key:
        topics[key] = replace(topics[key], **changed)
    return [finding for line in judge(contract, replace(seen, topics=topics, clock=clock))
            for finding in line.findings]


def test_nothing_is_said_where_all_is_well_and_nobody_takes_over(contract):
    assert said(contract) == []
    assert [line.verdict for line in judge(contract, graph(contract))] == ['ok'] * 6


def test_our_own_nodes_may_command_and_listen(contract):
    ours = tuple(Endpoint(f'/cell/{name}', 'x') for name in ('policy_server', 'safety_stop'))
    assert said(contract, 'action', publishers=ours) == []


@pytest.mark.parametrize('others', [('/policy_server',), ('/a/policy_server',
                                                          '/b/policy_server')])
def test_several_policy_servers_are_named(contract, others):
    servers = tuple(Endpoint(name, 'x') for name in ('/policy_server', *others))
    assert said(contract, 'action', publishers=servers) == [(
        'wrong', f'{len(servers)} policy servers command it: '
        + ', '.join(sorted(('/policy_server', *others)))
        + '; they would fight; end all but one')]


def test_a_recorder_is_no_robot(contract):
    recorder = Endpoint('/data_recorder', contract.action.type)
    (verdict, text), = said(contract, 'action', subscribers=(recorder,))
    assert verdict == 'wrong' and text.startswith('no controller listens')


def test_another_type_that_no_contract_may_name_needs_a_node_in_between(contract):
    other = Endpoint('/robot', 'control_msgs/msg/DynamicJointState')
    found = said(contract, 'observation[0]', publishers=(other,), arrivals=Arrivals())
    assert [text.rpartition('; ')[2] for _, text in found] == ['put a node in between']


def test_a_topic_that_is_silent_is_told(contract):
    (verdict, text), = said(contract, 'observation[1]', arrivals=Arrivals())
    assert verdict == 'wrong' and text.startswith('nothing came in 5 s')


def test_some_messages_that_cannot_be_read_are_a_note(contract):
    came = replace(graph(contract).topics['observation[0]'].arrivals, refused=50, reason='a hand')
    assert said(contract, 'observation[0]', arrivals=came) == [
        ('note', '50 of 150 messages could not be read: a hand')]


def test_a_header_without_a_stamp_is_a_note(contract):
    came = Arrivals(100, rate=50.0, gap=0.03, oldest=0.03, unstamped=True)
    (verdict, text), = said(contract, 'observation[1]', arrivals=came)
    assert verdict == 'note' and text.startswith('header.stamp is 0')


@pytest.mark.parametrize(('ahead', 'clock', 'verdicts'), [
    (0.03, (), []), (0.2, (), ['note']), (2.0, (), ['wrong']),
    (0.2, ('/sim',), ['note']), (2.0, ('/sim',), ['note', 'wrong'])])     # the first: simulated
def test_stamps_ahead_hide_an_age_and_further_stop_the_robot(contract, ahead, clock, verdicts):
    came = Arrivals(100, rate=50.0, gap=0.03, delay=-ahead, oldest=0.03)
    found = said(contract, 'observation[0]', clock, arrivals=came)
    assert [verdict for verdict, _ in found] == verdicts


def test_two_clocks_are_wrong_and_one_is_a_note(contract):
    assert [verdict for verdict, _ in said(contract, clock=('/a',))] == ['note']
    assert [verdict for verdict, _ in said(contract, clock=('/a', '/b'))] == ['note', 'wrong']


def test_of_several_findings_the_worst_is_the_verdict(contract):
    seen = graph(contract)
    publishers = (Endpoint('/a', contract.observations[0].type, best_effort=True),)
    topics = {**seen.topics, 'observation[0]': Topic(publishers)}
    line = judge(contract, replace(seen, topics=topics))[1]
    assert [verdict for verdict, _ in line.findings] == ['note', 'wrong']
    assert line.verdict == 'wrong'


def test_a_trajectory_controller_may_have_another_order_but_no_other_joints():
    contract = load_contract('fr3_trajectory')
    names = contract.action.layout.names
    for joints, wrong in ((names[::-1], 0), (names[:-1], 1), ((), 0)):
        end = Endpoint('/fr3_arm_controller', contract.action.type, joints=joints)
        assert len(said(contract, 'action', subscribers=(end,))) == wrong


def test_of_a_reset_that_nobody_serves_candidates_are_named_those_that_say_so_first(contract):
    served = {'/gripper/open': 'std_srvs/srv/Trigger', '/my_arm/home': 'std_srvs/srv/Empty'}
    graph_of_it = replace(graph(contract), reset=None, services=served)
    (verdict, text), = [found for line in judge(contract, graph_of_it) for found in line.findings]
    assert verdict == 'wrong' and text.endswith(
        '; there are /my_arm/home (std_srvs/srv/Empty), /gripper/open (std_srvs/srv/Trigger)')
