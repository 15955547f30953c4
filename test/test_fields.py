"""Every observation type, read from stand-ins; from decoded and live messages with equal bits."""

from __future__ import annotations

import importlib
from types import SimpleNamespace as Bunch

import numpy as np
import pytest
from robot_rl.data import cdr
from robot_rl.fields import (BadMessage, BadSelection, compile_selection, OBSERVATION_TYPES,
                             stamp_of)

XYZ, XYZW = 'xyz', 'xyzw'
SQRT = np.sqrt(0.5)


def point(*values):
    return Bunch(**dict(zip(XYZ, values)))


def turn(*values):
    return Bunch(**dict(zip(XYZW, values)))


HEADER = Bunch(stamp=Bunch(sec=3, nanosec=7), frame_id='world')
POSE = Bunch(position=point(0.1, 0.2, 0.3), orientation=turn(0.0, 0.0, SQRT, SQRT))
TWIST = Bunch(linear=point(1.1, 1.2, 1.3), angular=point(1.4, 1.5, 1.6))
JOINTS = Bunch(header=HEADER, name=['c', 'a', 'b'], position=np.array([3.0, 1.0, 2.0]),
               velocity=np.array([30.0, 10.0, 20.0]), effort=np.array([300.0, 100.0, 200.0]))
COVARIANCE = np.zeros(36)
# type: (message, selection, expected numbers, expected names, expected units)
CASES = {
    'sensor_msgs/msg/JointState': (
        JOINTS, {'velocity': ['b', 'c'], 'position': ['a'], 'effort': ['c']},
        [20.0, 30.0, 1.0, 300.0], ['velocity.b', 'velocity.c', 'position.a', 'effort.c'],
        ['rad/s', 'rad/s', 'rad', 'N m']),
    'geometry_msgs/msg/PoseStamped': (
        Bunch(header=HEADER, pose=POSE),
        ['pose.position.y', 'pose.orientation:rpy', 'pose.position.x'],
        [0.2, 0.0, 0.0, np.pi / 2, 0.1],
        ['pose.position.y', *(f'pose.orientation:rpy.{axis}' for axis in ('roll', 'pitch', 'yaw')),
         'pose.position.x'], ['m', 'rad', 'rad', 'rad', 'm']),
    'geometry_msgs/msg/PointStamped': (
        Bunch(header=HEADER, point=point(1.0, 2.0, 3.0)), ['point.z', 'point.x'], [3.0, 1.0],
        ['point.z', 'point.x'], ['m', 'm']),
    'geometry_msgs/msg/TwistStamped': (
        Bunch(header=HEADER, twist=TWIST), ['twist.angular.z', 'twist.linear'],
        [1.6, 1.1, 1.2, 1.3],
        ['twist.angular.z', 'twist.linear.x', 'twist.linear.y', 'twist.linear.z'],
        ['rad/s', 'm/s', 'm/s', 'm/s']),
    'geometry_msgs/msg/WrenchStamped': (
        Bunch(header=HEADER, wrench=Bunch(force=point(1.0, 2.0, 3.0),
                                          torque=point(4.0, 5.0, 6.0))),
        ['wrench.torque.x', 'wrench.force.z'], [4.0, 3.0], ['wrench.torque.x', 'wrench.force.z'],
        ['N m', 'N']),
    'std_msgs/msg/Float64MultiArray': (
        Bunch(layout=Bunch(dim=[], data_offset=0), data=np.array([5.0, 6.0, 7.0])),
        ['data.2', 'data.0'], [7.0, 5.0], ['data.2', 'data.0'], ['', '']),
    'std_msgs/msg/Float64': (Bunch(data=2.5), ['data'], [2.5], ['data'], ['']),
    'sensor_msgs/msg/Imu': (
        Bunch(header=HEADER, orientation=turn(0.0, 0.0, -SQRT, -SQRT),
              orientation_covariance=np.zeros(9), angular_velocity=point(1.0, 2.0, 3.0),
              angular_velocity_covariance=np.zeros(9), linear_acceleration=point(4.0, 5.0, 6.0),
              linear_acceleration_covariance=np.zeros(9)),
        ['linear_acceleration.z', 'orientation:quaternion', 'angular_velocity.x'],
        [6.0, 0.0, 0.0, SQRT, SQRT, 1.0],
        ['linear_acceleration.z', *(f'orientation:quaternion.{axis}' for axis in XYZW),
         'angular_velocity.x'], ['m/s^2', '1', '1', '1', '1', 'rad/s']),
    'nav_msgs/msg/Odometry': (
        Bunch(header=HEADER, child_frame_id='base', pose=Bunch(pose=POSE, covariance=COVARIANCE),
              twist=Bunch(twist=TWIST, covariance=COVARIANCE)),
        ['twist.twist.linear.x', 'pose.pose.orientation:rot6d', 'pose.pose.position.z',
         'twist.twist.angular.y'],
        [1.1, 0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.3, 1.5],
        ['twist.twist.linear.x', *(f'pose.pose.orientation:rot6d.{index}' for index in range(6)),
         'pose.pose.position.z', 'twist.twist.angular.y'],
        ['m/s', *6 * ['1'], 'm', 'rad/s']),
}
NESTED = {'header': 'std_msgs/msg/Header', 'stamp': 'builtin_interfaces/msg/Time',
          'layout': 'std_msgs/msg/MultiArrayLayout',
          'position': 'geometry_msgs/msg/Point', 'orientation': 'geometry_msgs/msg/Quaternion',
          'point': 'geometry_msgs/msg/Point', 'wrench': 'geometry_msgs/msg/Wrench'}


