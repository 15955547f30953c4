"""What must hold of the gate, whatever comes: each property takes a kind of Gate to try.

They are functions, no tests, so that test_gate_mutants.py can show that they notice a broken gate.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import example, given, HealthCheck, Phase, settings, strategies as st
import numpy as np
from robot_rl.contract import load_contract
from robot_rl.data.steps import Source
from robot_rl.safety.gate import Inputs
from robot_rl.safety.settings import Intervention, Safety, Switch
from robot_rl.safety.signals import Signals

REACH = load_contract('reach')
TIMEOUT, LATE, BLEND = 0.5, 3, 0.3
LIMITS = {'arm.position.elbow': (-1.0, 1.0), 'tip.point.x': (0.05, 0.5)}
SAFETY = Safety(LIMITS, Switch('e_stop', 'std_msgs/msg/Bool', TIMEOUT),
                Switch('joy', 'std_msgs/msg/Bool', TIMEOUT),
                Intervention('teleop', 'std_msgs/msg/Float64MultiArray', TIMEOUT, BLEND), LATE)
ACTION = replace(REACH.action, low=-np.ones(2), high=np.array([1.0, 0.5]),
                 max_rate=np.array([10.0, 30.0]))       # 0.5 and 1.5 a tick
CONTRACT = replace(REACH, action=ACTION, safety=SAFETY)
MAX_STEP = np.array([0.5, 1.5])
BLEND_STEP = np.array([2.0, 1.5]) / (BLEND * 20.0)
WELL = np.array([0.0, 0.0, 0.0, 0.0, 0.2, 0.0])

# Repeatable, and quick enough to be tried on every mutant: nothing is shrunk.
checked = settings(derandomize=True, database=None, max_examples=20, deadline=None,
                   phases=(Phase.explicit, Phase.generate),
                   suppress_health_check=list(HealthCheck))

fresh = st.floats(0.0, TIMEOUT)
old = st.floats(TIMEOUT, exclude_min=True, allow_nan=False)
number = st.floats(-10.0, 10.0)
finite = st.floats(allow_nan=False, allow_infinity=False)
broken = st.sampled_from([np.nan, np.inf, -np.inf])
allowed = st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 0.5)).map(np.array)
pair = st.tuples(finite, finite).map(np.array)
modest = st.tuples(number, number).map(np.array)


@st.composite
def inputs(draw) -> Inputs:
    """Draw a tick in which nothing is wrong; a person may be at the controls."""
    observation = WELL + np.array([draw(number), 0.0, draw(number), draw(number), 0.0,
                                   draw(number)])
    observation[1] = draw(st.floats(*LIMITS['arm.position.elbow']))
    observation[4] = draw(st.floats(*LIMITS['tip.point.x']))
    signals = Signals(False, draw(fresh), True, draw(fresh), draw(st.none() | pair),
                      draw(fresh | old))
    return Inputs(observation, draw(pair), draw(allowed), signals, late=draw(st.integers(0, 2)),
                  human_acted=draw(st.booleans()), since_change=draw(st.floats(0.0, 1.0)))


def _say(it: Inputs, **signals) -> Inputs:
    return replace(it, signals=replace(it.signals, **signals))


def _see(it: Inputs, index: int, value: float) -> Inputs:
    observation = it.observation.copy()
    observation[index] = value
    return replace(it, observation=observation)


def _beyond(draw, it: Inputs) -> Inputs:
    name = draw(st.sampled_from(sorted(LIMITS)))
    low, high = LIMITS[name]
    value = draw(st.floats(max_value=low, exclude_max=True, allow_infinity=False)
                 | st.floats(min_value=high, exclude_min=True, allow_infinity=False))
    return _see(it, CONTRACT.layout.slots[name], value)


def _asks(it: Inputs, requested) -> Inputs:
    return replace(it, requested=np.asarray(requested, float))


WRONG = {       # in the order of precedence
    'operator': lambda draw, it: replace(it, stop='operator'),
    'e_stop_pressed': lambda draw, it: _say(it, e_stop=True),
    'e_stop_silent': lambda draw, it: _say(it, e_stop_silence=draw(old)),
    'dead_man_released': lambda draw, it: _say(it, dead_man=False),
    'dead_man_silent': lambda draw, it: _say(it, dead_man_silence=draw(old)),
    'observation_stale': lambda draw, it: replace(it, stale='tip is old'),
    'observation_not_finite': lambda draw, it: _see(it, draw(st.sampled_from([0, 2, 3, 5])),
                                                    draw(broken)),
    'observation_outside': _beyond,
    'reward_stale': lambda draw, it: replace(it, reward_stale='reward is old'),
    'policy_late': lambda draw, it: replace(it, late=draw(st.integers(LATE, 10_000))),
    'action_shape': lambda draw, it: _asks(it, np.zeros(draw(
        st.sampled_from([(), (1,), (3,), (1, 2), (2, 1)])))),
    'action_not_finite': lambda draw, it: _asks(it, np.full(it.requested.shape, draw(broken))),
}


def each_rule_alone_stops(gate):
    for name, spoil in WRONG.items():
        @settings(checked, max_examples=6)
        @given(data=st.data(), hold=st.booleans())
        def check(data, hold):
            it = spoil(data.draw, data.draw(inputs()))
            action = replace(ACTION, on_stop='hold' if hold else 'zeros')
            decision = gate(replace(CONTRACT, action=action)).decide(it)
            assert decision.reason.partition(':')[0] == name
            assert decision.source is Source.SAFETY and not decision.limited
            assert decision.executed.tolist() == (it.last.tolist() if hold else [0.0, 0.0])

        check()


def of_two_reasons_the_first_of_the_table_counts(gate):
    for first, second in combinations(WRONG, 2):
        @settings(checked, max_examples=2)
        @given(data=st.data())
        def check(data):
            it = WRONG[second](data.draw, WRONG[first](data.draw, data.draw(inputs())))
            assert gate(CONTRACT).decide(it).reason.partition(':')[0] == first

        check()


def a_cause_lasts_as_long_as_its_own_rule_says(gate):
    for name, spoil in WRONG.items():
        @settings(checked, max_examples=2)
        @given(data=st.data())
        def check(data):
            found, it = gate(CONTRACT), spoil(data.draw, data.draw(inputs()))
            reason = found.decide(it).reason
            worse = replace(it, stop='something else')
            assert found.lasts(reason, worse) == ('' if name == 'operator' else reason)
            assert not found.lasts(reason, Inputs(WELL, np.zeros(2), np.zeros(2)))

        check()


@checked
@given(it=inputs(), index=st.sampled_from([0, 1]), value=broken)
def one_number_of_a_request_that_is_not_finite_stops(gate, it, index, value):
    requested = it.requested.copy()
    requested[index] = value
    assert gate(CONTRACT).decide(_asks(it, requested)).reason == 'action_not_finite'


@checked
@given(it=inputs())
def nothing_wrong_is_no_reason_to_stop(gate, it):
    assert not gate(CONTRACT).decide(it).reason


@checked
@given(it=inputs(), index=st.integers(0, 5), value=broken)
def no_observation_that_is_not_finite_is_acted_on(gate, it, index, value):
    assert gate(CONTRACT).decide(_see(it, index, value)).source is Source.SAFETY


@checked
@given(name=st.sampled_from(['e_stop_silent', 'dead_man_silent', 'observation_outside']),
       data=st.data())
def what_is_not_configured_neither_stops_nor_acts(gate, name, data):
    it = WRONG[name](data.draw, data.draw(inputs()))
    decision = gate(replace(CONTRACT, safety=Safety())).decide(it)
    assert not decision.reason and decision.source is Source.POLICY


@checked
@given(it=inputs())
@example(it=Inputs(WELL, np.zeros(2), np.zeros(2), Signals(request=np.ones(2),
                                                           request_age=TIMEOUT)))
@example(it=Inputs(WELL, np.zeros(2), np.zeros(2), Signals(request=np.ones(2),
                                                           request_age=TIMEOUT + 1e-9)))
def a_person_acts_while_they_are_heard_and_nobody_else_does(gate, it):
    heard = it.signals.request is not None and it.signals.request_age <= TIMEOUT
    decision = gate(CONTRACT).decide(it)
    assert decision.source is (Source.HUMAN if heard else Source.POLICY)
    wanted = it.signals.request if heard else it.requested
    towards = np.sign(np.clip(wanted, ACTION.low, ACTION.high) - it.last)
    assert (np.sign(decision.executed - it.last) * towards >= 0.0).all()
    assert decision.limited is not np.array_equal(decision.executed, wanted)


@checked
@given(it=inputs(), bad=st.sampled_from([np.zeros(1), np.zeros((2, 1)), np.zeros(3)])
       | st.tuples(broken, number).map(np.array))
def a_person_who_asks_for_what_is_no_action_is_not_heard(gate, it, bad):
    decision = gate(CONTRACT).decide(_say(it, request=bad, request_age=0.0))
    assert decision.source is Source.POLICY


@checked
@given(it=inputs())
def what_is_sent_is_in_range_and_within_the_rate(gate, it):
    executed = gate(CONTRACT).decide(it).executed
    assert (executed >= ACTION.low).all() and (executed <= ACTION.high).all()
    assert (np.abs(executed - it.last) <= MAX_STEP + 1e-12).all()


@checked
@given(it=inputs())
@example(it=Inputs(WELL, np.ones(2), -np.ones(2), human_acted=True))
@example(it=Inputs(WELL, np.ones(2), -np.ones(2), since_change=BLEND))
@example(it=Inputs(WELL, np.ones(2), -np.ones(2), since_change=BLEND - 1e-9))
@example(it=Inputs(WELL, np.ones(2), -np.ones(2), Signals(request=np.ones(2))))
def hands_change_without_a_jump_and_the_full_rate_comes_back(gate, it):
    decision = gate(CONTRACT).decide(it)
    human = decision.source is Source.HUMAN
    wanted = np.clip(it.signals.request if human else it.requested, ACTION.low, ACTION.high)
    blending = human != it.human_acted or it.since_change < BLEND
    step = BLEND_STEP if blending else MAX_STEP
    assert np.allclose(decision.executed, np.clip(wanted, it.last - step, it.last + step))


@checked
@given(it=inputs())
def what_is_allowed_passes_unchanged(gate, it):
    allowed_then = np.clip(it.last + 0.1, ACTION.low, ACTION.high)
    decision = gate(CONTRACT).decide(replace(_say(it, request=None), requested=allowed_then))
    assert decision.executed.tolist() == allowed_then.tolist() and not decision.limited


@checked
@given(it=inputs(), first=modest, second=modest)
def a_blend_lasts_no_longer_than_it_says(gate, it, first, second):
    """From anywhere to anywhere in the range: after `blend` s what is asked for is sent."""
    last, since, human = it.last, 1.0, False
    for _ in range(round(BLEND * 20.0) + 1):
        signals = Signals(request=first)
        decision = gate(CONTRACT).decide(Inputs(WELL, second, last, signals, human_acted=human,
                                                since_change=since))
        since = 0.05 if not human else since + 0.05
        last, human = decision.executed, True
    assert np.allclose(last, np.clip(first, ACTION.low, ACTION.high))


PROPERTIES = (
    each_rule_alone_stops, nothing_wrong_is_no_reason_to_stop,
    hands_change_without_a_jump_and_the_full_rate_comes_back,
    a_person_acts_while_they_are_heard_and_nobody_else_does,
    what_is_sent_is_in_range_and_within_the_rate, what_is_allowed_passes_unchanged,
    a_person_who_asks_for_what_is_no_action_is_not_heard,
    what_is_not_configured_neither_stops_nor_acts, no_observation_that_is_not_finite_is_acted_on,
    one_number_of_a_request_that_is_not_finite_stops, a_blend_lasts_no_longer_than_it_says,
    a_cause_lasts_as_long_as_its_own_rule_says, of_two_reasons_the_first_of_the_table_counts)
