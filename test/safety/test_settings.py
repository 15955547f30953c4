"""The contract's section `safety`: what it may say, and what is refused at load."""

from __future__ import annotations

import re

import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile
from robot_rl.paths import contract_path
from robot_rl.safety.settings import Intervention, Safety, Switch
import yaml

WHOLE = """
limits: {arm.position.elbow: [-1.5, 1.5], tip.point.x: [0.05, 0.5]}
e_stop: {topic: e_stop, type: std_msgs/msg/Bool, timeout: 0.5}
dead_man: {topic: joy, type: sensor_msgs/msg/Joy, button: 4, timeout: 0.5}
intervention:
  topic: joy
  type: sensor_msgs/msg/Joy
  axes: [0, 1]
  enable: 5
  timeout: 0.2
  blend: 0.3
  buttons: {success: 0, failure: 1, discard: 2, start: 3}
policy_late: 5
"""


@pytest.fixture
def load(tmp_path):
    """Load contract `reach` with a section `safety`."""
    def do(section: dict | str):
        section = yaml.safe_load(section) if isinstance(section, str) else section
        path = tmp_path / 'contract.yaml'
        path.write_text(contract_path('reach').read_text() + yaml.safe_dump({'safety': section}))
        return load_contract(path)
    return do


@pytest.fixture
def problems(load):
    """Return (expected, advice) by key of what is wrong with a changed section."""
    def do(key: str, value) -> dict[str, tuple[str, str]]:
        section = yaml.safe_load(WHOLE)
        *parents, last = key.split('/')
        part = section
        for parent in parents:
            part = part[parent]
        part[last] = value
        if value is None:
            del part[last]
        with pytest.raises(InvalidFile) as caught:
            load(section)
        return {problem.key.removeprefix('safety.'): (problem.expected, problem.advice)
                for problem in caught.value.problems}
    return do


def test_a_contract_without_the_section_has_the_rules_that_need_none():
    assert load_contract('reach').safety == Safety({}, None, None, None, 3)


@pytest.mark.parametrize('seconds, periods', [(0.0, 3), (0.1, 3), (0.16, 4), (1.0, 20)])
def test_patience_is_a_time_and_never_less_than_the_contract_has(seconds, periods):
    contract = load_contract('reach')
    patient = contract.patient(seconds)
    assert patient.safety == Safety(policy_late=periods)
    assert (patient.hash, patient.file) == (contract.hash, contract.file)


def test_a_whole_section_is_read(load):
    assert load(WHOLE).safety == Safety(
        {'arm.position.elbow': (-1.5, 1.5), 'tip.point.x': (0.05, 0.5)},
        Switch('e_stop', 'std_msgs/msg/Bool', 0.5), Switch('joy', 'sensor_msgs/msg/Joy', 0.5, 4),
        Intervention('joy', 'sensor_msgs/msg/Joy', 0.2, 0.3, (0, 1), 5,
                     {'success': 0, 'failure': 1, 'discard': 2, 'start': 3}), 5)


def test_people_are_those_whose_topics_the_section_names(load):
    whole = load(WHOLE).safety
    assert whole.people == (whole.e_stop, whole.dead_man, whole.intervention)
    assert Safety(dead_man=whole.dead_man).people == (whole.dead_man,)
    assert Safety().people == ()


def test_the_section_does_not_change_what_data_and_policies_mean(load):
    assert load(WHOLE).hash == load_contract('reach').hash


def test_a_leader_needs_neither_axes_nor_buttons(load):
    found = load({'intervention': {'topic': 'leader', 'timeout': 0.2,
                                   'type': 'trajectory_msgs/msg/JointTrajectory'}}).safety
    assert found.intervention.blend == 0.0 and not found.intervention.buttons


def test_a_stick_may_be_turned_around_and_a_leader_may_be_an_arm(load):
    turned = {**yaml.safe_load(WHOLE)['intervention'], 'scale': [1, -1.0]}
    assert load({'intervention': turned}).safety.intervention.scale == (1.0, -1.0)
    arm = {'topic': 'leader', 'timeout': 0.2, 'type': 'sensor_msgs/msg/JointState',
           'joints': 'velocity'}
    assert load({'intervention': arm}).safety.intervention.joints == 'velocity'


