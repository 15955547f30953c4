"""Where products are rounded, and that it ends there."""

from __future__ import annotations

import pytest
from robot_rl.learning.precision import products
import torch


def precision() -> str:
    return torch.get_float32_matmul_precision()


def test_products_are_rounded_within_and_not_after():
    before = precision()
    with products(True):
        assert precision() == 'medium'
        with products(False):
            assert precision() == 'medium'
    assert precision() == before


def test_an_error_leaves_things_as_they_were():
    before = precision()
    with pytest.raises(ZeroDivisionError), products(True):
        1 / 0
    assert precision() == before


def test_where_the_processor_has_it_products_are_rounded_and_stay_close():
    g = torch.Generator().manual_seed(0)
    one, other = torch.randn(512, 512, generator=g), torch.randn(512, 512, generator=g)
    exact = one @ other
    with products(True):
        found = one @ other
    assert (found - exact).abs().max() < 0.5        # of values that vary by 23
    if torch.cpu._is_amx_tile_supported():
        assert (found - exact).abs().max() > 0.01
