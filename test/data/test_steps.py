from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from recording import make_step, step_bytes, step_message
from robot_rl.data import cdr
from robot_rl.data.bag import decode_step
from robot_rl.data.steps import BadStep, Mode, Status, step_from_message, STEPS_TYPE
from robot_rl.fields import BadMessage


def read(message):
    return step_from_message(message, observation_size=2, action_size=1)


def test_a_step_survives_the_wire_exactly(contract):
    step = make_step(3, Status.TERMINATED, episode=12, success=True)
    found = decode_step(step_bytes(step), contract)
    for name, value in vars(step).items():
        assert np.array_equal(getattr(found, name), value), name


@pytest.mark.parametrize('reward', [-0.125, 0.0])
def test_a_reward_of_a_topic_is_a_segment_of_its_own(contract, reward):
    step = replace(make_step(3), reward=reward)
    assert step.segments()[-1][0] == 'reward'
    assert decode_step(step_bytes(step), contract).reward == reward


def test_a_record_without_a_reward_has_the_segments_of_bags_already_written(contract):
    assert [label for label, _ in make_step(3).segments()] == [
        'stamp', 'episode', 'index', 'status', 'source', 'mode', 'policy_version', 'success',
        'observation', 'requested', 'executed']
    assert decode_step(step_bytes(make_step(3)), contract).reward is None


@pytest.mark.parametrize('reward', [np.nan, np.inf, 1e300])
def test_a_reward_that_is_not_finite_in_float32_is_refused(reward):
    with pytest.raises(BadStep, match='reward is not finite in float32'):
        read(step_message(replace(make_step(0), reward=reward)))


def test_a_reward_of_two_numbers_is_refused():
    message = step_message(replace(make_step(0), reward=1.0))
    message.layout.dim[-1].size = 2
    message.data = np.append(message.data, 1.0)
    with pytest.raises(BadStep, match="'reward': 2"):
        read(message)


@pytest.mark.parametrize('mode', Mode)
def test_every_mode_survives_the_wire(mode, contract):
    assert decode_step(step_bytes(make_step(3, mode=mode)), contract).mode is mode


def test_the_numbers_of_the_modes_are_those_of_bags_already_written():
    assert {mode.name: mode.value for mode in Mode} == {
        'RANDOM': 0, 'LEARN': 1, 'EVALUATE': 2, 'EXPLORE': 3, 'TRANSFER': 4,
        'DEMONSTRATE': 5, 'SCRIPTED': 6}


def test_the_modes_that_measure_a_policy_are_greedy():
    assert [mode for mode in Mode if mode.greedy] == [Mode.EVALUATE, Mode.TRANSFER]


def test_nanoseconds_of_the_stamp_survive_float64():
    step = make_step(0)
    object.__setattr__(step, 'stamp', 1_999_999_999_999_999_999)
    assert read(step_message(step)).stamp == 1_999_999_999_999_999_999


def test_segments_are_matched_by_label_not_by_position():
    step = make_step(5)
    message = step_message(step)
    message.layout.dim.reverse()
    message.data = np.concatenate([values for _, values in reversed(step.segments())])
    assert read(message).observation.tolist() == step.observation.tolist()
    assert read(message).index == 5


def test_a_segment_of_another_size_is_refused():
    with pytest.raises(BadStep, match='observation'):
        step_from_message(step_message(make_step(0)), observation_size=3, action_size=1)


def test_a_label_given_twice_is_refused():
    message = step_message(make_step(0))
    message.layout.dim.insert(0, message.layout.dim[0])
    with pytest.raises(BadStep):
        read(message)


def test_data_shorter_than_its_labels_is_refused():
    message = step_message(make_step(0))
    message.data = message.data[:-1]
    with pytest.raises(BadStep):
        read(message)


@pytest.mark.parametrize('label', ['observation', 'executed', 'index', 'stamp'])
def test_a_value_that_is_not_finite_is_refused_by_its_label(label):
    step = make_step(0)
    message = step_message(step)
    offset = 0
    for name, values in step.segments():
        if name == label:
            message.data[offset] = np.nan
        offset += len(values)
    with pytest.raises(BadStep, match=f'{label} is not finite'):
        read(message)


def test_a_request_may_be_nan_because_it_was_never_executed():
    assert np.isnan(read(step_message(make_step(0, requested=np.nan))).requested).all()


def test_an_unknown_status_is_refused():
    message = step_message(make_step(0))
    message.data[4] = 9.0
    with pytest.raises(BadStep, match='9'):
        read(message)


@pytest.mark.parametrize('data', [b'', b'\x00\x01\x00\x00', b'\xff' * 40, b'\x00\x01\x00\x00' +
                                  b'\xff' * 40])
def test_bytes_that_are_no_message_are_one_declared_error(data):
    with pytest.raises(BadMessage):
        cdr.decode(STEPS_TYPE, data)


def test_every_cut_of_a_message_is_one_declared_error_or_none(contract):
    data = step_bytes(make_step(0))
    for size in range(len(data)):
        with pytest.raises((BadMessage, BadStep)):
            decode_step(data[:size], contract)