def decoded(type_name: str, message):
    """Return the stand-in after a trip through CDR bytes, as read from a bag."""
    def build(kind: str, tree):
        return cdr.new(kind, **{
            name: build(nested(kind, name), value) if isinstance(value, Bunch) else value
            for name, value in vars(tree).items()})

    def nested(kind: str, name: str) -> str:
        if name in ('pose', 'twist') and kind == 'nav_msgs/msg/Odometry':
            return f'geometry_msgs/msg/{name.title()}WithCovariance'
        if name in ('pose', 'twist'):
            return f'geometry_msgs/msg/{name.title()}'
        return NESTED.get(name, 'geometry_msgs/msg/Vector3')

    return cdr.decode(type_name, cdr.encode(type_name, build(type_name, message)))


def live(type_name: str, message):
    """Return the stand-in as a message of rclpy's own classes."""
    package, kind, name = type_name.split('/')
    result = getattr(importlib.import_module(f'{package}.{kind}'), name)()

    def fill(target, tree):
        for field, value in vars(tree).items():
            if isinstance(value, Bunch):
                fill(getattr(target, field), value)
            else:
                setattr(target, field, value)
    fill(result, message)
    return result


def read(type_name: str, select, message) -> np.ndarray:
    return compile_selection(type_name, select).read(message)


def test_every_type_has_a_case():
    assert CASES.keys() == OBSERVATION_TYPES.keys() and len(CASES) == 9


@pytest.mark.parametrize('type_name', CASES)
def test_selected_numbers_come_in_the_order_of_the_selection(type_name):
    message, select, expected, names, units = CASES[type_name]
    selection = compile_selection(type_name, select)
    assert [component.name for component in selection.components] == names
    assert [component.unit for component in selection.components] == units
    values = selection.read(message)
    assert values.dtype == np.float64 and np.allclose(values, expected, atol=1e-15)


@pytest.mark.parametrize('type_name', CASES)
def test_a_message_from_a_bag_gives_the_bits_of_the_stand_in(type_name):
    message, select = CASES[type_name][:2]
    assert np.array_equal(read(type_name, select, decoded(type_name, message)),
                          read(type_name, select, message))


@pytest.mark.parametrize('type_name', CASES)
def test_a_live_message_gives_the_bits_of_the_stand_in(type_name):
    pytest.importorskip('rclpy')
    message, select = CASES[type_name][:2]
    assert np.array_equal(read(type_name, select, live(type_name, message)),
                          read(type_name, select, message))


@pytest.mark.parametrize('type_name', CASES)
def test_a_stamp_is_that_of_the_header_or_zero(type_name):
    expected = 3_000_000_007 if OBSERVATION_TYPES[type_name].stamped else 0
    assert stamp_of(CASES[type_name][0]) == expected


def test_joints_are_matched_by_name_though_drivers_change_their_order():
    selection = compile_selection('sensor_msgs/msg/JointState', {'position': ['a', 'b']})
    orders = (['a', 'b'], ['b', 'a'], ['x', 'b', 'y', 'a'], ['a', 'b'])
    value = {'a': 1.0, 'b': 2.0, 'x': 3.0, 'y': 4.0}
    for order in orders:
        message = Bunch(name=order, position=[value[name] for name in order])
        assert selection.read(message).tolist() == [1.0, 2.0]


def test_rotations_agree_with_scipy():
    rotation_type = pytest.importorskip('scipy.spatial.transform').Rotation
    kinds = {kind: compile_selection('geometry_msgs/msg/PoseStamped',
                                     [f'pose.orientation:{kind}'])
             for kind in ('rpy', 'quaternion', 'rot6d')}
    for rotation in rotation_type.random(100, np.random.default_rng(1)):
        quaternion = rotation.as_quat()
        message = Bunch(pose=Bunch(orientation=turn(*quaternion)))
        assert np.allclose(kinds['rpy'].read(message), rotation.as_euler('xyz'), atol=1e-9)
        assert np.allclose(kinds['rot6d'].read(message),
                           rotation.as_matrix()[:, :2].T.ravel(), atol=1e-12)
        assert np.allclose(kinds['quaternion'].read(message),
                           quaternion * np.sign(quaternion[3]), atol=1e-12)


