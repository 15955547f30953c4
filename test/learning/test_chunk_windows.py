from __future__ import annotations

import numpy as np
import pytest
from robot_rl.data.transitions import Transitions
from robot_rl.learning.chunk_windows import chunk_windows

GAMMA = 0.5


def episode(count: int, terminated=(), truncated=()) -> Transitions:
    """Step t sees t, does (t, -t), earns 1 + t and leads to t + 1."""
    steps = np.arange(count, dtype=np.float32)
    flags = np.zeros((2, count), np.float32)
    for row, indices in zip(flags, (terminated, truncated)):
        row[list(indices)] = 1.0
    return Transitions(steps[:, None], np.stack([steps, -steps], 1), 1.0 + steps,
                       steps[:, None] + 1.0, *flags)


def starts(found: Transitions) -> list[float]:
    return found.observation[:, 0].tolist()


def test_a_window_is_k_actions_their_discounted_reward_and_what_was_seen_after_them():
    found = chunk_windows(episode(9, truncated=[8]), 3, GAMMA)
    assert found.action[2].tolist() == [2, -2, 3, -3, 4, -4]
    assert found.reward[2] == 3 + GAMMA * 4 + GAMMA ** 2 * 5
    assert found.next_observation[2] == 5 and found.terminated[2] == 0


def test_a_window_starts_at_every_step():
    assert starts(chunk_windows(episode(6, truncated=[5]), 3, GAMMA)) == [0, 1, 2, 3]


def test_what_would_cross_a_truncation_is_left_out_and_what_ends_in_it_goes_on():
    found = chunk_windows(episode(5, truncated=[4]), 2, GAMMA)
    assert starts(found) == [0, 1, 2, 3]
    assert found.truncated.tolist() == [0, 0, 0, 1] and not found.terminated.any()
    assert found.next_observation[-1] == 5


def test_a_window_that_meets_the_end_of_the_task_repeats_its_last_action_and_ends():
    found = chunk_windows(episode(4, terminated=[3]), 3, GAMMA)
    assert starts(found) == [0, 1, 2, 3]
    assert found.terminated.tolist() == [0, 1, 1, 1]
    assert found.action[3].tolist() == [3, -3] * 3
    assert found.reward[3] == 4 and found.reward[2] == 3 + GAMMA * 4
    assert found.next_observation[:, 0].tolist() == [3, 4, 4, 4]


def test_a_gap_within_the_recording_joins_no_two_times():
    found = chunk_windows(episode(7, truncated=[2], terminated=[6]), 3, GAMMA)
    assert starts(found) == [0, 3, 4, 5, 6]


def test_a_recording_that_says_not_how_it_ended_is_cut_there():
    assert starts(chunk_windows(episode(4), 3, GAMMA)) == [0, 1]


def test_windows_of_one_action_are_the_transitions_themselves():
    sent = episode(5, terminated=[2], truncated=[4])
    found = chunk_windows(sent, 1, GAMMA)
    for name, column in vars(sent).items():
        assert np.array_equal(getattr(found, name), column), name


@pytest.mark.parametrize('count', [0, 2])
def test_what_is_shorter_than_a_window_and_was_cut_gives_none(count):
    found = chunk_windows(episode(count, truncated=range(count - 1, count) if count else ()), 3,
                          GAMMA)
    assert len(found) == 0 and found.action.shape == (0, 6)
    assert found.next_observation.shape == (0, 1)


def test_columns_are_float32():
    found = chunk_windows(episode(4, terminated=[3]), 3, 0.9)
    assert all(column.dtype == np.float32 for column in vars(found).values())


@pytest.mark.parametrize('length', [1, 2, 4])
def test_backing_up_by_windows_gives_the_return_of_single_steps(length):
    sent = episode(8, terminated=[7])
    value = {8.0: 0.0}
    found = chunk_windows(sent, length, GAMMA)
    for row in reversed(range(len(found))):
        following = (1.0 - found.terminated[row]) * value[float(found.next_observation[row, 0])]
        value[float(row)] = found.reward[row] + GAMMA ** length * following
    assert value[0.0] == pytest.approx(sum(GAMMA ** t * (1 + t) for t in range(8)), rel=1e-6)