@pytest.mark.parametrize(('key', 'value', 'where', 'expected'), [
    ('intervention/scale', [1.0], 'intervention.scale', 'a list of 2 numbers'),
    ('intervention/joints', 'position', 'intervention.joints', 'a known key'),
    ('intervention/type', 'sensor_msgs/msg/JointState', 'intervention.joints', 'text'),
    ('workspace', [0, 1], 'workspace', 'a known key'),
    ('limits/tip.point.z', [0, 1], 'limits.tip.point.z', 'a name of the observation vector'),
    ('limits/tip.point.x', [0.5, 0.5], 'limits.tip.point.x', 'the lower limit first'),
    ('limits/tip.point.x', [0.5], 'limits.tip.point.x', 'a list of 2 numbers'),
    ('limits', [1, 2], 'limits', 'a mapping'),
    ('e_stop/topic', 'e stop', 'e_stop.topic', 'a ROS name'),
    ('e_stop/type', 'std_msgs/msg/Boole', 'e_stop.type', 'one of std_msgs/msg/Bool'),
    ('e_stop/timeout', 0.0, 'e_stop.timeout', 'a finite number > 0.0'),
    ('e_stop/timeout', None, 'e_stop.timeout', 'a finite number > 0.0'),
    ('e_stop/button', 1, 'e_stop.button', 'a known key'),
    ('dead_man/button', None, 'dead_man.button', 'an integer >= 0'),
    ('dead_man/button', -1, 'dead_man.button', 'an integer >= 0'),
    ('intervention/axes', [0], 'intervention.axes', '2 numbers of axes from 0'),
    ('intervention/axes', [0, -1], 'intervention.axes', '2 numbers of axes from 0'),
    ('intervention/axes', [0, True], 'intervention.axes', '2 numbers of axes from 0'),
    ('intervention/axes', 'left', 'intervention.axes', '2 numbers of axes from 0'),
    ('intervention/enable', None, 'intervention.enable', 'an integer >= 0'),
    ('intervention/blend', -0.1, 'intervention.blend', 'a finite number >= 0.0'),
    ('intervention/buttons/sucess', 7, 'intervention.buttons.sucess', 'a known key'),
    ('intervention/buttons/start', 0, 'intervention.buttons', 'a button for each'),
    ('intervention/type', 'geometry_msgs/msg/TwistStamped', 'intervention.type',
     'a type that can hold actions named shoulder, elbow'),
    ('intervention/type', 'std_msgs/msg/Float64MultiArray', 'intervention.axes', 'a known key'),
    ('policy_late', 0, 'policy_late', 'an integer >= 1'),
    ('intervention', 'joy', 'intervention', 'a mapping')])
def test_a_section_that_makes_no_sense_is_refused_at_load(problems, key, value, where, expected):
    assert problems(key, value)[where][0].startswith(expected)


def test_a_key_that_is_almost_right_is_suggested(problems):
    assert problems('intervention/buttons/sucess', 7)['intervention.buttons.sucess'][1] == (
        'did you mean success?')


def test_what_is_commented_out_in_a_shipped_contract_is_right(tmp_path):
    text = contract_path('puck_push').read_text()
    path = tmp_path / 'contract.yaml'
    text = re.sub(r'^reward: .*\n', '', text, flags=re.MULTILINE)
    path.write_text(re.sub(r'^# (reward:|  )', r'\1', text, flags=re.MULTILINE))
    found = load_contract(path)
    safety = found.safety
    assert len(safety.limits) == 3 and safety.e_stop and safety.dead_man
    assert safety.intervention.buttons.keys() == {'success', 'failure', 'discard', 'start'}
    assert safety.intervention.scale == (1.0, 1.0, -1.0) and found.reward_topic
    assert found.hash == load_contract('puck_push').hash
