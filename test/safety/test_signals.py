from __future__ import annotations

from dataclasses import replace
from math import inf
from types import SimpleNamespace

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.safety.settings import BOOL, Intervention, JOINT_STATE, JOY, Safety, Switch
from robot_rl.safety.signals import Panel, Signals

REACH = load_contract('reach')
ACTION = replace(REACH.action, low=np.array([-2.0, 0.2]), high=np.array([1.0, 0.8]))
STICK = Intervention('joy', JOY, 0.2, 0.0, (1, 0), 2, {'success': 0, 'discard': 3})
LEADER = Intervention('leader', REACH.action.type, 0.2)


def panel(**safety) -> Panel:
    return Panel(replace(REACH, action=ACTION, safety=Safety(**safety)))


def joy(axes=(0.0, 0.0), buttons=(0, 0, 1, 0)):
    return SimpleNamespace(axes=list(axes), buttons=list(buttons))


def numbers(*data):
    return SimpleNamespace(data=list(data))


def test_without_a_section_nothing_is_wrong():
    found = panel()
    assert not found.inputs and found.signals(5.0) == Signals(request_age=inf)


def test_what_was_never_heard_is_silent_for_ever():
    found = panel(e_stop=Switch('e_stop', BOOL, 0.5), dead_man=Switch('grip', BOOL, 0.5))
    signals = found.signals(5.0)
    assert signals.e_stop_silence == signals.dead_man_silence == inf
    assert not signals.e_stop and not signals.dead_man


@pytest.mark.parametrize('pressed', [True, False])
def test_an_e_stop_is_held_with_its_age(pressed):
    found = panel(e_stop=Switch('e_stop', BOOL, 0.5))
    found.take('e_stop', SimpleNamespace(data=pressed), 2.0, 0.0)
    assert found.signals(2.25) == Signals(e_stop=pressed, e_stop_silence=0.25, request_age=inf)


@pytest.mark.parametrize('held', [1, 0])
def test_a_dead_man_may_be_a_button(held):
    found = panel(dead_man=Switch('joy', JOY, 0.5, button=3))
    found.take('dead_man', joy(buttons=(0, 0, 0, held)), 2.0, 0.0)
    assert found.signals(2.0).dead_man is bool(held)


def test_a_leaders_action_is_the_request():
    found = panel(intervention=LEADER)
    found.take('intervention', numbers(0.5, 0.6), 1.0, 0.0)
    assert found.signals(1.1).request.tolist() == [0.5, 0.6]
    assert found.signals(1.1).request_age == pytest.approx(0.1)


def test_a_leader_may_speak_another_type_than_the_robot():
    found = panel(intervention=replace(LEADER, type='trajectory_msgs/msg/JointTrajectory'))
    point = SimpleNamespace(positions=[0.3, 0.4])
    found.take('intervention', SimpleNamespace(joint_names=['elbow', 'shoulder'], points=[point]),
               1.0, 0.0)
    assert found.signals(1.0).request.tolist() == [0.4, 0.3]


@pytest.mark.parametrize(('axes', 'expected'), [
    ((0.0, 0.0), [0.0, 0.2]), ((1.0, 1.0), [1.0, 0.8]), ((-1.0, -1.0), [-2.0, 0.2]),
    ((0.5, -0.5), [-1.0, 0.5]), ((9.0, -9.0), [-2.0, 0.8])])
def test_a_stick_reaches_the_limits_and_rests_at_zero_or_next_to_it(axes, expected):
    found = panel(intervention=STICK)
    found.take('intervention', joy(axes), 1.0, 0.0)
    assert found.signals(1.0).request == pytest.approx(expected)


@pytest.mark.parametrize(('axes', 'expected'), [
    ((1.0, 1.0), [-1.0, 0.8]), ((0.0, -1.0), [1.0, 0.2]), ((9.0, 9.0), [-2.0, 0.8])])
def test_a_stick_that_is_turned_around_and_scaled(axes, expected):
    found = panel(intervention=replace(STICK, scale=(-0.5 if axes[0] == 1.0 else -1.0, 1.0),
                                       axes=(1, 0)))
    found.take('intervention', joy((axes[0], axes[1])), 1.0, 0.0)
    assert found.signals(1.0).request == pytest.approx(expected)


def test_a_leader_may_be_an_arm_whose_joints_are_matched_by_name():
    found = panel(intervention=replace(LEADER, type=JOINT_STATE, joints='velocity'))
    state = SimpleNamespace(name=['gripper', 'elbow', 'shoulder'], position=[7.0, 7.0, 7.0],
                            velocity=[0.0, 0.4, 0.3])
    found.take('intervention', state, 1.0, 0.0)
    assert found.signals(1.0).request.tolist() == [0.3, 0.4]


