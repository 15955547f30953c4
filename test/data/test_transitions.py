from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from recording import episode_steps, make_step
from robot_rl.data.steps import Source, Status
from robot_rl.data.transitions import (COLUMNS, derive_transitions, interventions,
                                       label_transitions, Transitions)
from robot_rl.errors import UserError


def test_an_episode_of_n_actions_gives_n_transitions(contract):
    steps = episode_steps(4)
    found = derive_transitions(steps, contract)
    assert len(found) == 4
    assert found.observation[:, 0] == pytest.approx([0.0, 0.01, 0.02, 0.03])
    assert found.next_observation[:, 0] == pytest.approx([0.01, 0.02, 0.03, 0.04])
    assert {getattr(found, name).dtype for name in COLUMNS} == {np.dtype(np.float32)}


def test_the_executed_action_is_learned_from_not_the_requested(contract):
    steps = episode_steps(2, requested=0.9)
    found = derive_transitions(steps, contract)
    assert found.action[:, 0].tolist() == [np.float32(0.25), np.float32(0.25 + 1 / 7)]


def test_the_reward_is_the_contracts_of_the_next_observation(contract):
    found = derive_transitions([make_step(0), make_step(1, Status.TRUNCATED)], contract)
    assert found.reward[0] == np.float32(-0.99 - 0.01 * 0.25 ** 2)


def test_a_time_limit_is_truncation(contract):
    found = derive_transitions(episode_steps(3, Status.TRUNCATED), contract)
    assert found.truncated.tolist() == [0, 0, 1]
    assert found.terminated.tolist() == [0, 0, 0]


def test_an_abort_is_truncation(contract):
    found = derive_transitions(episode_steps(3, Status.ABORTED), contract)
    assert found.truncated[-1] == 1 and found.terminated[-1] == 0


def test_no_transition_leads_to_an_observation_that_is_not_to_be_trusted(contract):
    found = derive_transitions(episode_steps(3, Status.BROKEN), contract)
    assert found.next_observation[:, 0] == pytest.approx([0.01, 0.02])
    assert found.truncated.tolist() == [0, 1]


def test_a_terminated_status_is_termination_without_truncation(contract):
    found = derive_transitions(episode_steps(3, Status.TERMINATED), contract)
    assert found.terminated.tolist() == [0, 0, 1]
    assert found.truncated.tolist() == [0, 0, 0]


def test_the_contract_may_terminate_where_the_policy_server_did_not(contract):
    steps = [make_step(0), make_step(1, Status.TRUNCATED, position=1.0)]
    found = derive_transitions(steps, contract)
    assert (found.terminated[0], found.truncated[0]) == (1, 0)


def test_a_missing_record_costs_its_pairs_and_never_joins_two_times(contract):
    steps = episode_steps(6)
    del steps[3]
    found = derive_transitions(steps, contract)
    assert found.observation[:, 0] == pytest.approx([0.0, 0.01, 0.04, 0.05])
    assert found.truncated.tolist() == [0, 1, 0, 1]


def test_two_episodes_are_never_joined(contract):
    steps = [make_step(0, episode=1), make_step(1, episode=2), make_step(2, episode=2)]
    found = derive_transitions(steps, contract)
    assert found.observation[:, 0] == pytest.approx([0.01])


def test_the_action_of_the_last_record_was_never_executed(contract):
    steps = [make_step(0, Status.TRUNCATED), make_step(1)]
    assert len(derive_transitions(steps, contract)) == 0


def test_no_steps_give_empty_columns_of_the_right_width(contract):
    found = derive_transitions([], contract)
    assert found.observation.shape == (0, 2) and found.action.shape == (0, 1)


@pytest.mark.parametrize('label', ['success', 'failure'])
def test_a_humans_verdict_ends_the_task(contract, label):
    found = label_transitions(derive_transitions(episode_steps(3), contract), label)
    assert found.terminated.tolist() == [0, 0, 1]
    assert found.truncated.tolist() == [0, 0, 0]


def test_without_a_label_nothing_changes(contract):
    found = derive_transitions(episode_steps(3), contract)
    assert label_transitions(found, '') is found


