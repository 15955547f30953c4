from __future__ import annotations

import numpy as np
import pytest
from robot_rl.learning.moments import Moments


@pytest.mark.parametrize('shape', [(1000,), (1000, 3)])
def test_portions_give_the_moments_of_all(shape):
    values = np.random.default_rng(0).normal(7.0, 3.0, shape)
    found = Moments()
    for portion in np.split(values, [1, 1, 4, 700]):        # one of them is empty
        found.add(portion)
    assert found.count == 1000
    assert np.allclose(found.mean, values.mean(0), rtol=1e-12)
    assert np.allclose(found.deviation, values.std(0), rtol=1e-12)


def test_nothing_has_no_deviation():
    assert Moments().deviation == 0.0


def test_small_variation_far_from_zero_is_not_lost_among_single_floats():
    values = (1e4 + np.random.default_rng(0).normal(0.0, 0.1, 10_000)).astype(np.float32)
    found = Moments()
    for portion in np.split(values, 100):
        found.add(portion)
    assert found.deviation == pytest.approx(values.astype(float).std(), rel=1e-9)
