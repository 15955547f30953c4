from __future__ import annotations

import numpy as np
import pytest
from robot_rl.visited import Visited

WHITE = (1.0, 1.0, 1.0)


def along(visited: Visited, count: int) -> list[float]:
    """Visit x = 0, 1, 2, ... and return the x that are kept."""
    for x in range(count):
        visited.add((x, 0.0, 0.0), WHITE)
    return visited.points['x'].tolist()


def test_each_place_keeps_the_colour_of_who_acted():
    visited = Visited()
    visited.add((0.1, -0.2, 0.3), (1.0, 0.5, 0.0))
    visited.add((0.4, 0.5, 0.6), (0.0, 0.0, 1.0))
    assert len(visited) == visited.added == 2
    assert np.allclose([visited.points[axis].tolist() for axis in 'xyz'],
                       [[0.1, 0.4], [-0.2, 0.5], [0.3, 0.6]])
    assert visited.points['rgb'].tolist() == [0xff8000, 0x0000ff]


@pytest.mark.parametrize(('count', 'kept'), [
    (4, [0, 1, 2, 3]), (5, [0, 2, 4]), (6, [0, 2, 4]), (8, [0, 2, 4, 6]), (9, [0, 4, 8])])
def test_a_full_memory_keeps_every_second_place_and_takes_every_second_one(count, kept):
    assert along(Visited(most=4), count) == kept


@pytest.mark.parametrize('most', [2, 4, 100])
def test_a_long_time_is_kept_evenly_in_a_bounded_memory(most):
    kept = along(Visited(most), 50 * most)
    assert 0 < len(kept) <= most
    assert kept == sorted(kept) and kept[0] == 0.0
    assert len(set(np.diff(kept))) <= 1


@pytest.mark.parametrize('place', [(np.nan, 0.0, 0.0), (0.0, np.inf, 0.0)])
def test_a_place_that_is_none_is_left_out(place):
    visited = Visited()
    visited.add(place, WHITE)
    assert len(visited) == visited.added == 0
