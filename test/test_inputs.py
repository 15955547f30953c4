"""The reward as a topic of the contract; the observed topics are tested in test_contract.py."""

from __future__ import annotations

from types import SimpleNamespace as Bunch

import numpy as np
import pytest
from robot_rl.cli import main
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile, UserError
from robot_rl.paths import contract_path

REWARD = 'reward: robot_rl.tasks.reach:shaped_reward'
SUCCESS = 'success: robot_rl.tasks.reach:success\n'
TOPIC = 'reward: {topic: score, type: std_msgs/msg/Float32, select: [data], max_age: 0.5}'
SIMULATED = ('  model: robot_rl.tasks:reach.xml',
             '  model: robot_rl.tasks:reach.xml\n  reward: robot_rl.tasks.reach:shaped_reward')


@pytest.fixture
def load(tmp_path):
    """Load contract `reach` after replacing pieces of its text."""
    def do(*replaced: tuple[str, str]):
        text = contract_path('reach').read_text()
        for old, new in replaced:
            assert old in text, old
            text = text.replace(old, new, 1)
        (tmp_path / 'mine.yaml').write_text(text)
        return load_contract(str(tmp_path / 'mine.yaml'))
    return do


def test_a_reward_topic_is_read_after_the_observed_ones(load):
    contract = load((REWARD, TOPIC))
    entry = contract.reward_topic
    assert contract.inputs == (*contract.observations, entry)
    assert (entry.topic, entry.type, entry.max_age) == ('score', 'std_msgs/msg/Float32', 0.5)
    assert entry.selection.read(Bunch(data=0.25)).tolist() == [0.25]
    assert contract.reward is None and contract.reward_name == 'reward topic score'


def test_a_reward_function_adds_no_topic():
    contract = load_contract('reach')
    assert contract.reward_topic is None and contract.inputs == contract.observations


def test_a_field_of_any_observed_type_may_be_the_reward(load):
    scale = ('reward: {topic: scale, type: geometry_msgs/msg/WrenchStamped, '
             'select: [wrench.force.z], max_age: 0.5}')
    field, = load((REWARD, scale)).reward_topic.selection.components
    assert (field.name, field.unit) == ('wrench.force.z', 'N')


def test_what_gives_the_numbers_their_meaning_is_the_same_with_a_reward_topic(load):
    assert load((REWARD, TOPIC)).hash == load_contract('reach').hash


@pytest.mark.parametrize(('old', 'new', 'key', 'expected'), [
    ('topic: score', 'topic: a b', 'reward.topic', 'a ROS name'),
    ('topic: score, ', '', 'reward.topic', 'text'),
    ('Float32', 'Float23', 'reward.type', 'one of '),
    ('max_age: 0.5', 'max_age: 0', 'reward.max_age', 'a finite number > 0.0'),
    (', max_age: 0.5', '', 'reward.max_age', 'a finite number > 0.0'),
    ('max_age', 'max_aeg', 'reward.max_aeg', 'a known key'),
    ('select: [data], ', '', 'reward.select', 'a list of fields such as data'),
    ('[data]', '[dada]', 'reward.select', 'a field such as data'),
    ('Float32, select: [data]', 'Float64MultiArray, select: [data.0, data.1]', 'reward.select',
     'one number')])
def test_a_wrong_reward_topic_is_refused_at_its_key(load, old, new, key, expected):
    with pytest.raises(InvalidFile) as caught:
        load((REWARD, TOPIC.replace(old, new)))
    found = {problem.key: problem.expected for problem in caught.value.problems}
    assert found[key].startswith(expected)


def test_an_observation_of_the_name_reward_is_refused_beside_a_reward_topic(load):
    with pytest.raises(InvalidFile, match='reward: expected no entry of observation of the same'):
        load((REWARD, TOPIC), ('name: tip', 'name: reward'), ('tip: {site', 'reward: {site'))


def test_success_may_be_absent_where_the_reward_is_a_topic(load):
    contract = load((REWARD, TOPIC), (SUCCESS, ''))
    assert contract.success is None
    assert contract.is_success(np.zeros(6)).shape == () and not contract.is_success(np.zeros(6))
    assert contract.is_success(np.zeros((3, 6))).tolist() == [False] * 3


def test_success_is_needed_where_the_reward_is_a_function(load):
    with pytest.raises(InvalidFile, match='success: expected text, found nothing'):
        load((SUCCESS, ''))


def test_a_success_function_is_tried_beside_a_reward_topic_too(load):
    with pytest.raises(InvalidFile, match='success: expected .*:shaped_reward to accept a batch'):
        load((REWARD, TOPIC), (SUCCESS, 'success: robot_rl.tasks.reach:shaped_reward\n'))


def test_what_was_published_is_the_reward_and_ends_nothing(load):
    contract = load((REWARD, TOPIC))
    reward, terminated = contract.judge(np.zeros((2, 6)), np.zeros((2, 2)), np.zeros((2, 6)),
                                        [0.5, -2.0])
    assert reward.tolist() == [0.5, -2.0] and terminated.tolist() == [False, False]


def test_without_what_was_published_there_is_no_reward(load):
    with pytest.raises(UserError, match='reward topic score: expected what was published'):
        load((REWARD, TOPIC)).judge(np.zeros(6), np.zeros(2), np.zeros(6))


def test_training_in_simulation_is_refused_without_functions(load):
    contract = load((REWARD, TOPIC), (SUCCESS, ''))
    with pytest.raises(InvalidFile) as caught:
        contract.in_simulation.check_functions()
    assert [problem.key for problem in caught.value.problems] == ['simulation.reward', 'success']
    assert 'reward topic score' in str(caught.value)


def test_the_simulation_may_have_the_function_that_the_robot_has_not(load):
    simulated = load((REWARD, TOPIC), SIMULATED).in_simulation
    simulated.check_functions()
    assert simulated.reward_topic is None
    assert simulated.reward_name == 'robot_rl.tasks.reach:shaped_reward'
    assert simulated.judge(np.zeros(6), np.zeros(2), np.zeros(6))[0] < 0.0


def test_a_wrong_reward_of_the_simulation_is_refused_beside_a_reward_topic(load):
    old, new = SIMULATED
    with pytest.raises(InvalidFile, match='simulation.reward: expected a function of'):
        load((REWARD, TOPIC), (old, new.replace('shaped_reward', 'no_reward')))


def test_check_shows_the_topic_and_who_tells_success(load, capsys):
    contract = load((REWARD, TOPIC), (SUCCESS, ''))
    assert main(['check', str(contract.file)]) == 0
    printed = capsys.readouterr().out
    assert 'reward      data on topic score, std_msgs/msg/Float32, max_age 0.5 s\n' in printed
    assert 'success     told by people only\n' in printed
