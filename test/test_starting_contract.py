"""The contract to begin with: all that was seen is in it, and check names what is left."""

from __future__ import annotations

import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile
from robot_rl.starting_contract import Commanded, Seen, starting_contract, Survey
import yaml

JOINTS = ('pan', 'lift', 'y')       # the last is a boolean to YAML
ARM = Seen('joint_states', 'sensor_msgs/msg/JointState', 100.0, JOINTS, ('position', 'velocity'))
POSE = Seen('tcp/pose', 'geometry_msgs/msg/PoseStamped', 10.0)
ARRAY = 'std_msgs/msg/Float64MultiArray'
FORWARD = Commanded('forward_velocity_controller/commands', ARRAY, '/forward', JOINTS)
TRAJECTORY = Commanded('arm/joint_trajectory', 'trajectory_msgs/msg/JointTrajectory', '/arm',
                       JOINTS)
TWIST = Commanded('cmd_vel', 'geometry_msgs/msg/TwistStamped', '/base')


def document(*seen: Seen, commanded=(FORWARD,), **others) -> dict:
    return yaml.safe_load(starting_contract('robot', 'task', Survey(seen, commanded, **others)))


@pytest.fixture
def left_of(tmp_path):
    """Return the keys that are left to fill in."""
    def load(text: str) -> set[str]:
        path = tmp_path / 'contract.yaml'
        path.write_text(text)
        with pytest.raises(InvalidFile) as error:
            load_contract(path)
        return {problem.key for problem in error.value.problems}
    return load


@pytest.mark.parametrize('commanded', [FORWARD, TRAJECTORY, TWIST])
def test_only_what_a_person_knows_is_left(left_of, commanded):
    text = starting_contract('robot', 'task', Survey((ARM, POSE), (commanded,)))
    assert left_of(text) == {'action.low', 'action.high', 'action.max_rate', 'episode.horizon',
                             'reward', 'success'}


def test_once_that_is_filled_in_it_is_a_contract(tmp_path):
    filled = document(ARM, POSE, commanded=(TRAJECTORY,))
    filled['action'] |= {'low': [-1.0] * 3, 'high': [1.0] * 3, 'max_rate': [0.5] * 3}
    filled |= {'episode': {'horizon': 100}, 'reward': {
        'topic': 'score', 'type': 'std_msgs/msg/Float32', 'select': ['data'], 'max_age': 1.0}}
    del filled['success']
    path = tmp_path / 'contract.yaml'
    path.write_text(yaml.safe_dump(filled))
    contract = load_contract(path)
    assert contract.action.layout.names == JOINTS
    assert contract.action.measured == tuple(f'joint_states.position.{name}' for name in JOINTS)
    assert len(contract.layout) == 2 * 3 + 9        # positions, velocities, pose


def test_a_slow_topic_may_be_older_than_a_fast_one():
    fast, slow = document(ARM, POSE)['observation']
    assert (fast['max_age'], slow['max_age']) == (0.125, 0.25)


def test_a_max_age_says_what_it_does_and_what_it_was_made_of():
    silent = Seen('other/pose', POSE.type)
    text = starting_contract('robot', 'task', Survey((ARM, POSE, silent), (FORWARD,)))
    said = [line.split(None, 2)[1:] for line in text.splitlines() if '    max_age:' in line]
    assert said == [['0.125', '# s, older stops the robot: 2.5 control periods'],
                    ['0.25', '# s, older stops the robot: 2.5 periods of 10 Hz'],
                    ['0.125', '# s, older stops the robot: TODO two to three of its periods']]
    assert '  # max_age: with an older last message the robot would act blindly' in text


def test_of_the_same_joints_only_the_fastest_topic_is_observed():
    slow = Seen('all/joint_states', ARM.type, 30.0, JOINTS, ('position',))
    assert [entry['topic'] for entry in document(slow, ARM)['observation']] == ['joint_states']
    assert '# {name: all_joint_states, topic: all/joint_states' in starting_contract(
        'robot', 'task', Survey((slow, ARM), (FORWARD,)))


