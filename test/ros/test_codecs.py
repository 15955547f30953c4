from __future__ import annotations

import numpy as np
import pytest
from robot_rl.data.steps import Mode, Source, Status, Step, step_from_message
from robot_rl.fields import BadMessage
from robot_rl.ros.codecs import (action_message, action_values, bytes_message, interface_class,
                                 status_message, status_values, step_message)

ARRAY = 'std_msgs/msg/Float64MultiArray'
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
TWIST = 'geometry_msgs/msg/TwistStamped'
STAMP = 12_345_678_901      # ns
AXES = {'names: [shoulder, elbow]': 'names: [linear.x, angular.z]',
        'action: {shoulder: shoulder_velocity, elbow: elbow_velocity}':
            'action: {linear.x: shoulder_velocity, angular.z: elbow_velocity}'}


@pytest.fixture
def action_of(make_contract):
    def make(kind: str):
        return make_contract(**{ARRAY: kind, **(AXES if kind == TWIST else {})}).action
    return make


@pytest.mark.parametrize('kind', [ARRAY, TRAJECTORY, TWIST])
def test_an_action_survives_its_message(action_of, kind):
    action, values = action_of(kind), np.array([0.1, -2.0])
    message = action_message(action, values, STAMP, 0.05)
    assert isinstance(message, interface_class(kind))
    assert np.array_equal(action_values(action, message), values)


def test_a_trajectory_names_its_joints_starts_at_once_and_takes_one_control_step(action_of):
    message = action_message(action_of(TRAJECTORY), np.array([0.1, -2.0]), STAMP, 1.25)
    [point] = message.points
    assert message.joint_names == ['shoulder', 'elbow']
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (1, 250_000_000)


def test_a_trajectory_is_read_by_joint_name(action_of):
    action = action_of(TRAJECTORY)
    message = action_message(action, np.array([0.1, -2.0]), STAMP, 0.05)
    message.joint_names = ['elbow', 'shoulder']
    assert action_values(action, message).tolist() == [-2.0, 0.1]


def test_a_twist_is_stamped_in_its_frame_and_moves_only_the_named_axes(action_of):
    message = action_message(action_of(TWIST), np.array([0.1, -2.0]), STAMP, 0.05)
    assert (message.header.frame_id, message.header.stamp.sec) == ('base_link', 12)
    assert (message.twist.linear.x, message.twist.angular.z) == (0.1, -2.0)
    assert (message.twist.linear.y, message.twist.angular.x) == (0.0, 0.0)


@pytest.mark.parametrize('kind, spoil', [
    (ARRAY, lambda message: message.data.pop()),
    (ARRAY, lambda message: message.data.append(0.0)),
    (ARRAY, lambda message: setattr(message, 'data', [float('nan'), 0.0])),
    (TRAJECTORY, lambda message: setattr(message, 'points', [])),
    (TRAJECTORY, lambda message: setattr(message, 'joint_names', ['shoulder', 'wrist'])),
    (TRAJECTORY, lambda message: message.points[0].positions.pop()),
    (TWIST, lambda message: setattr(message.twist.linear, 'x', float('inf')))])
def test_an_action_message_without_every_finite_value_is_refused(action_of, kind, spoil):
    action = action_of(kind)
    message = action_message(action, np.array([0.1, -2.0]), STAMP, 0.05)
    spoil(message)
    with pytest.raises(BadMessage, match='expected 2 finite values'):
        action_values(action, message)


def test_a_step_survives_its_message_with_every_bit():
    step = Step(STAMP, 3, 17, Status.TRUNCATED, Source.RANDOM, Mode.LEARN, 4000, True,
                np.array([np.pi, -1e-300, 0.1]), np.array([np.nan]), np.array([1 / 3]))
    found = step_from_message(step_message(step), 3, 1)
    assert vars(step).keys() == vars(found).keys()
    for name, value in vars(step).items():
        assert np.array_equal(value, getattr(found, name), equal_nan=name == 'requested'), name


def test_bytes_survive_their_message():
    data = bytes(range(256)) * 3
    assert bytes(bytes_message(data).data) == data


def test_a_status_survives_its_message(start):
    from rclpy.time import Time
    message = status_message(Time(seconds=2), 'node', 'what', {'count': 3, 'why': 'a\nb'})
    assert status_values(message) == [('node', 'what', {'count': '3', 'why': 'a\nb'})]
    assert message.header.stamp.sec == 2
