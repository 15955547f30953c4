"""The arithmetic of the soak: it finds a leak and a missed deadline, and only those."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

from benchmark_files import load
import pytest

benchmark = load('soak')
PERIOD = 20_000_000     # ns


def steps(count: int, episode: int = 1, begin: int = 0) -> list[tuple[int, int, int]]:
    return [(begin + index * PERIOD, episode, index) for index in range(count)]


def soaked(leak: float = 0.0, published=None) -> SimpleNamespace:
    """Return what a soak of an hour saw; `leak` is in MB per hour."""
    return SimpleNamespace(
        memory={'policy_server': [(s, 40.0 + leak * s / 3600.0) for s in range(0, 3600, 60)],
                'data_recorder': [(s, 45.0 + (s < 300)) for s in range(0, 3600, 60)]},
        published=steps(100) if published is None else published, stops=Counter(), exits=[])


def holds(soak) -> list[bool]:
    return [claim['holds'] for claim in benchmark.summarise(soak, 3600.0)['claims']]


def test_the_growth_is_the_slope_per_hour():
    assert benchmark.growth([0.0, 1800.0, 3600.0], [50.0, 51.0, 52.0]) == pytest.approx(2.0)


def test_steps_in_time_miss_nothing_and_no_period_joins_two_episodes():
    assert benchmark.missed(steps(5) + steps(4, 2, begin=10**12), 0.02) == (0, 7)


@pytest.mark.parametrize(('behind', 'lost'), [(1.4, 0), (1.6, 1), (3.0, 2)])
def test_a_late_step_misses_the_periods_before_it(behind, lost):
    assert benchmark.missed([(0, 1, 0), (int(behind * PERIOD), 1, 1)], 0.02) == (lost, lost + 1)


def test_a_quiet_hour_holds():
    assert holds(soaked()) == [True, True, True]


def test_a_leak_of_two_megabytes_an_hour_is_found():
    assert holds(soaked(leak=2.0)) == [False, True, True]


def test_missed_deadlines_are_found():
    gap = steps(500) + steps(500, begin=502 * PERIOD)
    assert holds(soaked(published=gap)) == [True, False, True]


def test_a_node_that_ended_is_found():
    soak = soaked()
    soak.exits.append(SimpleNamespace(name='policy_server'))
    assert holds(soak) == [True, True, False]


def test_seconds_that_cannot_be_are_refused(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(['--seconds', '-1'])
    assert '--seconds: expected 10' in capsys.readouterr().err
