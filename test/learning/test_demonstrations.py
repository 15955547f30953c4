"""Demonstrations: windows of actions that never cross an end, and folds of whole trajectories."""

from __future__ import annotations

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.learning.demonstrations import Demonstrations, windows

CONTRACT = load_contract('puck_push')
N, M = len(CONTRACT.layout), len(CONTRACT.action.layout)


def episode(length: int, rng, terminated=(), truncated=()) -> Transitions:
    """Return transitions that end at the steps named, and at the last one."""
    ends = np.zeros((2, length), np.float32)
    ends[0, list(terminated)], ends[1, list(truncated)] = 1.0, 1.0
    ends[1, -1] = 1.0 - ends[0, -1]
    return Transitions(rng.standard_normal((length, N)).astype(np.float32),
                       rng.uniform(-1, 1, (length, M)).astype(np.float32),
                       np.zeros(length, np.float32),
                       rng.standard_normal((length, N)).astype(np.float32), *ends)


def build(episodes, chunk=3, folds=4, seed=0) -> Demonstrations:
    return Demonstrations.build(episodes, CONTRACT, chunk, folds, seed)


def test_a_window_holds_the_next_actions_and_repeats_the_last():
    found = windows(np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]), 2)
    assert found.tolist() == [[1, 10, 2, 20], [2, 20, 3, 30], [3, 30, 3, 30]]


def test_no_window_crosses_a_gap_in_the_recording():
    rng = np.random.default_rng(0)
    whole, other = episode(6, rng, truncated=[2]), episode(4, rng)
    data = build([whole, other], chunk=2)
    raw = data.chunk * data.action_std + data.action_mean
    assert len(data.fold) == 3      # the gap makes two trajectories of one episode
    assert np.allclose(raw[2], np.tile(whole.action[2], 2), atol=1e-6)
    assert np.allclose(raw[1], whole.action[1:3].ravel(), atol=1e-6)


def test_every_trajectory_is_tested_whole_in_one_fold():
    rng = np.random.default_rng(0)
    data = build([episode(5, rng) for _ in range(10)])
    assert data.folds == 4 and sorted(np.bincount(data.fold)) == [2, 2, 3, 3]
    tested = [data.tested(fold) for fold in range(4)]
    assert sorted(np.concatenate(tested)) == list(range(50))
    for fold, rows in enumerate(tested):
        assert set(data.trajectory[rows]) == set(np.flatnonzero(data.fold == fold))
        assert sorted([*data.trained(fold), *rows]) == list(range(50))


def test_there_are_no_more_folds_than_trajectories():
    rng = np.random.default_rng(0)
    data = build([episode(5, rng), episode(5, rng)])
    assert sorted(data.fold) == [0, 1]


def test_observations_and_actions_are_standardised():
    rng = np.random.default_rng(0)
    data = build([episode(50, rng) for _ in range(4)], chunk=1)
    assert np.abs(data.observation.mean(0)).max() < 1e-5
    assert np.allclose(data.observation.std(0), 1.0, atol=1e-4)
    assert np.abs(data.chunk.mean(0)).max() < 1e-5
    assert np.allclose(data.chunk.std(0), 1.0, atol=1e-4)


def test_an_action_that_is_never_used_is_not_blown_up():
    rng = np.random.default_rng(0)
    episodes = [episode(20, rng) for _ in range(3)]
    for part in episodes:
        part.action[:, 1] = 0.25
    data = build(episodes)
    assert np.isfinite(data.chunk).all()
    assert np.abs(data.chunk.reshape(-1, 3, M)[..., 1]).max() == 0
    assert data.action_std[1] == pytest.approx(0.01 * CONTRACT.action.high[1])


def test_one_trajectory_is_too_few():
    with pytest.raises(UserError, match='expected at least two.*found 1; record more'):
        build([episode(9, np.random.default_rng(0))])
