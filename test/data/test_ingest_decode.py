from __future__ import annotations

from array import array
import importlib

import numpy as np
import pytest
from raw_bags import command, COMMANDS, header, joint_state, JOINTS, TYPES
from recording import make_step, step_bytes
from robot_rl.data import cdr
from robot_rl.data.bag import decode_step
from robot_rl.data.ingest_decode import MAX_ALIKE_BYTES, MAX_LESSONS, StepDecoder, TopicReader
from robot_rl.data.steps import BadStep
from robot_rl.fields import BadMessage, compile_selection, OBSERVATION_TYPES, stamp_of

POINT, POSE = 'geometry_msgs/msg/PointStamped', 'geometry_msgs/msg/PoseStamped'
SELECTED = {TYPES[JOINTS]: {'velocity': ['j', 'other'], 'position': ['j']},
            POINT: ['point.z', 'point.x'], TYPES[COMMANDS]: ['data.1'],
            POSE: ['pose.position.y', 'pose.orientation:rot6d', 'pose.position.x']}
ALL = {TYPES[JOINTS]: {'position': ['b', 'a'], 'effort': ['a']}, POINT: ['point'],
       TYPES[COMMANDS]: ['data.1', 'data.0'], POSE: ['pose.orientation:rpy', 'pose.position'],
       'geometry_msgs/msg/TwistStamped': ['twist.angular.z', 'twist.linear'],
       'geometry_msgs/msg/WrenchStamped': ['wrench.force', 'wrench.torque.x'],
       'std_msgs/msg/Float64': ['data'],
       'sensor_msgs/msg/Imu': ['linear_acceleration.z', 'orientation:quaternion'],
       'nav_msgs/msg/Odometry': ['twist.twist.angular.z', 'pose.pose.orientation:rot6d',
                                 'pose.pose.position.x']}


def point(value: float, stamp: int) -> bytes:
    xyz = cdr.new('geometry_msgs/msg/Point', x=value, y=2.0, z=-value)
    return cdr.encode(POINT, cdr.new(POINT, header=header(stamp), point=xyz))


def pose(value: float, stamp: int) -> bytes:
    turn = cdr.new('geometry_msgs/msg/Quaternion', x=0.0, y=0.6, z=0.0, w=0.8)
    place = cdr.new('geometry_msgs/msg/Point', x=value, y=2.0, z=-value)
    return cdr.encode(POSE, cdr.new(POSE, header=header(stamp), pose=cdr.new(
        'geometry_msgs/msg/Pose', position=place, orientation=turn)))


MAKE = {TYPES[JOINTS]: joint_state, POINT: point, POSE: pose,
        TYPES[COMMANDS]: lambda value, stamp: command(value, -value)}


class Reader(TopicReader):
    """Gives lists, also where the bytes of a message were unpacked into a tuple."""

    def __call__(self, data: bytes):
        stamp, found = super().__call__(data)
        return stamp, [each if isinstance(each, BadMessage) else list(each) for each in found]


def reader(type_name: str, *selects) -> Reader:
    return Reader(type_name, [compile_selection(type_name, select)
                              for select in selects or [SELECTED[type_name]]])


def in_full(type_name: str, data: bytes, select=None) -> tuple[int, list[list[float]]]:
    message = cdr.decode(type_name, data)
    return stamp_of(message), [
        compile_selection(type_name, select or SELECTED[type_name]).read(message).tolist()]


@pytest.mark.parametrize('type_name', MAKE)
def test_the_short_cut_gives_what_decoding_in_full_gives(type_name, monkeypatch):
    read = reader(type_name)
    read(MAKE[type_name](0.1, 5))
    data = MAKE[type_name](0.7, 3_000_000_007)
    expected = in_full(type_name, data)
    monkeypatch.delattr('robot_rl.data.cdr.decode')
    assert read(data) == expected
    assert expected[0] == (3_000_000_007 if OBSERVATION_TYPES[type_name].stamped else 0)


def filled(type_name: str, rng: np.random.Generator):
    """Return a message of rclpy's own classes that is full of random numbers."""
    package, kind, name = type_name.split('/')
    message = getattr(importlib.import_module(f'{package}.{kind}'), name)()

    def fill(target) -> None:
        for field, kind in target.get_fields_and_field_types().items():
            value = getattr(target, field)
            if kind == 'double':
                setattr(target, field, rng.normal())
            elif isinstance(value, (array, np.ndarray)):
                setattr(target, field, rng.normal(size=len(value) or 2).tolist())
            elif hasattr(value, 'w'):
                turn = rng.normal(size=4)
                value.x, value.y, value.z, value.w = (turn / np.linalg.norm(turn)).tolist()
            elif hasattr(value, 'get_fields_and_field_types'):
                fill(value)
            elif kind in ('int32', 'uint32'):
                setattr(target, field, int(rng.integers(1, 1000)) if field != 'data_offset' else 0)
    fill(message)
    if hasattr(message, 'name'):
        message.name = ['a', 'b']
    return message


@pytest.mark.parametrize('type_name', ALL)
def test_messages_of_rclpy_are_read_by_the_short_cut(type_name, monkeypatch):
    serialize = pytest.importorskip('rclpy.serialization').serialize_message
    rng = np.random.default_rng(0)
    first, *others = (serialize(filled(type_name, rng)) for _ in range(5))
    expected = [in_full(type_name, data, ALL[type_name]) for data in others]
    read = reader(type_name, ALL[type_name])
    read(first)
    monkeypatch.delattr('robot_rl.data.cdr.decode')
    assert [read(data) for data in others] == expected