@pytest.mark.parametrize('velocity', [[0.0, 0.4], [0.0, 0.4, float('nan')]])
def test_an_arm_that_lacks_a_joint_or_tells_no_number_is_refused(velocity):
    found = panel(intervention=replace(LEADER, type=JOINT_STATE, joints='velocity'))
    found.take('intervention', SimpleNamespace(name=['gripper', 'elbow', 'shoulder'][:3],
                                               position=[], velocity=velocity), 1.0, 0.0)
    assert found.signals(1.0).request is None and 'intervention' in found.refused


def test_a_stick_acts_only_while_its_enabling_button_is_held():
    found = panel(intervention=STICK)
    found.take('intervention', joy((1.0, 1.0), (0, 0, 0, 0)), 1.0, 0.0)
    assert found.signals(1.0).request is None


def test_a_button_is_told_once_for_each_press():
    found = panel(intervention=STICK)
    states = [(0, 0, 1, 0), (1, 0, 1, 0), (1, 0, 1, 1), (0, 0, 1, 0), (1, 0, 0, 0)]
    pressed = [found.take('intervention', joy(buttons=state), 1.0, 0.0) for state in states]
    assert pressed == [[], ['success'], ['discard'], [], ['success']]


def test_a_button_that_is_held_when_the_stick_appears_is_no_press():
    found = panel(intervention=STICK)
    assert found.take('intervention', joy(buttons=(1, 0, 1, 1)), 1.0, 0.0) == []


@pytest.mark.parametrize(('role', 'message', 'reason'), [
    ('intervention', joy(axes=(0.0,)), 'joy: list index out of range'),
    ('intervention', joy(axes=(np.nan, 0.0)), 'joy: axes are not finite'),
    ('intervention', joy(buttons=(0, 0)), 'joy: list index out of range'),
    ('intervention', numbers(0.0), "joy: 'types.SimpleNamespace' object has no attribute 'axes'"),
    ('e_stop', joy(), "e_stop: 'types.SimpleNamespace' object has no attribute 'data'"),
    ('dead_man', joy(buttons=()), 'joy: list index out of range')])
def test_a_message_that_cannot_be_used_changes_nothing_and_says_why(role, message, reason):
    found = panel(e_stop=Switch('e_stop', BOOL, 0.5), dead_man=Switch('joy', JOY, 0.5, 2),
                  intervention=STICK)
    for name, good in (('e_stop', numbers), ('dead_man', joy), ('intervention', joy)):
        found.take(name, SimpleNamespace(data=False) if good is numbers else joy(), 1.0, 0.0)
    before = found.signals(1.0)
    assert found.take(role, message, 1.4, 0.0) == []
    after = found.signals(1.0)
    assert (after.e_stop_silence, after.dead_man_silence, after.request_age) == (
        before.e_stop_silence, before.dead_man_silence, before.request_age)
    assert found.refused == {role: reason}


@pytest.mark.parametrize('message', [numbers(0.1), numbers(0.1, np.nan), numbers(0.1, 0.2, 0.3)])
def test_a_leaders_message_of_another_size_or_not_finite_is_refused(message):
    found = panel(intervention=LEADER)
    found.take('intervention', message, 1.0, 0.0)
    assert found.signals(1.0).request is None and 'finite' in found.refused['intervention']


@pytest.mark.parametrize('age', [0.21, 5.0, -1.5])
def test_a_message_that_comes_late_or_from_another_clock_is_not_fresh(age):
    found = panel(intervention=LEADER)
    found.take('intervention', numbers(0.1, 0.5), 1.0, age)
    assert found.signals(1.0).request is None
    assert 'old on arrival' in found.refused['intervention']


def test_a_good_message_ends_the_complaint():
    found = panel(intervention=LEADER)
    found.take('intervention', numbers(0.1), 1.0, 0.0)
    found.take('intervention', numbers(0.1, 0.5), 1.0, 0.0)
    assert not found.refused


anything = st.floats() | st.integers() | st.booleans() | st.none() | st.text(max_size=3)


@settings(derandomize=True, database=None, deadline=None)
@given(axes=st.lists(anything, max_size=4), buttons=st.lists(anything, max_size=5),
       age=st.floats())
def test_whatever_a_stick_says_a_request_is_finite_and_in_range(axes, buttons, age):
    found = panel(intervention=STICK, dead_man=Switch('joy', JOY, 0.5, 1))
    found.take('dead_man', joy(axes, buttons), 1.0, age)
    found.take('intervention', joy(axes, buttons), 1.0, age)
    request = found.signals(1.0).request
    assert request is None or (
        (request >= ACTION.low) & (request <= ACTION.high) & (0.0 <= age <= 0.2 or age < 0)).all()
