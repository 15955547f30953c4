"""Calibration: exact where the policy is the demonstrator; finds too narrow and too wide."""

from __future__ import annotations

import numpy as np
import pytest
from robot_rl.learning.calibration import coverage, LEVELS, region_ranks

STATES = 1500
TOLERANCE = 0.04        # more than 3 standard errors at 1500 states


def modes(rng: np.random.Generator, shape, spread: float = 0.1) -> np.ndarray:
    """Draw from two narrow modes, a shape that no Gaussian has."""
    side = rng.choice((-1.0, 1.0), shape[:-1] + (1,))
    return side + spread * rng.standard_normal(shape)


@pytest.mark.parametrize('draw', [
    lambda rng, shape: rng.standard_normal(shape), modes,
    lambda rng, shape: rng.exponential(size=shape) * [1.0, 1e-4],
], ids=['normal', 'two modes', 'skewed, of other units'])
def test_a_policy_that_is_the_demonstrator_covers_every_level(draw):
    rng = np.random.default_rng(0)
    found = coverage(draw(rng, (STATES, 40, 2)), draw(rng, (STATES, 2)))
    assert np.allclose(found.shares, LEVELS, atol=TOLERANCE)
    assert found.count == STATES


def test_a_policy_that_collapsed_covers_too_little():
    rng = np.random.default_rng(0)
    found = coverage(0.2 * rng.standard_normal((STATES, 40, 2)), rng.standard_normal((STATES, 2)))
    assert found[0.9] < 0.3


def test_a_policy_that_is_too_wide_covers_too_much():
    rng = np.random.default_rng(0)
    found = coverage(3.0 * rng.standard_normal((STATES, 40, 2)), rng.standard_normal((STATES, 2)))
    assert found[0.5] > 0.9


def test_a_policy_that_lost_one_of_two_ways_misses_half_the_actions():
    rng = np.random.default_rng(0)
    left = -1.0 + 0.1 * rng.standard_normal((STATES, 40, 2))
    assert coverage(left, modes(rng, (STATES, 2)))[0.95] == pytest.approx(0.475, abs=0.06)


def test_what_lies_between_two_ways_is_in_no_small_region():
    rng = np.random.default_rng(0)
    ranks = region_ranks(modes(rng, (50, 100, 2)), np.zeros((50, 2)))
    assert ranks.min() > 0.8        # an ellipse around the mean would hold it at any level


def test_samples_that_are_all_the_same_are_no_error():
    ranks = region_ranks(np.ones((3, 20, 2)), np.array([[1.0, 1.0], [1.0, 1.1], [9.0, 9.0]]))
    assert np.isfinite(ranks).all()
    assert ranks[0] == 0.5 and (ranks[1:] == 1.0).all()


def test_float32_samples_on_a_line_have_regions_too():
    line = np.random.default_rng(0).standard_normal((200, 33, 1)).astype(np.float32)
    points = line * np.float32([1.0, 0.9, 1.1]) + np.float32(0.1)
    assert np.isfinite(region_ranks(points[:, 1:], points[:, 0])).all()
