"""The unit of rewards, beside numpy's deviation."""

from __future__ import annotations

import numpy as np
import pytest
from robot_rl.data.transitions import Transitions
from robot_rl.learning.returns import Returns

GAMMA = 0.9


def transitions(reward, terminated=(), truncated=()) -> Transitions:
    """Return transitions with such rewards, of which those at the indices end an episode."""
    count = len(reward)
    ends = np.zeros((2, count), np.float32)
    ends[0, list(terminated)] = 1.0
    ends[1, list(truncated)] = 1.0
    seen = np.zeros((count, 1), np.float32)
    return Transitions(seen, seen, np.asarray(reward, np.float32), seen, *ends)


def test_it_is_the_deviation_of_the_sums_that_end_at_each_step():
    found = Returns(GAMMA, 1e9)
    found.add(transitions([1.0, 2.0, 3.0, 4.0], terminated=[1], truncated=[3]))
    sums = [1.0, 2.0 + GAMMA, 3.0, 4.0 + 3.0 * GAMMA]
    assert found.unit == pytest.approx(np.std(sums))


def test_part_by_part_is_the_whole():
    rng = np.random.default_rng(0)
    parts = [rng.normal(index, 2.0, 20) for index in range(5)]
    whole, found = Returns(GAMMA, 1e9), Returns(GAMMA, 1e9)
    for part in parts:
        found.add(transitions(part, truncated=[19]))
    whole.add(transitions(np.concatenate(parts), truncated=range(19, 100, 20)))
    assert found.unit == pytest.approx(whole.unit, rel=1e-9)


def test_the_largest_return_has_at_most_so_many_units():
    found = Returns(0.0, 5.0)
    found.add(transitions([0.0] * 99 + [-100.0]))
    assert found.unit == 20.0                       # where the deviation is 10
    found.add(transitions([100.0, -100.0] * 50))
    assert found.unit == pytest.approx(np.std([0.0] * 99 + [-100.0] + [100.0, -100.0] * 50))


@pytest.mark.parametrize('rewards', [[], [0.0] * 50])
def test_without_anything_to_go_by_rewards_keep_their_unit(rewards):
    found = Returns(GAMMA, 5.0)
    found.add(transitions(rewards))
    assert found.unit == 1.0


def test_the_same_reward_at_every_step_is_taken_for_what_it_is():
    found = Returns(0.0, 5.0)
    found.add(transitions([-1.0] * 50))
    assert found.unit == 0.2