def test_types_that_are_rarely_observed_are_shown_and_not_proposed():
    array = Seen('touch', ARRAY, 20.0, size=2)
    assert len(document(ARM, array)['observation']) == 1
    assert f'# {{name: touch, topic: touch, type: {ARRAY}, select: [data.0, data.1]' in (
        starting_contract('robot', 'task', Survey((ARM, array), (FORWARD,))))


def test_a_controller_whose_joints_are_known_comes_before_one_of_unknown_joints():
    unknown = Commanded('a/commands', ARRAY, '/a')
    text = starting_contract('robot', 'task', Survey((ARM,), (unknown, FORWARD)))
    assert yaml.safe_load(text)['action']['topic'] == FORWARD.topic
    assert f'# or: topic: a/commands, type: {ARRAY}, of /a' in text


def test_a_controller_that_does_not_tell_its_joints_gets_those_observed_and_a_doubt(left_of):
    unknown = Commanded('a/commands', ARRAY, '/a')
    text = starting_contract('robot', 'task', Survey((ARM,), (unknown,)))
    assert yaml.safe_load(text)['action']['names'] == list(JOINTS)
    assert '# TODO the joints that it moves, in its own order' in text
    assert 'action.on_stop' in left_of(text)


def test_without_controllers_or_topics_the_keys_are_left(left_of):
    left = left_of(starting_contract('robot', 'task', Survey()))
    assert {'action.topic', 'action.type', 'action.names', 'observation'} <= left


def test_switches_and_resets_that_are_live_are_there_to_uncomment():
    text = starting_contract('robot', 'task', Survey(
        (ARM,), (FORWARD,), (('stop', 'std_msgs/msg/Bool'), ('pad', 'sensor_msgs/msg/Joy')),
        (('home/reset', 'std_srvs/srv/Trigger'),)))
    assert '#   e_stop: {topic: stop, type: std_msgs/msg/Bool, timeout: 0.5}' in text
    assert '#   dead_man: {topic: pad, type: sensor_msgs/msg/Joy, button: 4, timeout: 0.5}' in text
    assert '\n  reset: {service: home/reset, type: std_srvs/srv/Trigger}\n' in text


def reset_lines(*services: str) -> list[str]:
    text = starting_contract('robot', 'task', Survey((ARM,), (FORWARD,), resets=tuple(
        (service, 'std_srvs/srv/Trigger') for service in services)))
    return [line for line in text.splitlines() if 'reset: {' in line]


def test_the_one_service_that_says_that_it_resets_is_chosen_and_the_others_are_there():
    assert reset_lines('arm/home', 'gripper/open') == [
        '  reset: {service: arm/home, type: std_srvs/srv/Trigger}',
        '  # reset: {service: gripper/open, type: std_srvs/srv/Trigger}']


@pytest.mark.parametrize('services', [('arm/home', 'world/reset'), ('gripper/open',)])
def test_which_service_resets_is_not_guessed(services):
    assert reset_lines(*services) == [
        f'  # reset: {{service: {service}, type: std_srvs/srv/Trigger}}' for service in services]


def test_many_long_names_are_wrapped_and_read_back():
    joints = tuple(f'a_joint_with_a_long_name_{index}' for index in range(30))
    text = starting_contract('robot', 'task', Survey(
        (Seen('joint_states', ARM.type, 100.0, joints, ('position',)),), (FORWARD,)))
    assert max(map(len, text.splitlines())) <= 99
    assert yaml.safe_load(text)['observation'][0]['select']['position'] == list(joints)


def test_a_name_cannot_write_other_keys():
    joints = ('a]', 'b: c', '#', '"', "'", 'x\ny: 1', '{', 'on', '1.5')
    found = document(Seen('joint_states', ARM.type, 100.0, joints, ('position',)))
    assert found['observation'][0]['select']['position'] == list(joints)
