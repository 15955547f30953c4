from __future__ import annotations

from types import SimpleNamespace

import pytest
from robot_rl.vitals.limits import ERROR, OK, WARN, worst
from robot_rl.vitals.recording import RecordingVitals
from robot_rl.vitals.topics import Needed

LIMITS = SimpleNamespace(warn_rate=0.9, error_rate=0.5, warn_gap=1.0, warn_queue=0.25,
                         error_queue=0.75, warn_hours=2.0, error_hours=0.25,
                         queue_bytes=1000, min_free_bytes=1_000_000)
FREE = 1_000_000 + 7_200_000        # 2 h of 1000 bytes per second beyond the floor


def part(vitals, name: str, now: float, **stats):
    """Return (level, reason, figures) of a part."""
    stats = {'queue_bytes': 0, 'disk_free': FREE, 'last_flush_age': 0.0, 'bag': '', **stats}
    found, = (found for found in vitals.parts(LIMITS, now, round(now * 1e9), stats)
              if found.name == name)
    return *worst(found.findings), found.values


def recorded(size: int, simulated: bool = False) -> RecordingVitals:
    """Return what has heard `size` bytes a second for 10 s."""
    vitals = RecordingVitals([Needed('/joint_states', 20.0, 0.15)], simulated)
    part(vitals, 'disk', 0.0)
    for second in range(1, 11):
        vitals.heard(0, size, second * 10 ** 9)
        part(vitals, 'disk', float(second))
    return vitals


@pytest.mark.parametrize('free, level, hours', [
    (FREE, OK, 2.0), (FREE - 100_000, WARN, 1.97), (1_900_000, WARN, 0.25),
    (1_899_000, ERROR, 0.25), (0, ERROR, 0.0)])
def test_the_hours_that_the_disk_lasts_are_held_against_the_limits(free, level, hours):
    found, _, figures = part(recorded(1000), 'disk', 10.0, disk_free=free)
    assert figures['bytes_per_second'] == 1000.0
    assert (found, round(figures['hours_left'], 2)) == (level, hours)


def test_a_disk_to_which_nothing_is_written_lasts():
    assert part(recorded(0), 'disk', 10.0, disk_free=0)[2]['hours_left'] is None


@pytest.mark.parametrize('waiting, level', [(250, OK), (251, WARN), (751, ERROR)])
def test_the_queue_is_held_against_the_limits(waiting, level):
    assert part(recorded(1), 'disk', 10.0, queue_bytes=waiting)[0] == level


def test_topics_are_judged_while_a_bag_is_open():
    vitals = recorded(1000)             # 1 Hz
    level, reason, figures = part(vitals, 'topics', 10.0, bag='episode_000001')
    assert level == ERROR
    assert reason == ('topic /joint_states: 1 Hz, at least 10 expected; '
                      'longest gap of topic /joint_states: 1 s, at most 0.15 expected')
    assert part(vitals, 'topics', 10.0)[:2] == (OK, '')
    assert figures['longest_gap_s /joint_states'] == 1.0


def test_in_simulated_time_no_silence_is_judged():
    reason = part(recorded(1000, simulated=True), 'topics', 10.0, bag='episode_000001')[1]
    assert reason == 'topic /joint_states: 1 Hz, at least 10 expected'
