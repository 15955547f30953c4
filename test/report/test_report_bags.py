"""What a report takes from a bag: events, people, times."""

from __future__ import annotations

import json

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data import cdr
from robot_rl.data.bag import bag_transitions, BagWriter, read_info
from robot_rl.data.step_bag import step_bytes
from robot_rl.data.steps import EVENTS_TYPE, Mode, Source, Status, Step, STEPS_TYPE
from robot_rl.report.bags import Details, quantiles, read_details, with_late_ends

REACH = load_contract('reach')
STEPS, EVENTS, SAFETY = '/policy_server/steps', '/policy_server/events', '/safety_stop/events'
WALL = 1_700_000_000 * 10 ** 9     # ns
TICK = 50_000_000                  # ns


def event(stamp: int, node: str, kind: str, **values: str) -> bytes:
    new = cdr.new
    status = new('diagnostic_msgs/msg/DiagnosticStatus', level=1, name=node, message=kind,
                 hardware_id='', values=[new('diagnostic_msgs/msg/KeyValue', key=key, value=value)
                                         for key, value in values.items()])
    header = new('std_msgs/msg/Header', frame_id='', stamp=new(
        'builtin_interfaces/msg/Time', sec=stamp // 10 ** 9, nanosec=stamp % 10 ** 9))
    return cdr.encode(EVENTS_TYPE, new(EVENTS_TYPE, header=header, status=[status]))


def write_bag(folder, sources: list[Source], events=(), start: int = 0, episode: int = 7,
              late: int = 0) -> Details:
    """Write one episode, one action per source; return its details.

    `start` is the stamp of the first observation, `late` ns pass from each one to its record.
    `events` are (topic, bytes).
    """
    told = {'interface': json.dumps(REACH.interface), 'steps_topic': STEPS, 'outcome': 'failure'}
    writer = BagWriter(folder, told)
    topics = {name: writer.add_topic(name, kind) for name, kind in (
        (STEPS, STEPS_TYPE), (EVENTS, EVENTS_TYPE), (SAFETY, EVENTS_TYPE))}
    count = len(sources)
    for index in range(count + 1):
        step = Step(start + TICK * index, episode, index,
                    Status.TRUNCATED if index == count else Status.RUNNING,
                    sources[index] if index < count else Source.POLICY, Mode.LEARN, 0, False,
                    np.zeros(6), np.zeros(2), np.zeros(2))
        published = max(start, WALL) + TICK * index + late * (index + 1)
        writer.write(topics[STEPS], step_bytes(step), step.stamp, published)
    for topic, data in events:
        writer.write(topics[topic], data, start, WALL)
    writer.close(told)
    return read_details(read_info(folder), bag_transitions(folder, REACH), REACH)


P, H = Source.POLICY, Source.HUMAN


def test_what_people_did_is_counted_in_actions_and_in_stretches(tmp_path):
    found = write_bag(tmp_path / 'a', [H, P, H, H, P, P, H])
    assert (found.actions, found.human, found.stretches) == (7, 4, 3)
    assert write_bag(tmp_path / 'b', [P, P]).stretches == 0


def test_the_return_is_the_sum_of_the_rewards_and_features_are_those_of_the_task(tmp_path):
    found = write_bag(tmp_path / 'a', [P] * 3)
    transitions = bag_transitions(tmp_path / 'a', REACH)
    assert found.reward == float(transitions.reward.sum()) != 0.0
    assert found.features.shape[0] == 3


def test_the_end_is_that_of_the_episode_itself(tmp_path):
    ends = [(EVENTS, event(1, 'policy_server', 'end', episode='6', reason='horizon')),
            (EVENTS, event(2, 'policy_server', 'end', episode='7', reason='e_stop_pressed')),
            (EVENTS, event(3, 'policy_server', 'start', episode='8'))]
    assert write_bag(tmp_path / 'a', [P], ends).ended == 'e_stop_pressed'
    assert write_bag(tmp_path / 'b', [P], ends, episode=9).ended == ''


def test_an_end_that_came_after_the_next_episode_had_begun_is_found_in_its_bag(tmp_path):
    late = (EVENTS, event(1, 'policy_server', 'end', episode='7', reason='horizon'))
    own = (EVENTS, event(2, 'policy_server', 'end', episode='8', reason='success'))
    found = [write_bag(tmp_path / '7', [P]),
             write_bag(tmp_path / '8', [P], [late, own], episode=8),
             write_bag(tmp_path / '9', [P], episode=9)]
    assert [details.ended for details in with_late_ends(found)] == ['horizon', 'success', '']
    assert [details.ended for details in with_late_ends(found[:1])] == ['']
    assert with_late_ends([]) == []


def test_latency_is_from_the_observation_to_its_record_on_a_real_clock(tmp_path):
    found = write_bag(tmp_path / 'a', [P, P], start=WALL, late=4_000_000)
    assert found.latency == pytest.approx([0.004, 0.008, 0.012])
    assert found.intervals == pytest.approx([0.054, 0.054])
    assert quantiles([found, found], 'latency') == {'count': 6, 'p50': 8.0, 'p99': 12.0,
                                                    'max': 12.0}


def test_a_simulated_clock_tells_no_latency(tmp_path):
    found = write_bag(tmp_path / 'a', [P, P])
    assert len(found.latency) == 0 and len(found.intervals) == 2
    assert quantiles([found], 'latency') is None


def test_garbage_among_the_events_is_passed_over_and_texts_are_cut(tmp_path):
    found = write_bag(tmp_path / 'a', [P], [
        (EVENTS, b'garbage'), (EVENTS, event(1, 'x' * 999, 'stop', reason='y' * 999)),
        (EVENTS, event(1, 'policy_server', 'stop'))])
    [(_, node, reason)] = found.stops
    assert (len(node), len(reason)) == (80, 240)
