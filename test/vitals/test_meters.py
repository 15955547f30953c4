from __future__ import annotations

import numpy as np
import pytest
from robot_rl.vitals.meters import Meter, Pace, Recent


def feed(meter: Meter, times, amount: float = 1.0) -> None:
    """Let something come at these times, with a look after every whole second."""
    second = None
    for time in times:
        if second is not None and int(time) > second:
            meter.look(float(int(time)))
        second = int(time)
        meter.add(time, amount)


def test_nothing_is_known_of_what_never_came():
    assert Meter().look(5.0) == Pace(None, None, None)


def test_a_rate_is_one_after_two_seconds():
    meter = Meter()
    feed(meter, np.arange(0, 40) / 20.0)
    assert meter.look(1.95).rate is None
    assert meter.look(2.0).rate == pytest.approx(39 / 2.0)      # 39 intervals began


def test_the_rate_is_that_of_the_last_ten_seconds():
    meter = Meter()
    feed(meter, np.arange(0, 20 * 50) / 50.0)                   # 20 s of 50 Hz
    feed(meter, 20.0 + np.arange(0, 20 * 10) / 10.0)            # then 10 Hz
    assert meter.look(40.0).rate == pytest.approx(10.0, rel=0.02)


def test_in_silence_the_rate_falls_to_zero():
    meter = Meter()
    feed(meter, np.arange(0, 200) / 20.0)
    rates = [meter.look(float(now)).rate for now in range(10, 25)]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[-1]) == (pytest.approx(20.0, rel=0.02), 0.0)


def test_an_amount_is_counted_as_a_rate():
    meter = Meter()
    feed(meter, np.arange(0, 200) / 20.0, amount=1000.0)
    assert meter.look(10.0).rate == pytest.approx(20_000.0, rel=0.02)


def test_the_longest_silence_of_a_minute_is_told_and_then_forgotten():
    meter = Meter()
    feed(meter, [0.0, 0.1, 0.2, 1.45, 1.5])
    assert meter.look(1.5).gap == pytest.approx(1.25)
    feed(meter, 1.5 + np.arange(1, 595) / 10.0)
    assert meter.look(60.9).gap == pytest.approx(1.25)
    feed(meter, 61.0 + np.arange(0, 21) / 10.0)
    assert meter.look(63.0).gap < 1.0


def test_the_present_silence_is_a_gap_as_well():
    meter = Meter()
    meter.add(0.0)
    assert meter.look(3.5) == Pace(0.0, 3.5, 3.5)
    assert meter.look(7.0) == Pace(0.0, 7.0, 7.0)


def test_a_clock_that_goes_back_begins_anew():
    meter = Meter()
    feed(meter, np.arange(100, 120) / 1.0)
    meter.add(3.0)
    assert meter.look(3.0) == Pace(None, 0.0, 0.0)
    assert meter.look(2.0) == Pace()        # of the other clock still


def test_a_silence_that_was_meant_is_none():
    meter = Meter()
    meter.add(0.0)
    meter.forget()
    assert meter.look(50.0) == Pace()
    meter.add(100.0)
    assert meter.look(100.5).gap == 0.5


def test_a_meter_stays_small_however_long_it_is_looked_at():
    meter = Meter()
    for now in range(1000):
        meter.add(float(now))
        meter.look(float(now))
    assert len(meter._marks) <= 62
    for now in range(1000, 1300):       # nobody looked for the whole time
        meter.add(float(now))
    meter.look(1300.0)
    assert len(meter._marks) <= 62


def test_percentiles_are_values_that_occurred():
    recent = Recent()
    for value in np.random.default_rng(0).permutation(np.arange(1.0, 101.0)):
        recent.add(10.0, float(value))
    assert recent.percentiles(10.0, 0, 1, 7, 50, 50.1, 99, 99.1, 100) == [
        1.0, 1.0, 7.0, 50.0, 51.0, 99.0, 100.0, 100.0]


def test_percentiles_of_one_value_are_that_and_of_none_are_unknown():
    recent = Recent()
    assert recent.percentiles(0.0, 50, 99) == [None, None]
    recent.add(0.0, 3.5)
    assert recent.percentiles(0.0, 50, 99) == [3.5, 3.5]


def test_values_older_than_a_minute_do_not_count():
    recent = Recent()
    for now in range(100):
        recent.add(float(now), float(now))
    assert sorted(recent.values(99.0)) == [float(value) for value in range(40, 100)]
    assert recent.percentiles(159.0, 50) == [None]


def test_only_the_newest_are_held():
    recent = Recent(capacity=4)
    for value in range(10):
        recent.add(0.0, float(value))
    assert sorted(recent.values(0.0)) == [6.0, 7.0, 8.0, 9.0]


def test_values_of_a_clock_that_went_back_do_not_count():
    recent = Recent()
    recent.add(100.0, 1.0)
    recent.add(5.0, 2.0)
    assert list(recent.values(6.0)) == [2.0]
