from __future__ import annotations

from dataclasses import replace

from gate_properties import CONTRACT, PROPERTIES, REACH, SAFETY, WELL, WRONG
import numpy as np
import pytest
from robot_rl.safety.gate import Gate, Inputs, RULES
from robot_rl.safety.signals import Signals

ZERO = np.zeros(2)
LAST = np.array([0.5, -0.5])


def gate(**action) -> Gate:
    """Return a gate of 20 Hz, limits of +-1 and a rate of 10 per second: 0.5 per tick."""
    limits = {'low': -np.ones(2), 'high': np.ones(2), 'max_rate': np.full(2, 10.0)}
    return Gate(replace(REACH, action=replace(REACH.action, **{**limits, **action})))


def asked(requested, last=ZERO) -> Inputs:
    return Inputs(WELL, np.array(requested), last)


@pytest.mark.parametrize('check', PROPERTIES, ids=lambda check: check.__name__)
def test_property(check):
    check(Gate)


def test_every_rule_has_its_property_in_the_order_of_the_table():
    assert [rule.name or 'operator' for rule in RULES] == list(WRONG)


def test_a_request_within_the_limits_passes_unchanged():
    decision = gate().decide(asked([0.9, -0.1], LAST))
    assert decision.executed.tolist() == [0.9, -0.1]
    assert not decision.limited and not decision.reason


def test_the_range_limits_each_number():
    decision = gate(max_rate=np.full(2, np.inf)).decide(asked([7.0, -7.0]))
    assert decision.executed.tolist() == [1.0, -1.0] and decision.limited


def test_the_rate_limits_the_step_from_the_last_action():
    decision = gate().decide(asked([1.0, 1.0], LAST))
    assert decision.executed.tolist() == [1.0, 0.0] and decision.limited


def test_a_robot_that_starts_outside_its_range_moves_in_at_its_rate():
    last = np.array([3.0, 0.5])
    rate = 0.5 * CONTRACT.control_rate
    decision = gate(max_rate=np.full(2, rate)).decide(asked([7.0, -1.0], last))
    assert decision.executed.tolist() == [2.5, 0.0] and decision.limited


def test_an_infinite_rate_does_not_limit():
    decision = gate(max_rate=np.full(2, np.inf)).decide(asked([1.0, -1.0], -np.ones(2)))
    assert decision.executed.tolist() == [1.0, -1.0] and not decision.limited


@pytest.mark.parametrize(('on_stop', 'expected'), [('zeros', [0.0, 0.0]), ('hold', [0.5, -0.5])])
def test_a_stop_sends_what_the_contract_says(on_stop, expected):
    assert gate(on_stop=on_stop).stop_action(LAST).tolist() == expected


@pytest.mark.parametrize(('change', 'reason'), [
    ({'signals': Signals(e_stop_silence=0.75)},
     'e_stop_silent: e_stop silent for 0.75 s, timeout 0.5 s'),
    ({'signals': Signals(e_stop_silence=np.inf)},
     'e_stop_silent: e_stop never heard, timeout 0.5 s'),
    ({'observation': WELL + [0, 0, 0, 0, 1, 0]},
     'observation_outside: tip.point.x is 1.2, limits 0.05 to 0.5'),
    ({'observation': WELL * [1, 1, 1, 1, np.nan, 1] + [0, 0, 0, np.inf, 0, 0]},
     'observation_not_finite: arm.velocity.elbow, tip.point.x'),
    ({'late': 4}, 'policy_late: 4 control periods'),
    ({'requested': np.zeros(3)}, 'action_shape: (3,) for (2,)'),
    ({'requested': np.array([np.nan, 0.0])}, 'action_not_finite')])
def test_a_reason_says_what_was_found(change, reason):
    assert Gate(CONTRACT).reason(replace(asked(ZERO), **change)) == reason


def test_without_a_blend_the_contracts_rate_holds_when_hands_change():
    safety = replace(SAFETY, intervention=replace(SAFETY.intervention, blend=0.0))
    decide = Gate(replace(CONTRACT, safety=safety)).decide
    it = replace(asked(ZERO), signals=Signals(request=np.array([9.0, 9.0])))
    assert decide(it).executed.tolist() == [0.5, 0.5]
