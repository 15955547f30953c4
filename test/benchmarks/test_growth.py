"""The benchmark of growth: its exponents are right, and every cell does its work at its least."""

from __future__ import annotations

import sys

from benchmark_files import FOLDER, load
import numpy as np
import pytest

sys.path.insert(0, str(FOLDER))     # its files import each other, as scripts do

growth, cells = load('growth'), load('growth_cells')
LEAST = {cell.name: cell.sizes[0] for cell in growth.cells(fast=True)}


@pytest.mark.parametrize('power', [0.0, 1.0, 2.0])
def test_the_exponent_is_that_of_the_largest_sizes(power):
    sizes = [0.1, 1.0, 10.0, 100.0]
    values = [5.0, *(3.0 * size ** power for size in sizes[1:])]    # the least one has a cost
    assert growth.exponent(sizes, values) == pytest.approx(power)


def test_a_cell_that_grows_as_stated_holds_and_one_that_does_not_is_missed():
    cell = growth.Cell('take_in', 'hours', (1.0, 10.0, 100.0), 1.0)
    linear, square = ([growth.row(cell, [(size ** power, 2.0 * size) for size in cell.sizes])]
                      for power in (1.0, 2.0))
    assert [claim['holds'] for claim in growth.claims(linear)] == [True, True]
    assert [claim['holds'] for claim in growth.claims(square)] == [False, True]


def test_memory_that_is_lost_in_noise_claims_nothing():
    cell = growth.Cell('restart', 'hours', (1.0, 10.0, 100.0), 1.0)
    row = growth.row(cell, [(size, 0.5) for size in cell.sizes])
    assert row['memory_exponent'] is None and len(growth.claims([row])) == 1


def test_every_cell_is_there():
    assert set(LEAST) == set(cells.CELLS)


@pytest.mark.parametrize('name', cells.CELLS)
def test_a_cell_does_its_work(name, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, 'ROBOT_EPISODES', 2)
    assert 0.0 < cells.CELLS[name](LEAST[name], tmp_path) < 60.0


def test_a_folder_of_recorded_hours_holds_their_episodes(tmp_path):
    from robot_rl.data.bag import bag_transitions, find_bags
    root, count = cells.recorded(tmp_path, 1 / 30)
    contract = cells.contract_in(tmp_path)
    found = [bag_transitions(bag, contract) for bag in find_bags(root)]
    assert count == len(found) == 4
    assert all(len(one) == cells.STEPS for one in found)
    assert np.array_equal(found[0].observation, found[-1].observation)