def test_every_observation_type_is_read_by_the_short_cut():
    assert ALL.keys() == OBSERVATION_TYPES.keys()


def test_padding_that_changes_does_not_end_the_short_cut(monkeypatch):
    read, data = reader(POINT), bytearray(point(0.1, 5))
    expected = read(bytes(data))
    data[17:20] = b'any'                # behind the empty frame_id
    monkeypatch.delattr('robot_rl.data.cdr.decode')
    assert read(bytes(data)) == expected


def test_joints_that_change_their_names_are_decoded_again():
    read = reader(TYPES[JOINTS], {'position': ['j']})
    read(joint_state(0.1, 5))
    assert read(joint_state(0.3, 5, names=('j', 'third')))[1] == [[0.3]]
    refused, = read(joint_state(0.1, 5, names=('third', 'k')))[1]
    assert 'joint j is missing' in str(refused)
    assert read(joint_state(0.2, 5, names=('j',)))[1] == [[0.2]]


def test_messages_of_two_lengths_by_turns_are_both_learned(monkeypatch):
    read = reader(TYPES[JOINTS], {'position': ['j']})
    names = (('j',), ('j', 'gripper'))
    for each in names:
        read(joint_state(0.1, 5, names=each))
    monkeypatch.delattr('robot_rl.data.cdr.decode')
    assert [read(joint_state(0.2, 5, names=each))[1] for each in names * 2] == [[[0.2]]] * 4


def test_no_more_is_learned_of_a_topic_that_changes_all_the_time():
    read = reader(TYPES[JOINTS], {'position': ['j']})
    for index in range(2 * MAX_LESSONS):
        names = ('j', 'x' * (8 * index + 1))
        assert read(joint_state(0.1, 5, names=names))[1] == [[0.1]]
    assert len(read._forms) == MAX_LESSONS


def test_what_recordings_teach_holds_for_the_next_and_does_not_add_up():
    read = reader(TYPES[JOINTS], {'position': ['j']})
    for recording in range(4):
        read.begin()
        for index in range(MAX_LESSONS // 2 + 1):
            names = ('j', 'x' * (8 * (100 * recording + index) + 1))
            assert read(joint_state(0.1, 5, names=names))[1] == [[0.1]]
        assert MAX_LESSONS // 2 < len(read._forms) <= 2 * MAX_LESSONS


def test_nothing_is_learned_of_a_long_message():
    read = reader(TYPES[COMMANDS])
    data = command(*np.arange(MAX_ALIKE_BYTES / 8))
    assert read(data)[1] == [[1.0]] and not read._forms


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_what_is_not_finite_is_refused_by_the_short_cut_too(value):
    read = reader(POINT)
    read(point(0.1, 5))
    refused, = read(point(value, 5))[1]
    assert isinstance(refused, BadMessage) and str(refused) == f'{POINT}: point.z is not finite'


def test_numbers_that_are_finite_and_their_sum_not_are_taken():
    read = reader(TYPES[COMMANDS], ['data.0', 'data.1'])
    for _ in range(2):
        assert read(command(1.7e308, 1.7e308)) == (0, [[1.7e308, 1.7e308]])


def test_a_turn_that_is_no_rotation_is_refused_by_the_short_cut_too():
    read, data = reader(POSE), bytearray(pose(0.1, 5))
    read(bytes(data))
    data[-8:] = np.array([5.0]).tobytes()
    assert 'pose.orientation has norm' in str(read(bytes(data))[1][0])


def test_each_of_several_selections_of_a_topic_is_read_or_refused():
    read = reader(TYPES[JOINTS], {'position': ['j']}, {'effort': ['j']})
    for value in (0.1, 0.2):
        found, refused = read(joint_state(value, 5))[1]
        assert found == [value] and 'effort has 0 values for 2 names' in str(refused)


@pytest.mark.parametrize('count', range(2, 6))
def test_any_number_of_values_is_read(count):
    read = reader(TYPES[COMMANDS])
    values = [0.5 * index for index in range(count)]
    assert [read(command(*values))[1] for _ in range(2)] == [[[0.5]]] * 2


@pytest.mark.parametrize('type_name', MAKE)
def test_bytes_that_are_no_message_are_refused(type_name):
    read = reader(type_name)
    for data in (b'', b'\x00\x01', bytes(7)):
        with pytest.raises(BadMessage):
            read(data)


def test_steps_are_those_of_decoding_in_full(contract):
    decode = StepDecoder(contract)
    for index in range(3):
        data = step_bytes(make_step(index))
        found, expected = decode(data), decode_step(data, contract)
        assert found.stamp == expected.stamp and found.index == index
        assert np.array_equal(found.observation, expected.observation)
        assert np.array_equal(found.executed, expected.executed)


def test_a_step_that_is_not_finite_is_refused_by_the_short_cut_too(contract):
    decode = StepDecoder(contract)
    decode(step_bytes(make_step(0)))
    with pytest.raises(BadStep, match='observation is not finite'):
        decode(step_bytes(make_step(1, position=float('nan'))))


def test_numbers_of_32_bits_are_decoded_in_full():
    kind = 'std_msgs/msg/Float32'
    read = TopicReader(kind, [compile_selection(kind, ['data'])])
    for value in (0.0, 0.5, -3.0, 1e30):
        stamp, (found,) = read(cdr.encode(kind, cdr.new(kind, data=value)))
        assert (stamp, list(found)) == (0, [float(np.float32(value))])
