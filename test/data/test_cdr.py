"""CDR of rosbags and of rclpy, whose padding and spare bytes are its own."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from raw_bags import command, COMMANDS, EVENTS, joint_state, JOINTS, TYPES
from robot_rl.data import cdr
from robot_rl.fields import ACTION_TYPES, BadMessage, OBSERVATION_TYPES

TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
READ = sorted({*OBSERVATION_TYPES, *ACTION_TYPES, TYPES[EVENTS]})


def live(type_name: str):
    """Return a message of rclpy's own classes."""
    package, kind, name = type_name.split('/')
    return getattr(importlib.import_module(f'{package}.{kind}'), name)()


def serialize(message) -> bytes:
    return pytest.importorskip('rclpy.serialization').serialize_message(message)


@pytest.mark.parametrize('type_name', READ)
@pytest.mark.parametrize('frame', ['', 'abc', 'world'])
def test_what_rclpy_writes_of_an_empty_message_is_read(type_name, frame):
    pytest.importorskip('rclpy')
    message = live(type_name)
    if hasattr(message, 'header'):
        message.header.frame_id = frame
    found = cdr.decode(type_name, serialize(message))
    assert not hasattr(message, 'header') or found.header.frame_id == frame


@pytest.mark.parametrize('arrays', [(), ('position',), ('position', 'velocity'), ('effort',)])
@pytest.mark.parametrize('frame', ['', 'base'])
def test_joint_states_of_rclpy_without_some_of_their_arrays_are_read(frame, arrays):
    pytest.importorskip('rclpy')
    message = live(TYPES[JOINTS])
    message.header.frame_id, message.name = frame, ['a', 'elbow']
    for array in arrays:
        setattr(message, array, [1.0, -2.0])
    found = cdr.decode(TYPES[JOINTS], serialize(message))
    assert found.name == ['a', 'elbow']
    for array in ('position', 'velocity', 'effort'):
        assert list(getattr(found, array)) == ([1.0, -2.0] if array in arrays else [])


@pytest.mark.parametrize('count', [1, 2, 50])
def test_trajectories_of_rclpy_without_velocities_are_read(count):
    pytest.importorskip('rclpy')
    message = live(TRAJECTORY)
    message.joint_names = ['a']
    for index in range(count):
        point = live('trajectory_msgs/msg/JointTrajectoryPoint')
        point.positions = [index / 2]
        message.points.append(point)
    found = cdr.decode(TRAJECTORY, serialize(message))
    assert [point.positions.tolist() for point in found.points] == [
        [index / 2] for index in range(count)]


@pytest.mark.parametrize('padding', range(8))
def test_padding_at_the_end_is_passed_over_whatever_it_holds(padding):
    found = cdr.decode(TYPES[COMMANDS], command(0.5) + b'\xa5' * padding)
    assert found.data.tolist() == [0.5]


def test_more_behind_a_message_than_it_has_itself_is_no_padding():
    data = command(0.5)
    with pytest.raises(BadMessage, match=f'the message in them has {len(data)}'):
        cdr.decode(TYPES[COMMANDS], data + bytes(len(data)))


def test_every_cut_is_refused():
    data = joint_state(0.1, 5)[:-4]         # the count of efforts is 0, and the last
    for end in range(len(data)):
        with pytest.raises(BadMessage, match=f'{TYPES[JOINTS]}: {end} bytes are not a message'):
            cdr.decode(TYPES[JOINTS], data[:end])


def test_an_encapsulation_that_is_not_plain_is_refused():
    with pytest.raises(BadMessage, match='they begin with 0003'):
        cdr.decode(TYPES[COMMANDS], b'\x00\x03' + command(0.5)[2:])


def test_messages_of_a_machine_of_the_other_byte_order_are_read():
    data = b'\x00\x00\x00\x00' + np.array([2.5], '>f8').tobytes()
    assert cdr.decode('std_msgs/msg/Float64', data).data == 2.5


def test_numbers_are_found_where_they_lie():
    data = joint_state(0.25, 5, names=('other', 'j'))
    numbers, rest = cdr.find_numbers(TYPES[JOINTS], data)
    assert [np.frombuffer(data, '<f8', 1, at)[0] for at in numbers] == [0.25, 0.25, 0.1, 0.1]
    told = b''.join(data[start:stop] for start, stop in rest)
    assert b'other' in told and data[4:12] in told


@pytest.mark.parametrize('type_name', READ)
def test_padding_and_only_padding_may_hold_anything(type_name):
    """Bytes between the parts of a message of rclpy are never those of the message."""
    pytest.importorskip('rclpy')
    message = live(type_name)
    if hasattr(message, 'header'):
        message.header.frame_id = 'ab'
    data = serialize(message)
    numbers, rest = cdr.find_numbers(type_name, data)
    said = [slice(0, 4), *(slice(*part) for part in rest), *(slice(at, at + 8) for at in numbers)]
    garbled = bytearray(b'\x5a' * len(data))
    for part in said:
        garbled[part] = data[part]
    written = [cdr.encode(type_name, cdr.decode(type_name, bytes(found)))
               for found in (data, garbled)]
    assert written[0] == written[1]