def test_a_rotation_and_its_negated_quaternion_are_the_same_numbers():
    for kind in ('rpy', 'quaternion', 'rot6d'):
        selection = compile_selection('sensor_msgs/msg/Imu', [f'orientation:{kind}'])
        found = [selection.read(Bunch(orientation=turn(*sign * np.array([0.1, -0.5, 0.5, 0.7]))))
                 for sign in (1.0, -1.0)]
        assert np.allclose(*found, atol=1e-15)


@pytest.mark.parametrize('quaternion', [(0, 0, 0, 0), (0, 0, 0, 0.9), (1, 1, 1, 1),
                                        (np.nan, 0, 0, 1)])
def test_a_quaternion_that_is_no_rotation_is_refused(quaternion):
    with pytest.raises(BadMessage, match='orientation has norm'):
        read('sensor_msgs/msg/Imu', ['orientation:rpy'], Bunch(orientation=turn(*quaternion)))


def test_a_quaternion_is_normalised():
    message = Bunch(orientation=turn(0.0, 0.0, 0.0, 1.005))
    assert read('sensor_msgs/msg/Imu', ['orientation:quaternion'], message).tolist() == [
        0, 0, 0, 1]


@pytest.mark.parametrize(('type_name', 'select', 'message', 'reason'), [
    ('sensor_msgs/msg/JointState', {'position': ['z']}, JOINTS, 'joint z is missing'),
    ('sensor_msgs/msg/JointState', {'position': ['a']}, Bunch(name=['a', 'b'], position=[1.0]),
     '1 values for 2 names'),
    ('sensor_msgs/msg/JointState', {'velocity': ['a']}, Bunch(name=['a'], velocity=[]),
     '0 values for 1 names'),
    ('sensor_msgs/msg/JointState', {'position': ['a']}, Bunch(name=['a'], position=[np.nan]),
     'position.a is not finite'),
    ('std_msgs/msg/Float64', ['data'], Bunch(data=np.inf), 'data is not finite'),
    ('std_msgs/msg/Float64', ['data'], Bunch(), "no attribute 'data'"),
    ('std_msgs/msg/Float64', ['data'], Bunch(data='text'), 'could not convert'),
    ('std_msgs/msg/Float64MultiArray', ['data.3'], Bunch(data=[0.0]), 'out of range'),
    ('geometry_msgs/msg/PointStamped', ['point.x', 'point.y'],
     Bunch(point=point(0.0, -np.inf, 0.0)), 'point.y is not finite'),
])
def test_a_message_without_the_selected_numbers_is_refused(type_name, select, message, reason):
    with pytest.raises(BadMessage, match=f'{type_name}: .*{reason}'):
        read(type_name, select, message)


@pytest.mark.parametrize(('type_name', 'select'), [
    ('sensor_msgs/msg/JointState', ['position.a']), ('sensor_msgs/msg/JointState', {}),
    ('sensor_msgs/msg/JointState', {'torque': ['a']}),
    ('sensor_msgs/msg/JointState', {'position': 'a'}),
    ('sensor_msgs/msg/JointState', {'position': []}),
    ('sensor_msgs/msg/JointState', {'position': ['a', 1]}),
    ('sensor_msgs/msg/JointState', {'position': ['a', 'a']}),
    ('geometry_msgs/msg/PoseStamped', None), ('geometry_msgs/msg/PoseStamped', 'pose'),
    ('geometry_msgs/msg/PoseStamped', [1]), ('geometry_msgs/msg/PoseStamped', ['pose']),
    ('geometry_msgs/msg/PoseStamped', ['pose.orientation']),
    ('geometry_msgs/msg/PoseStamped', ['pose.orientation:euler']),
    ('geometry_msgs/msg/PoseStamped', ['pose.position.x:rpy']),
    ('geometry_msgs/msg/PoseStamped', ['pose.position', 'pose.position.x']),
    ('geometry_msgs/msg/PoseStamped', ['header.stamp.sec']),
    ('std_msgs/msg/Float64MultiArray', ['data']), ('std_msgs/msg/Float64MultiArray', ['data.-1']),
    ('std_msgs/msg/Float64', ['data.0']), ('std_msgs/msg/Float64', ['__class__'])])
def test_a_selection_that_the_type_does_not_offer_is_refused(type_name, select):
    with pytest.raises(BadSelection):
        compile_selection(type_name, select)
