from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.vitals.limits import ERROR, OK, WARN, worst
from robot_rl.vitals.serving import LEAST, ServingVitals

REACH = load_contract('reach')      # 20 Hz, max_age 0.15 s of both entries
LIMITS = SimpleNamespace(warn_rate=0.9, error_rate=0.5, warn_age=0.8, warn_tick=0.5,
                         error_tick=1.0, warn_late=0.01, error_late=0.1, warn_policy_age=60.0)
LAST = Step(0, 1, 4, Status.TRUNCATED, Source.POLICY, Mode.LEARN, 1, False, np.zeros(1),
            np.zeros(1), np.zeros(1))


def part(vitals, name: str, now: float = 0.0, version: int = 1, active: bool = True):
    """Return (level, reason, figures) of a part."""
    found, = (found for found in vitals.parts(LIMITS, now, round(now * 1e9), version, active)
              if found.name == name)
    return *worst(found.findings), found.values


def ticked(ages=(0.0, 0.0), lockstep: bool = False, seconds: float = 0.01, late=(),
           count: int = LEAST) -> ServingVitals:
    """Return what has seen `count` ticks, the first ones late."""
    vitals = ServingVitals(REACH, lockstep)
    for missed in [*late, *[0] * (count - len(late))]:
        vitals.ticked(0.0, seconds, ages, missed)
    return vitals


@pytest.mark.parametrize('seconds, level', [(0.025, OK), (0.026, WARN), (0.051, ERROR)])
def test_the_time_of_a_tick_is_held_against_the_control_period(seconds, level):
    assert part(ticked(seconds=seconds), 'control')[0] == level


def test_percentiles_of_ticks_are_those_of_a_known_sequence():
    vitals = ServingVitals(REACH, False)
    for seconds in np.random.default_rng(0).permutation(np.arange(1, 101) * 1e-4):
        vitals.ticked(0.0, seconds, (0.0, 0.0), 0)
    _, _, figures = part(vitals, 'control')
    assert figures['tick_p50_ms'] == pytest.approx(5.0)
    assert figures['tick_p99_ms'] == pytest.approx(9.9)
    assert figures['ticks_last_minute'] == 100


def test_in_lockstep_no_tick_and_no_rate_is_too_slow():
    vitals = ticked(seconds=9.0, lockstep=True)
    part(vitals, 'observations', 1.0)
    assert part(vitals, 'control')[:2] == part(vitals, 'observations', 90.0)[:2] == (OK, '')


def test_late_periods_are_counted_once_however_they_add_up():
    vitals = ticked(late=[0, 12, 13, 0, 1, 0, 2])
    level, reason, figures = part(vitals, 'control')
    assert (figures['late_ticks'], figures['late_share']) == (16, 16 / 116)
    assert (level, reason) == (ERROR, 'late share of ticks: 0.138, at most 0.1 expected')


def test_late_ticks_are_forgiven_after_a_minute_and_still_counted():
    vitals = ticked(late=[3])
    assert part(vitals, 'control')[0] == WARN
    for _ in range(LEAST):
        vitals.ticked(61.0, 0.01, (0.0, 0.0), 0)
    level, _, figures = part(vitals, 'control', 61.0)
    assert (level, figures['late_ticks'], figures['late_share']) == (OK, 3, 0.0)


def test_so_few_ticks_that_one_would_decide_are_not_judged():
    few = {'ages': (0.5, 0.5), 'seconds': 9.0, 'late': [50]}
    for name in ('control', 'observations'):
        assert part(ticked(**few, count=LEAST - 1), name)[0] == OK
        assert part(ticked(**few), name)[0] != OK


@pytest.mark.parametrize('age, level', [(0.12, OK), (0.121, WARN)])
def test_the_age_of_what_was_acted_on_is_held_against_max_age(age, level):
    level_found, reason, figures = part(ticked(ages=(0.0, age)), 'observations')
    assert level_found == level
    assert reason == ('age p99 of tip when acted on: 0.121 s, at most 0.12 expected'
                      if level else '')
    assert figures['acted_on_age_p99_ms tip'] == pytest.approx(1e3 * age)
    assert figures['acted_on_age_p50_ms arm'] == 0.0


def test_no_rate_is_judged_while_nothing_is_subscribed_to():
    vitals = ServingVitals(REACH, False)
    part(vitals, 'observations', 1.0)
    assert part(vitals, 'observations', 20.0, active=False)[0] == OK
    assert part(vitals, 'observations', 20.0)[0] == ERROR


def test_success_is_that_of_the_last_twenty_episodes_of_each_mode():
    vitals = ServingVitals(REACH, False)
    for number in range(30):
        vitals.ended(replace(LAST, success=number < 25))
    vitals.ended(replace(LAST, mode=Mode.EXPLORE, success=True))
    _, _, figures = part(vitals, 'episodes')
    assert (figures['success_rate learn'], figures['episodes learn']) == (0.75, 20)
    assert (figures['success_rate explore'], figures['episodes explore']) == (1.0, 1)


@pytest.mark.parametrize('status', [Status.ABORTED, Status.BROKEN])
def test_an_episode_that_was_stopped_measures_nothing(status):
    vitals = ServingVitals(REACH, False)
    vitals.ended(replace(LAST, status=status))
    assert 'episodes learn' not in part(vitals, 'episodes')[2]


def test_the_age_of_the_policy_begins_when_it_takes_over():
    vitals = ServingVitals(REACH, False)
    assert part(vitals, 'episodes', 5.0, version=-1)[2]['policy_age_s'] is None
    assert part(vitals, 'episodes', 10.0, version=500)[2]['policy_age_s'] == 0.0
    level, reason, figures = part(vitals, 'episodes', 75.0, version=500)
    assert (level, figures['policy_age_s'], figures['policy_version']) == (WARN, 65.0, 500)
    assert reason == 'age of the policy in use: 65 s, at most 60 expected'
    assert part(vitals, 'episodes', 76.0, version=1000)[0] == OK
