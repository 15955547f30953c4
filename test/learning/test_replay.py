from __future__ import annotations

import numpy as np
import pytest
from robot_rl.data.transitions import Transitions
from robot_rl.learning.replay import draw, Replay, shares
import torch


def transitions(count: int, start: float = 0.0) -> Transitions:
    """Return transitions whose every number tells which one it is."""
    number = start + np.arange(count, dtype=np.float32)
    return Transitions(np.stack([number] * 2, 1), number[:, None], number,
                       np.stack([number + 0.5] * 2, 1), (number % 2).astype(np.float32),
                       np.zeros(count, np.float32))


def filled(count: int, start: float = 0.0) -> Replay:
    replay = Replay(2, 1)
    replay.add(transitions(count, start))
    return replay


def sample(sources, counts, seed: int = 0):
    return draw(sources, counts, torch.Generator().manual_seed(seed))


def test_growth_keeps_the_order():
    replay, start = Replay(2, 1), 0
    for count in (1, 1000, 0, 30, 5000, 7):
        replay.add(transitions(count, start))
        start += count
    assert len(replay) == len(replay.rows) == 6038
    assert torch.equal(replay.rows[:, 3], torch.arange(6038.0))


def test_a_batch_keeps_the_numbers_of_a_transition_together():
    observation, action, reward, following, terminated = sample({'a': filled(50)}, {'a': 200})
    assert [part.shape for part in (observation, action, reward, following, terminated)] == [
        (200, 2), (200, 1), (200, 1), (200, 2), (200, 1)]
    number = reward[:, 0]
    assert torch.equal(observation, torch.stack([number] * 2, 1))
    assert torch.equal(action[:, 0], number) and torch.equal(terminated[:, 0], number % 2)
    assert torch.equal(following[:, 0], number + 0.5)


@pytest.mark.parametrize(('weights', 'expected'), [
    ((1.0, 1.0), {'robot': 128, 'demos': 128}), ((3.0, 1.0), {'robot': 192, 'demos': 64}),
    ((1.0, 0.0), {'robot': 256}), ((0.0, 2.0), {'demos': 256}),
    ((2.0, 1.0), {'robot': 171, 'demos': 85})])
def test_a_batch_is_split_in_proportion_to_the_weights(weights, expected):
    sources = {'robot': filled(5), 'demos': filled(5000)}
    assert shares(dict(zip(sources, weights)), sources, 256) == expected


def test_an_empty_source_leaves_its_share_to_the_other():
    sources = {'robot': Replay(2, 1), 'demos': filled(4)}
    assert shares(dict.fromkeys(sources, 1.0), sources, 256) == {'demos': 256}


def test_nothing_to_sample_gives_no_shares():
    assert shares({'a': 1.0}, {'a': Replay(2, 1)}, 256) == {}


def test_symmetric_sampling_draws_half_from_each_and_evenly_within():
    sources = {'robot': filled(10), 'demos': filled(1000, start=10_000)}
    counts = shares({'robot': 1.0, 'demos': 1.0}, sources, 4000)
    reward = torch.cat([sample(sources, counts, seed)[2] for seed in range(10)])[:, 0]
    assert (reward < 10).sum() == (reward >= 10_000).sum() == 20_000
    # 20 000 draws of 10: 2000 each, standard deviation sqrt(20 000 * 0.1 * 0.9) = 42.
    drawn = torch.bincount(reward[reward < 10].long(), minlength=10)
    assert (drawn - 2000).abs().max() < 5 * 42
    # 20 000 draws of 1000: chi square of 999 degrees has mean 999, deviation sqrt(2 * 999) = 45.
    drawn = torch.bincount((reward[reward >= 10_000] - 10_000).long(), minlength=1000).double()
    assert abs(((drawn - 20) ** 2 / 20).sum().item() - 999) < 5 * 45


def test_the_same_generator_draws_the_same_batch():
    sources = {'a': filled(100)}
    assert all(torch.equal(*pair) for pair in zip(sample(sources, {'a': 64}, 3),
                                                  sample(sources, {'a': 64}, 3)))
    assert not torch.equal(sample(sources, {'a': 64}, 3)[2], sample(sources, {'a': 64}, 4)[2])
