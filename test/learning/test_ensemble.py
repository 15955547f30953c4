"""The ensemble: its bootstrap, its covariance, and that it differs where data is missing."""

from __future__ import annotations

import numpy as np
import pytest
from robot_rl.learning.demonstrations import Demonstrations
from robot_rl.learning.ensemble import (bootstrap, Ensemble, moved, of_each, posterior_noise,
                                        roots)
from robot_rl.learning.policy import Normalizer
import torch


def line(trajectories: int, length: int = 12, gap: float = 0.0, seed: int = 0) -> Demonstrations:
    """Return demonstrations of a = (sin 2s, s) along s in [-1, 1], none of them inside +-gap."""
    rng = np.random.default_rng(seed)
    side = np.repeat(rng.choice((-1.0, 1.0), trajectories), length)
    place = side * rng.uniform(gap, 1.0, trajectories * length)
    chunk = np.stack((np.sin(2 * place), place), 1) + 0.05 * rng.standard_normal((len(place), 2))
    return Demonstrations(
        place[:, None].astype(np.float32), chunk.astype(np.float32),
        np.repeat(np.arange(trajectories), length), np.arange(trajectories) % 2, 1,
        Normalizer(np.zeros(1, np.float32), np.ones(1, np.float32)),
        np.zeros(2, np.float32), np.ones(2, np.float32))


def fitted(data: Demonstrations, updates: int = 600, seed: int = 0):
    ensemble, generator = Ensemble(data, 10, 32, 3e-3, seed), torch.Generator().manual_seed(seed)
    state = ensemble.init(generator)
    for count in range(1, updates + 1):
        state, _ = ensemble.update(state, generator)
        if count % 50 == 0:
            state = ensemble.measure(state)
    return ensemble, state


def spread(ensemble: Ensemble, state, places) -> np.ndarray:
    """Return the trace of cov(s) at each place."""
    found = ensemble.deviations(state, torch.tensor(places, dtype=torch.float32)[:, None])
    return (found ** 2).mean(1).sum(1).numpy()


def test_a_bootstrap_draws_whole_trajectories_with_replacement():
    data = line(10, length=4)
    drawn = bootstrap(data, np.arange(10), np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=40).reshape(10, 4)
    assert (counts == counts[:, :1]).all()          # a trajectory is drawn whole or not
    assert counts.sum() == 10 * 4                   # as many as there are
    assert counts.max() > 1


@pytest.mark.parametrize('seed', range(8))
def test_a_bootstrap_leaves_a_trajectory_to_judge_by(seed):
    data = line(2, length=4)
    assert len(np.unique(bootstrap(data, np.arange(2), np.random.default_rng(seed)))) == 4


def test_a_bootstrap_draws_from_what_is_taught():
    data = line(10, length=4)
    drawn = bootstrap(data, np.array([1, 4, 7]), np.random.default_rng(0))
    assert len(drawn) == 3 * 4 and set(data.trajectory[drawn]) <= {1, 4, 7}
    assert len(bootstrap(data, np.array([3]), np.random.default_rng(0))) == 4


def test_so_many_windows_of_each_trajectory_are_found():
    trajectory = np.array([2, 0, 1, 0, 2, 0, 2])
    found = of_each(trajectory, 2, np.random.default_rng(0))
    assert np.bincount(trajectory[found]).tolist() == [2, 1, 2]
    assert len(set(found)) == 5


def test_members_differ_where_no_data_is():
    # The line is demonstrated on both sides of a gap: what happens in it is open.
    ensemble, state = fitted(line(30, gap=0.5))
    inside, outside = spread(ensemble, state, [0.0]), spread(ensemble, state, [-0.75, 0.75])
    assert inside[0] > 3 * outside.max()


def test_the_spread_falls_as_demonstrations_grow_so_the_posterior_becomes_cloning():
    places = np.linspace(-1, 1, 21)
    few, many = (spread(*fitted(line(count, 4), 1000), places).mean() for count in (5, 80))
    assert many < 0.5 * few


def test_each_member_is_kept_where_it_was_best_on_what_it_does_not_see():
    data = line(6)
    ensemble, state = fitted(data, 1500)
    best = state.best_loss.clone()
    state, _ = ensemble.update(state, torch.Generator())
    spoiled = ensemble.measure(type(state)(
        type(state.slot)(state.slot.value + 1.0, *list(vars(state.slot).values())[1:]),
        state.best, state.best_loss, state.updates, state.fruitless))
    assert torch.equal(spoiled.best_loss, best) and torch.equal(spoiled.best, state.best)
    assert spoiled.fruitless == state.fruitless + 1


def test_a_member_is_judged_by_what_its_bootstrap_left():
    ensemble = Ensemble(line(6), 10, 8, 1e-3, 0)
    for member in range(10):
        seen = ensemble.rows[member, :ensemble.counts[member]].unique()
        judged = ensemble.measured[ensemble.unseen[member] > 0]
        assert len(judged) and not np.isin(judged, seen).any()
        assert len(judged) + len(seen) == 6 * 12


def test_members_that_see_noise_in_place_of_bootstraps_differ_less_as_demonstrations_grow():
    places = np.linspace(-1, 1, 21)

    def noised(count: int) -> float:
        ensemble = Ensemble(line(count, 4), 10, 32, 3e-3, 0, noised=True)
        generator = torch.Generator().manual_seed(0)
        state = ensemble.init(generator)
        for _ in range(600):
            state, _ = ensemble.update(state, generator)
        return spread(ensemble, ensemble.measure(state), places).mean()

    assert 0 < noised(80) < 0.5 * noised(5)


def test_noise_has_the_full_covariance_of_the_members():
    generator = torch.Generator().manual_seed(0)
    deviations = torch.randn((1, 10, 1), generator=generator) * torch.tensor([1.0, 2.0])
    deviations = deviations - deviations.mean(1, keepdim=True)      # the two numbers go together
    drawn = posterior_noise(deviations.expand(40_000, -1, -1), generator)
    expected = torch.einsum('ki,kj->ij', deviations[0], deviations[0]) / 10
    found = torch.cov(drawn.T)
    assert torch.allclose(found, expected, rtol=0.05)
    assert found[0, 1] == pytest.approx(float((found[0, 0] * found[1, 1]).sqrt()), rel=1e-3)


def test_an_action_is_moved_by_the_covariance_of_its_own_numbers():
    generator = torch.Generator().manual_seed(0)
    deviations = torch.randn((1, 10, 4), generator=generator)       # two actions of two numbers
    deviations[..., 1] += 2.0 * deviations[..., 0]
    root = roots(deviations, 2)
    assert torch.allclose(root, root.mT, atol=1e-5)
    latent = torch.randn((40_000, 2), generator=generator)
    drawn = moved(root.expand(40_000, -1, -1, -1), latent)
    expected = torch.einsum('ki,kj->ij', deviations[0], deviations[0]) / 10
    found = drawn.T @ drawn / len(drawn)
    for part in (slice(0, 2), slice(2, 4)):
        assert torch.allclose(found[part, part], expected[part, part], rtol=0.05, atol=0.05)
    again = moved(root, latent[:1])
    assert torch.equal(again, moved(root, latent[:1]))      # no chance of its own


def test_members_that_agree_move_nothing():
    assert not moved(roots(torch.zeros((3, 10, 4)), 2), torch.ones((3, 2))).any()
