"""The policy files of SROS 2 against the running nodes, and what the installed middleware does.

The wheels' Fast DDS is built without DDS security, so here nothing can be enforced: what is
tested is that each enclave names all that its node has and no more, and that a node which is told
to be secure refuses to run in the clear.
"""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys
import xml.etree.ElementTree as Xml

from every_node import folders, node_class, NODES
import pytest
from robot_rl.contract import load_contract

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'config' / 'sros2'
INCLUDE = '{http://www.w3.org/2001/XInclude}include'
WORDS = {('topics', 'publish'): 'publisher', ('topics', 'subscribe'): 'subscriber',
         ('services', 'reply'): 'service', ('services', 'request'): 'client'}
# What a node has only with use_sim_time, or where tf2_msgs is installed.
SOMETIMES = {('subscriber', '/clock'), ('publisher', '/tf')}
ACTION = f'/{load_contract("puck_push").action.topic}'
POLICIES = {'/actor', '/explorers', '/sim_optimal', '/demonstrator'}


def profiles() -> dict[str, Xml.Element]:
    """Return the profile of each node, with what all of them include."""
    found = {}
    common = Xml.parse(FOLDER / 'common.xml').getroot()
    for enclave in Xml.parse(FOLDER / 'policy.xml').getroot().iter('enclave'):
        profile, = enclave.iter('profile')
        assert enclave.get('path') == f'/robot_rl/{profile.get("node")}'
        include = profile.find(INCLUDE)
        assert include.get('href') == 'common.xml'
        profile.remove(include)
        profile.extend(common)
        found[profile.get('node')] = profile
    return found


def allowed(node: str) -> set[tuple[str, str]]:
    """Return (rclpy's word, absolute name) of all that a node may do."""
    found = set()
    for part in profiles()[node]:
        (word, rule), = part.attrib.items()
        assert rule == 'ALLOW'
        for item in part:
            name = item.text.replace('~', f'/{node}')
            assert '*' not in name      # each by its name
            found.add((WORDS[part.tag, word], name if name.startswith('/') else f'/{name}'))
    return found


def spoken(bench) -> set[tuple[str, str]]:
    """Return the same of a running node."""
    return {(word, name) for word in WORDS.values() for name, _ in getattr(
        bench.probe, f'get_{word}_names_and_types_by_node')(bench.name, '/')}


@pytest.mark.parametrize('name', NODES)
def test_an_enclave_allows_what_its_node_has_and_no_more(start, name, tmp_path):
    bench = start(node_class(name), contract='puck_push', **folders(name, tmp_path))
    expected = allowed(name) - SOMETIMES
    try:
        bench.until(lambda: spoken(bench) - SOMETIMES == expected, 10.0)
    except AssertionError:
        found = spoken(bench) - SOMETIMES
        raise AssertionError(f'only in policy.xml: {sorted(expected - found)}; '
                             f'only in the node: {sorted(found - expected)}') from None


def test_there_is_an_enclave_for_every_node_and_the_operator():
    assert set(profiles()) == {*NODES, 'operator'}


def test_only_who_acts_and_who_stops_may_command_the_robot():
    assert {node for node in profiles() if ('publisher', ACTION) in allowed(node)} == {
        'policy_server', 'safety_stop'}


def test_a_policy_has_one_source():
    sources = {topic: [node for node in profiles() if ('publisher', topic) in allowed(node)]
               for topic in POLICIES | {'/transitions'}}
    assert sources == {'/actor': ['sac_learner'], '/explorers': ['sim_bridge'],
                       '/sim_optimal': ['sim_bridge'], '/demonstrator': ['demo_ingest'],
                       '/transitions': ['data_recorder']}


def test_an_operator_may_call_what_the_nodes_serve_and_publish_nothing_of_theirs():
    operator = allowed('operator')
    served = {name for node in NODES for word, name in allowed(node) if word == 'service'}
    asked = {name for word, name in operator if word == 'client'}
    assert asked <= served and '/policy_server/clear_stop' in asked
    assert {name for word, name in operator if word == 'publisher'} == {
        '/rosout', '/parameter_events', '/diagnostics'}


def test_the_governance_lets_nobody_in_without_a_key():
    rule = Xml.parse(FOLDER / 'governance.xml').getroot().find('.//domain_rule')
    assert rule.findtext('allow_unauthenticated_participants') == 'false'
    assert rule.findtext('enable_join_access_control') == 'true'
    for topic in rule.iter('topic_rule'):
        assert topic.findtext('enable_read_access_control') == 'true'
        assert topic.findtext('enable_write_access_control') == 'true'
        assert topic.findtext('data_protection_kind') == 'ENCRYPT'


@pytest.mark.parametrize('keys', ['no keystore', 'an enclave without keys'])
def test_a_node_that_is_told_to_be_secure_does_not_run_in_the_clear(tmp_path, keys):
    (tmp_path / 'enclaves' / 'robot_rl' / 'safety_stop').mkdir(parents=True)
    keystore = tmp_path if keys != 'no keystore' else tmp_path / 'nowhere'
    result = subprocess.run(
        [sys.executable, '-m', 'robot_rl.nodes.safety_stop', '--ros-args', '-p', 'contract:=reach',
         '--enclave', '/robot_rl/safety_stop'], cwd=ROOT, capture_output=True, text=True,
        timeout=60, env={**os.environ, 'PYTHONPATH': str(ROOT), 'ROS_SECURITY_ENABLE': 'true',
                         'ROS_SECURITY_STRATEGY': 'Enforce',
                         'ROS_SECURITY_KEYSTORE': str(keystore)})
    assert result.returncode != 0, result.stderr
