"""The denoiser: its sampler is exact where the velocity is, and it learns what it is shown."""

from __future__ import annotations

import numpy as np
import pytest
from robot_rl.learning.diffusion import Denoiser
from robot_rl.learning.networks import Adam, Slot
import torch


class Exact(Denoiser):
    """Knows the velocity of data that are normal, N(mean, std^2) in each number."""

    def __init__(self, mean: float, std: float):
        super().__init__(3, 2, 8, 1)
        self.mean, self.std = mean, std

    def velocity(self, parameters, x, observation, phi):
        signal, noise = torch.cos(phi), torch.sin(phi)
        variance = (signal * self.std) ** 2 + noise ** 2
        chunk = self.mean + signal * self.std ** 2 / variance * (x - signal * self.mean)
        drawn = noise / variance * (x - signal * self.mean)
        return (signal * drawn - noise * chunk)[None]


@pytest.mark.parametrize('steps', [1, 2, 8])
def test_with_one_possible_chunk_any_noise_and_any_number_of_steps_gives_it(steps):
    noise = torch.randn((5, 3), generator=torch.Generator().manual_seed(0))
    found = Exact(0.7, 0.0).sample(None, torch.zeros((5, 2)), noise, steps)
    assert torch.allclose(found, torch.full((5, 3), 0.7), atol=1e-5)


def test_normal_data_come_out_with_their_mean_and_spread():
    noise = torch.randn((20_000, 3), generator=torch.Generator().manual_seed(0))
    found = Exact(-0.4, 0.5).sample(None, torch.zeros((20_000, 2)), noise, 64)
    assert found.mean() == pytest.approx(-0.4, abs=0.02)
    assert found.std() == pytest.approx(0.5, rel=0.05)


def test_the_same_noise_gives_the_same_chunk():
    denoiser, generator = Denoiser(4, 2, 16, 2), torch.Generator().manual_seed(1)
    parameters = denoiser.mlp.init(1, generator)
    noise = torch.randn((6, 4), generator=generator)
    first, again = (denoiser.sample(parameters, torch.zeros((6, 2)), noise, 5)
                    for _ in range(2))
    assert torch.equal(first, again)


@pytest.fixture(scope='module')
def two_modes():
    """Return samples where the demonstrator goes left or right by chance, never ahead."""
    denoiser, generator = Denoiser(2, 1, 64, 2), torch.Generator().manual_seed(0)
    slot, adam = Slot.of(denoiser.mlp.init(1, generator)), Adam(2e-3)
    for count in range(1, 1501):
        side = torch.randint(2, (128, 1), generator=generator) * 2.0 - 1.0
        parameters = slot.value.detach().requires_grad_()
        losses = denoiser.losses(parameters, side.expand(1, 128, 2), torch.zeros((1, 128, 1)),
                                 generator)
        gradient, = torch.autograd.grad(losses.sum(), parameters)
        slot = adam.step(slot, gradient, torch.tensor(float(count)))
    noise = torch.randn((2000, 2), generator=generator)
    return denoiser.sample(slot.value, torch.zeros((2000, 1)), noise, 8).numpy()


def test_both_ways_of_a_demonstrator_are_learned(two_modes):
    left = np.mean(two_modes[:, 0] < 0)
    assert 0.4 < left < 0.6
    near = np.abs(np.abs(two_modes) - 1.0).max(1) < 0.3
    assert near.mean() > 0.9        # a regressor's answer, 0, would be near neither


def test_a_chunk_holds_together(two_modes):
    assert np.mean(np.sign(two_modes[:, 0]) == np.sign(two_modes[:, 1])) > 0.97
