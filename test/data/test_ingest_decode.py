from __future__ import annotations

import numpy as np
import pytest
from raw_bags import command, COMMANDS, header, joint_state, JOINTS, TYPES
from recording import make_step, step_bytes
from robot_rl.data import cdr
from robot_rl.data.bag import decode_step
from robot_rl.data.ingest_decode import AlikeDecoder, decoder, FORMS, StepDecoder
from robot_rl.data.steps import BadStep
from robot_rl.fields import BadMessage, compile_selection

POINT, POSE = 'geometry_msgs/msg/PointStamped', 'geometry_msgs/msg/PoseStamped'
SELECTED = {TYPES[JOINTS]: {'position': ['j'], 'velocity': ['other', 'j']},
            POINT: ['point.x', 'point.z'], TYPES[COMMANDS]: ['data.1'],
            POSE: ['pose.position', 'pose.orientation:quaternion']}


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


@pytest.mark.parametrize('type_name', FORMS)
def test_the_short_cut_gives_what_decoding_in_full_gives(type_name, monkeypatch):
    decode, read = AlikeDecoder(type_name), compile_selection(type_name, SELECTED[type_name]).read
    decode(MAKE[type_name](0.1, 5))
    data = MAKE[type_name](0.7, 3_000_000_007)
    expected = cdr.decode(type_name, data)
    monkeypatch.delattr('robot_rl.data.cdr.decode')
    found = decode(data)
    assert np.array_equal(read(found), read(expected))
    if FORMS[type_name].stamped:
        assert (found.header.stamp.sec, found.header.stamp.nanosec) == (3, 7)


def test_joints_that_change_their_names_are_decoded_again():
    decode = AlikeDecoder(TYPES[JOINTS])
    decode(joint_state(0.1, 5))
    assert decode(joint_state(0.1, 5, names=('third', 'k'))).name == ['third', 'k']
    assert decode(joint_state(0.2, 5, names=('j',))).name == ['j']


@pytest.mark.parametrize('count', range(6))
def test_any_number_of_values_is_read(count):
    decode = AlikeDecoder(TYPES[COMMANDS])
    values = [0.5 * index for index in range(count)]
    assert [list(decode(command(*values)).data) for _ in range(2)] == [values] * 2


@pytest.mark.parametrize('type_name', [*FORMS, 'std_msgs/msg/Float64'])
def test_bytes_that_are_no_message_are_refused(type_name):
    decode = decoder(type_name)
    for data in (b'', b'\x00\x01', bytes(7)):
        with pytest.raises(BadMessage):
            decode(data)


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
