from __future__ import annotations

from pathlib import Path
import sys

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile, Mismatch

CONFIG = Path(__file__).resolve().parents[1] / 'config'
SHIPPED = [path.stem for path in sorted(CONFIG.glob('*.yaml')) if path.stem != 'robot_rl']
REACH = (CONFIG / 'reach.yaml').read_text()
TASK = """
import numpy as np

NUMBER = 3.0

def reward(observation, action, next_observation):
    return -np.abs(next_observation['tip'][..., 0]), next_observation['tip'][..., 0] > 1.0

def success(observation):
    return observation['tip'][..., 0] > 1.0

def wide(observation, action, next_observation):
    return observation['tip'], observation['tip'] > 1.0

def lonely(observation, action, next_observation):
    return observation['tip'][..., 0]

def misspelt(observation, action, next_observation):
    return observation['tipp'], False

def batch_only(observation, action, next_observation):
    return observation['tip'][:, 0], observation['tip'][:, 0] > 1.0

def scalar(observation, action, next_observation):
    return 0.0, False
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load the reach contract after replacing pieces of its text; `user_task` is importable."""
    (tmp_path / 'user_task.py').write_text(TASK)
    (tmp_path / 'user_broken.py').write_text('1 / 0\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('ROBOT_RL_FUNCTIONS', str(tmp_path))

    def do(*replaced: tuple[str, str], file: str = 'mine.yaml'):
        text = REACH
        for old, new in replaced:
            assert old in text, old
            text = text.replace(old, new, 1)
        (tmp_path / file).write_text(text)
        return load_contract(str(tmp_path / file))
    return do


@pytest.fixture
def problems(load):
    """Return the problems by key that loading the changed contract reports."""
    def do(*replaced: tuple[str, str]) -> dict:
        with pytest.raises(InvalidFile) as caught:
            load(*replaced)
        assert caught.value.file.endswith('mine.yaml')
        assert all(line.startswith(caught.value.file) for line in str(caught.value).splitlines())
        return {problem.key: problem for problem in caught.value.problems}
    return do


REWARD = 'robot_rl.tasks.reach:shaped_reward'
SUCCESS = 'robot_rl.tasks.reach:success'


@pytest.mark.parametrize('name', SHIPPED)
def test_a_shipped_contract_loads_by_name_and_by_path(name):
    assert load_contract(name).hash == load_contract(str(CONFIG / f'{name}.yaml')).hash


def test_vectors_follow_the_order_of_the_file():
    contract = load_contract('reach')
    assert contract.layout.names == (
        'arm.position.shoulder', 'arm.position.elbow', 'arm.velocity.shoulder',
        'arm.velocity.elbow', 'tip.point.x', 'tip.point.y')
    assert contract.layout.units == ('rad', 'rad', 'rad/s', 'rad/s', 'm', 'm')


def test_an_unknown_topic_type_is_refused_with_the_nearest(problems):
    found = problems(('sensor_msgs/msg/JointState', 'sensor_msgs/msg/JointStat'))
    assert found['observation[0].type'].advice == 'did you mean sensor_msgs/msg/JointState?'


def test_a_duplicate_entry_name_is_refused(problems):
    assert "'arm'" in problems(('name: tip', 'name: arm'))['observation[1].name'].found


@pytest.mark.parametrize('low', ['2.5', '3.0'])
def test_a_low_that_is_not_below_high_is_refused(problems, low):
    found = problems(('low: [-2.5, -2.5]', f'low: [-2.5, {low}]'))
    assert found['action.low[1]'].expected == 'less than high[1] = 2.5'


@pytest.mark.parametrize(('name', 'expected', 'found'), [
    ('user_missing:reward', 'an importable module user_missing', 'ModuleNotFoundError'),
    ('user_broken:reward', 'an importable module user_broken', 'ZeroDivisionError'),
    (':reward', 'an importable module ', 'ValueError'),
    ('user_task:rewards', 'a function of user_task', 'rewards'),
    ('user_task:NUMBER', 'a function of user_task', 'NUMBER'),
    ('user_task', 'module:function', 'user_task'),
    ('user_task:wide', 'results of shape (2,) for a batch of 2', '[(2, 2), (2, 2)]'),
    ('user_task:scalar', 'results of shape (2,) for a batch of 2', '[(), ()]'),
    ('user_task:lonely', 'results of shape (2,) for a batch of 2', '[(), ()]'),
    ('user_task:misspelt', 'user_task:misspelt to accept a batch of 2', "'tipp' is not in"),
    ('user_task:batch_only', 'user_task:batch_only to accept one step', 'IndexError'),
])
def test_a_wrong_reward_is_refused_at_load(problems, name, expected, found):
    problem = problems((REWARD, f"'{name}'"))['reward']
    assert problem.expected.startswith(expected) and found in problem.found


def test_reward_and_success_are_both_reported(problems):
    found = problems((REWARD, 'user_task:wide'), (SUCCESS, 'user_task:misspelt'))
    assert found.keys() == {'reward', 'success'}


def test_an_unknown_key_is_refused_with_a_suggestion(problems):
    found = problems(('    max_age: 0.15  ', '    max_aeg: 0.15  '))
    assert found['observation[0].max_aeg'].advice == 'did you mean max_age?'
    assert found['observation[0].max_age'].found == 'nothing'


@pytest.mark.parametrize(('wrong', 'meant'), [
    ('displai', 'display'), ('simulatoin', 'simulation'), ('savety', 'safety'),
    ('demonstrations', 'demonstration')])
def test_a_section_that_may_be_left_out_is_suggested_too(problems, wrong, meant):
    problem = problems(('episode:', f'{wrong}: {{}}\n\nepisode:'))[wrong]
    assert problem.advice == f'did you mean {meant}?'
    assert all(name in problem.expected for name in ('display', 'simulation', 'safety'))


def test_a_reset_that_may_be_left_out_is_suggested_too(problems):
    found = problems(('  reset: {service', '  resett: {service'))
    assert found['episode.resett'].advice == 'did you mean reset?'


def test_a_section_that_nothing_enforces_is_refused(problems):
    found = problems(('episode:', 'safety: {workspace: [0, 1]}\n\nepisode:'))
    assert found['safety.workspace'].expected.startswith('a known key')


def test_an_unquoted_y_is_a_name(load):
    contract = load(('names: [shoulder, elbow]', 'names: [shoulder, y]'),
                    ('elbow: elbow_velocity', 'y: elbow_velocity'))
    assert contract.action.layout.names == ('shoulder', 'y')


def test_an_unquoted_on_is_explained_and_does_not_shift_the_other_lists(problems):
    found = problems(('names: [shoulder, elbow]', 'names: [shoulder, on]'))
    assert 'quote it' in found['action.names[1]'].found
    assert not {'action.low', 'action.high', 'action.units'} & found.keys()


def test_a_yaml_key_given_twice_is_refused(problems):
    found = problems(('control_rate: 20.0', 'task: other\ncontrol_rate: 20.0'))
    assert "key 'task' is given twice" in found['file'].found


@pytest.mark.parametrize('value', ['.nan', '.inf', '-.inf', '1e999', '9' * 400, 'true', "'1'"])
def test_a_number_that_is_not_finite_is_refused(problems, value):
    found = problems(('control_rate: 20.0', f'control_rate: {value}'),
                     ('high: [2.5, 2.5]', f'high: [2.5, {value}]'))
    assert {'control_rate', 'action.high[1]'} <= found.keys()


def test_every_missing_section_is_named(tmp_path):
    (tmp_path / 'empty.yaml').write_text('task: nothing\n')
    with pytest.raises(InvalidFile) as caught:
        load_contract(str(tmp_path / 'empty.yaml'))
    assert {'control_rate', 'observation', 'action', 'episode', 'reward', 'success'} <= {
        problem.key for problem in caught.value.problems}


def test_all_problems_of_a_file_are_reported_at_once(problems):
    found = problems(('control_rate: 20.0', 'control_rate: 0'), ('horizon: 50', 'horizon: 0'),
                     ('on_stop: zeros', 'on_stop: zero'), ('max_age: 0.15', 'max_age: -1'),
                     ('[point.x, point.y]', '[point.x, point.q]'),
                     (REWARD, 'user_task:absent'), ('site: tip', 'site: tip}\n    other: {a: b'))
    assert found.keys() == {
        'control_rate', 'episode.horizon', 'action.on_stop', 'observation[0].max_age',
        'observation[1].select', 'reward', 'simulation.observation.tip',
        'simulation.observation.other'}


def test_problems_come_in_the_order_of_the_file(load):
    def order():
        with pytest.raises(InvalidFile) as caught:
            load(('    arm: {joints', '    a1: {}\n    a2: {}\n    a3: {}\n    arm: {joints'))
        return [problem.key.rpartition('.')[2] for problem in caught.value.problems]
    assert order() == ['a1', 'a2', 'a3']


@pytest.mark.parametrize('name', ['joint states', '1st/arm', 'arm//x', 'arm/', '/', 'ärm', '~arm'])
def test_what_is_no_ros_name_is_refused_at_load(problems, name):
    found = problems(('topic: joint_states', f"topic: '{name}'"),
                     ('topic: arm_controller/commands', f"topic: '{name}'"),
                     ('service: sim_bridge/reset', f"service: '{name}'"))
    assert found.keys() == {'observation[0].topic', 'action.topic', 'episode.reset.service'}


@pytest.mark.parametrize('name', ['/arm/joint_states', '~/tip', 'a1/_b/C'])
def test_ros_names_may_be_absolute_relative_or_private(load, name):
    contract = load(('topic: joint_states', f"topic: '{name}'"))
    assert contract.observations[0].topic == name


def test_a_horizon_without_bound_is_refused(problems):
    assert 'at most' in problems(('horizon: 50', 'horizon: 1000000'))['episode.horizon'].expected


def test_a_twist_is_matched_by_axis_name(problems):
    found = problems(('type: std_msgs/msg/Float64MultiArray',
                      'type: geometry_msgs/msg/TwistStamped'))
    assert 'linear.x' in found['action.names'].expected


def test_a_reset_of_a_joint_named_by_a_number_is_refused_without_a_crash(problems):
    assert 'simulation.reset.1' in problems(('    shoulder: [-1.2, -0.4]', '    1: [0]'))


@pytest.mark.parametrize('model', ['not_installed.models:arm.xml', ':arm.xml', 'absent.xml'])
def test_a_model_that_is_not_there_is_a_path_beside_the_contract(load, tmp_path, model):
    contract = load(('robot_rl.tasks:reach.xml', f"'{model}'"))
    assert contract.simulation.model == tmp_path / model


@pytest.mark.parametrize('change', [
    ('task: reach', 'task: other'), ('control_rate: 20.0', 'control_rate: 10.0'),
    ('[shoulder, elbow]', '[elbow, shoulder]'), ('name: tip', 'name: tool'),
    ('units: [rad/s, rad/s]', 'units: [rad/s, deg/s]'), ('low: [-2.5,', 'low: [-2.0,'),
    ('high: [2.5,', 'high: [2.0,'), ('max_rate: [100.0,', 'max_rate: [90.0,'),
    ('std_msgs/msg/Float64MultiArray', 'trajectory_msgs/msg/JointTrajectory')])
def test_hash_changes_with_what_gives_numbers_their_meaning(load, tmp_path, change):
    functions = ((REWARD, 'user_task:reward'), (SUCCESS, 'user_task:success'))
    if change[0] == 'name: tip':
        functions = ((REWARD, 'user_any:reward'), (SUCCESS, 'user_any:success'),
                     ('    tip: {site', '    tool: {site'),
                     ('[tip.point.x, tip.point.y, 0.02]', '[tool.point.x, tool.point.y, 0.02]'))
        (tmp_path / 'user_any.py').write_text(TASK.replace("'tip'", "'tool'"))
    assert load(*functions, change).hash != load_contract('reach').hash


HOLD = 'on_stop: hold\n  measured: [arm.position.shoulder, arm.position.elbow]'


@pytest.mark.parametrize('change', [
    ('topic: joint_states', 'topic: other/states'), ('max_age: 0.15', 'max_age: 0.5'),
    (REWARD, 'robot_rl.tasks.reach:sparse_reward'), ('site: tip', 'body: forearm'),
    ('horizon: 50', 'horizon: 60'), ('on_stop: zeros', HOLD),
    ('    elbow: [0.3, 1.5]', '    elbow: [0.3, 0.5]'), ('# Hz', '# hertz')])
def test_hash_does_not_change_with_where_numbers_come_from(load, change):
    assert load(change).hash == load_contract('reach').hash


@pytest.mark.parametrize(('change', 'key'), [
    ('on_stop: hold', 'action.measured: expected the observation names'),
    ('on_stop: hold\n  measured: [arm.position.shoulder]', 'action.measured: expected 2 names'),
    (HOLD.replace('elbow', 'knee'), 'action.measured: expected names of the observation')])
def test_to_hold_needs_what_is_measured(load, change, key):
    with pytest.raises(InvalidFile, match=key):
        load(('on_stop: zeros', change))


def test_another_interface_is_refused_with_key_expected_and_found(load):
    interface = load(('low: [-2.5,', 'low: [-2.0,')).interface
    with pytest.raises(Mismatch) as caught:
        load_contract('reach').check_interface(interface, 'some/file')
    assert str(caught.value).splitlines() == [
        'some/file: made under another contract, refused',
        '  action.low: expected [-2.5, -2.5], found [-2.0, -2.5]']


@pytest.mark.parametrize('interface', [None, [], 'text', {}])
def test_an_interface_that_is_none_is_refused(interface):
    contract = load_contract('reach')
    with pytest.raises(Mismatch) as caught:
        contract.check_interface(interface, 'x')
    assert len(caught.value.problems) == len(contract.interface)


def test_judge_keeps_the_shape_of_the_batch():
    contract = load_contract('reach')
    observation = contract.layout.view([[[0.0] * 6] * 3] * 4).values
    reward, terminated = contract.judge(observation, observation[..., :2], observation)
    assert reward.shape == terminated.shape == contract.is_success(observation).shape == (4, 3)
    assert reward.dtype == float and terminated.dtype == bool


def test_the_simulator_trains_with_its_own_reward_where_it_has_one(load):
    own = ('simulation:', 'simulation:\n  reward: user_task:reward')
    contract, plain = load(own), load()
    assert contract.in_simulation.reward_name == 'user_task:reward'
    assert contract.reward_name == plain.reward_name != 'user_task:reward'
    assert contract.in_simulation.hash == contract.hash == plain.hash
    assert plain.in_simulation is plain


@pytest.mark.parametrize('name', ['user_task:missing', 'user_task:lonely', 'no_module:reward'])
def test_a_wrong_reward_of_the_simulator_is_refused_at_load(problems, name):
    assert 'simulation.reward' in problems(('simulation:', f'simulation:\n  reward: {name}'))


def test_a_demonstrated_action_comes_from_the_action_topic_unless_said_otherwise():
    assert load_contract('push_t').demonstrated == 'topic'


@pytest.mark.parametrize('section, expected', [
    ('demonstration: {action: n}', 'demonstration.action: expected one of topic, measured, next'),
    ('demonstration: {from: next}', 'demonstration.from: expected a known key (action)')])
def test_a_wrong_demonstration_section_is_refused_by_key(tmp_path, section, expected):
    path = tmp_path / 'mine.yaml'
    path.write_text(f"{load_contract('push_t').text}\n{section}\n")
    with pytest.raises(InvalidFile) as refused:
        load_contract(path)
    assert expected in str(refused.value)


def test_an_action_that_nothing_measures_cannot_be_demonstrated_by_hand(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(f"{load_contract('puck_push').text}\ndemonstration: {{action: next}}\n")
    with pytest.raises(InvalidFile, match='demonstration.action: expected topic'):
        load_contract(path)


PEOPLE = """
import numpy as np


class Person:
    def __init__(self, rng):
        self.rng = rng

    def __call__(self, observation):
        return 0.1 * observation['arm.velocity']


def path(observation, actions, period):
    return np.concatenate((actions, period + 0.0 * actions[..., :1]), axis=-1)


def flat(observation, actions, period):
    return actions


def asleep(rng):
    return lambda observation: np.zeros(5)


def absent(rng):
    raise ValueError('nobody is there')
"""


@pytest.fixture
def people(tmp_path, monkeypatch):
    (tmp_path / 'people.py').write_text(PEOPLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('ROBOT_RL_FUNCTIONS', str(tmp_path))
    monkeypatch.delitem(sys.modules, 'people', raising=False)


DISPLAY = 'robot_rl.tasks.reach:path'


def test_a_scripted_person_and_a_display_do_not_change_the_hash(people, load):
    contract = load(('simulation:', 'simulation:\n  demonstrator: people:Person'),
                    (DISPLAY, 'people:path'), ('frame: world', 'frame: table'))
    assert contract.hash == load_contract('reach').hash
    assert contract.simulation.demonstrator_name == 'people:Person'
    assert (contract.display.path_name, contract.display.frame) == ('people:path', 'table')
    actions = np.ones((4, 2))
    assert contract.path(np.zeros(6), actions).tolist() == [[1.0, 1.0, 0.05]] * 4


def test_a_contract_needs_neither_a_scripted_person_nor_a_display(load):
    shown = REACH[REACH.index('display:'):REACH.index('simulation:')]
    contract = load((shown, ''))
    assert contract.simulation.demonstrator is None and contract.display is None


@pytest.mark.parametrize(('name', 'reason'), [
    ('people:nobody', 'a function of people'),
    ('people:asleep', r'numbers of shape \(2,\), found people:asleep gives \(5,\)'),
    ('people:absent', 'people:absent to accept zeros, found ValueError: nobody is there')])
def test_a_scripted_person_that_cannot_act_is_refused_at_load(people, load, name, reason):
    with pytest.raises(InvalidFile, match=f'simulation.demonstrator: expected {reason}'):
        load(('simulation:', f'simulation:\n  demonstrator: {name}'))


@pytest.mark.parametrize(('name', 'reason'), [
    ('people:nowhere', 'a function of people'),
    ('people:flat', r'numbers of shape \(3, 2, 3\), found people:flat gives \(3, 2, 2\)')])
def test_a_path_that_leads_nowhere_is_refused_at_load(people, load, name, reason):
    with pytest.raises(InvalidFile, match=f'display.path: expected {reason}'):
        load((DISPLAY, name))