def test_a_failing_reward_is_named_not_thrown_as_is(make_contract):
    contract = make_contract(**{'tiny_task:reward': 'tiny_task:broken_reward'})
    with pytest.raises(UserError, match='tiny_task:broken_reward: ZeroDivisionError'):
        derive_transitions(episode_steps(3), contract)


def test_a_reward_that_is_not_finite_is_refused_where_it_arises(contract):
    def reward(observation, action, next_observation):
        position = next_observation['arm.position.j']
        return np.where(position > 0.02, np.nan, 0.0), position >= 1.0
    with pytest.raises(UserError, match='tiny_task:reward: expected finite rewards, found nan'):
        derive_transitions(episode_steps(4), replace(contract, reward=reward))


def test_a_transition_says_whether_a_person_chose_its_action(contract):
    sources = [Source.POLICY, Source.HUMAN, Source.RANDOM, Source.SAFETY]
    steps = [replace(step, source=source)
             for step, source in zip(episode_steps(3), sources, strict=True)]
    assert derive_transitions(steps, contract).human.tolist() == [0, 1, 0]


def test_transitions_of_nobody_known_are_no_persons():
    column = np.zeros(3, np.float32)
    assert Transitions(column, column, column, column, column, column).human.tolist() == [0] * 3


def helped(human: str, terminated: bool) -> Transitions:
    """Return transitions numbered by their reward; `human` has an x where a person acted."""
    count = len(human)
    number, ends = np.arange(count, dtype=np.float32), np.zeros(count, np.float32)
    ends[-1] = 1.0
    return Transitions(number[:, None], number[:, None], number, number[:, None],
                       ends * terminated, ends * (not terminated),
                       np.array([letter == 'x' for letter in human], np.float32))


@pytest.mark.parametrize(('human', 'terminated', 'numbers', 'truncated', 'ended'), [
    ('..xx.x', True, [2, 3, 5], [0, 1, 0], [0, 0, 1]),
    ('x.xx..', True, [0, 2, 3], [1, 0, 1], [0, 0, 0]),
    ('xxx', False, [0, 1, 2], [0, 0, 1], [0, 0, 0]),
    ('....', True, [], [], [])])
def test_interventions_are_a_persons_stretches_that_nothing_joins(
        human, terminated, numbers, truncated, ended):
    found = interventions(helped(human, terminated))
    assert found.reward.tolist() == numbers and found.human.tolist() == [1] * len(numbers)
    assert (found.truncated.tolist(), found.terminated.tolist()) == (truncated, ended)
    assert {getattr(found, name).dtype for name in COLUMNS} == {np.dtype(np.float32)}


def rewarded(*rewards: float | None):
    """Return the records of an episode that hold these rewards."""
    return [replace(step, reward=reward) for step, reward in zip(
        episode_steps(len(rewards) - 1), rewards, strict=True)]


def test_the_reward_of_a_topic_is_that_of_the_record_it_led_to(paid):
    found = derive_transitions(rewarded(9.0, 0.25, 0.5, -1.0), paid)
    assert found.reward.tolist() == [0.25, 0.5, -1.0]
    assert found.terminated.tolist() == [0, 0, 0] and found.truncated.tolist() == [0, 0, 1]


def test_a_missing_record_takes_only_its_own_rewards_along(paid):
    steps = rewarded(9.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    del steps[2]
    assert derive_transitions(steps, paid).reward.tolist() == [1.0, 4.0, 5.0]


def test_a_missing_reward_is_refused_and_never_zero(paid):
    with pytest.raises(UserError, match='^reward topic score: expected what was published'):
        derive_transitions(rewarded(0.0, None, 0.5), paid)


def test_a_record_that_no_transition_leads_to_needs_no_reward(paid):
    steps = rewarded(None, 0.5, None)
    steps[-1] = replace(steps[-1], status=Status.BROKEN)
    assert derive_transitions(steps, paid).reward.tolist() == [0.5]


def test_a_reward_function_wins_over_what_the_records_hold(contract):
    assert np.array_equal(derive_transitions(rewarded(9.0, 9.0, 9.0), contract).reward,
                          derive_transitions(episode_steps(2), contract).reward)
