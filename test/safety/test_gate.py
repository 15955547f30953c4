from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.safety.gate import Gate

REACH = load_contract('reach')
ZERO = np.zeros(2)
LAST = np.array([0.5, -0.5])
NAN = np.array([0.0, np.nan])


def gate(**action) -> Gate:
    """Return a gate of 20 Hz, limits of +-1 and a rate of 10 per second: 0.5 per tick."""
    limits = {'low': -np.ones(2), 'high': np.ones(2), 'max_rate': np.full(2, 10.0)}
    return Gate(replace(REACH, action=replace(REACH.action, **{**limits, **action})))


def test_a_request_within_the_limits_passes_unchanged():
    decision = gate().decide(np.array([0.9, -0.1]), LAST)
    assert decision.executed.tolist() == [0.9, -0.1]
    assert not decision.limited and not decision.stopped


def test_the_range_limits_each_number():
    decision = gate(max_rate=np.full(2, np.inf)).decide(np.array([7.0, -7.0]), ZERO)
    assert decision.executed.tolist() == [1.0, -1.0] and decision.limited


def test_the_rate_limits_the_step_from_the_last_action():
    decision = gate().decide(np.array([1.0, 1.0]), LAST)
    assert decision.executed.tolist() == [1.0, 0.0] and decision.limited


def test_an_infinite_rate_does_not_limit():
    decision = gate(max_rate=np.full(2, np.inf)).decide(np.array([1.0, -1.0]), -np.ones(2))
    assert decision.executed.tolist() == [1.0, -1.0] and not decision.limited


def test_whatever_is_asked_for_is_in_range_and_within_the_rate():
    rng, decide, last = np.random.default_rng(0), gate().decide, ZERO
    for _ in range(2000):
        executed = decide(rng.normal(0.0, 10.0 ** rng.uniform(-2, 300), 2), last).executed
        assert (np.abs(executed) <= 1.0).all() and (np.abs(executed - last) <= 0.5 + 1e-15).all()
        last = executed


@pytest.mark.parametrize('requested', [NAN, np.array([np.inf, 0.0]), np.array([0.0, -np.inf])])
def test_a_request_that_is_not_finite_stops(requested):
    decision = gate().decide(requested, LAST)
    assert decision.stopped == 'action_not_finite' and decision.executed.tolist() == [0.0, 0.0]


@pytest.mark.parametrize('shape', [(1,), (3,), (2, 1), ()])
def test_a_request_of_another_shape_stops(shape):
    decision = gate().decide(np.zeros(shape), LAST)
    assert decision.stopped.startswith('action_shape') and decision.executed.shape == (2,)


@pytest.mark.parametrize(('on_stop', 'expected'), [('zeros', [0.0, 0.0]), ('hold', [0.5, -0.5])])
def test_a_stop_sends_what_the_contract_says(on_stop, expected):
    assert gate(on_stop=on_stop).decide(NAN, LAST).executed.tolist() == expected
    assert gate(on_stop=on_stop).stop_action(LAST).tolist() == expected


@pytest.mark.parametrize(('arguments', 'reason'), [
    ({'stop': 'operator'}, 'operator'), ({'stale': 'tip is old'}, 'observation_stale: tip is old'),
    ({'stop': 'operator', 'stale': 'tip is old'}, 'operator')])
def test_a_stop_comes_before_a_stale_observation_and_both_before_the_request(arguments, reason):
    decision = gate().decide(NAN, LAST, **arguments)
    assert decision.stopped == reason and decision.executed.tolist() == [0.0, 0.0]
