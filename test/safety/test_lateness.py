from __future__ import annotations

import pytest
from robot_rl.safety.lateness import Lateness


def late(*times: float) -> list[int]:
    found = Lateness(0.05)
    return [found.tick(time) for time in times]


def test_the_first_tick_is_never_late():
    assert late(1e6) == [0]


def test_ticks_in_time_are_not_late_though_they_jitter():
    assert late(0.0, 0.05, 0.12, 0.15, 0.22) == [0] * 5


@pytest.mark.parametrize(('gap', 'missed'), [(0.1, 1), (0.15, 2), (0.2, 3), (60.0, 1199)])
def test_a_gap_counts_the_periods_that_were_missed(gap, missed):
    assert late(0.0, gap) == [0, missed]


def test_late_ticks_in_a_row_add_up_and_one_in_time_ends_the_row():
    assert late(0.0, 0.1, 0.2, 0.3, 0.35, 0.45) == [0, 1, 2, 3, 0, 1]


def test_a_clock_that_goes_back_is_not_late():
    assert late(10.0, 5.0) == [0, 0]
