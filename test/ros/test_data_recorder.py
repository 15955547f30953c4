"""The recorder: episodes, their bags, its services, and the folder that it writes."""

from __future__ import annotations

from copy import deepcopy
import os

from diagnostic_msgs.msg import DiagnosticStatus
from episodes import make_steps
from listener import level
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from robot_rl.data.bag import bag_steps, bag_transitions, BagWriter, find_bags, read_info
from robot_rl.data.session import Session
from robot_rl.data.steps import Status
from robot_rl.data.transitions import COLUMNS
from robot_rl.errors import UserError
from robot_rl.nodes.data_recorder import DataRecorder
from robot_rl.ros.codecs import step_message
from robot_rl.ros.qos import STEPS
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from std_srvs.srv import SetBool


def test_an_episode_that_was_sent_before_the_recorder_started_is_recorded(
        start, make_contract, tmp_path):
    contract = make_contract()
    Session(tmp_path / 'bags', contract, lambda kind, values: None).close()
    context = Context()
    rclpy.init(context=context)
    try:
        server = Node('policy_server', context=context)
        steps = server.create_publisher(Float64MultiArray, '/policy_server/steps', STEPS)
        for step in make_steps(contract, 1, 7):
            steps.publish(step_message(step))
        bench = start(DataRecorder, contract=str(contract.file), bag_root=str(tmp_path / 'bags'))
        assert bench.event('saved')['transitions'] == '7'
        server.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def test_transitions_arrive_only_after_their_bag_is_complete(recorder):
    for number in range(1, 6):
        recorder.record(number)
    assert recorder.complete == [True] * 5


def test_what_arrives_is_bit_equal_to_what_the_bag_gives(recorder):
    for number in range(1, 4):
        recorder.record(number, last=Status.TERMINATED if number == 2 else Status.TRUNCATED)
    for record, bag in zip(recorder.records, find_bags(recorder.root), strict=True):
        derived = bag_transitions(bag, recorder.contract)
        assert len(derived) == 6
        for name in COLUMNS:
            sent = getattr(record.transitions, name)
            assert sent.dtype == np.float32
            assert sent.tobytes() == getattr(derived, name).tobytes(), name


def test_the_bag_holds_every_step_as_sent(recorder):
    recorder.record(1)
    [bag] = find_bags(recorder.root)
    sent = make_steps(recorder.contract, 1)
    for found, step in zip(bag_steps(bag, recorder.contract), sent, strict=True):
        assert found.segments()[0][1].tolist() == step.segments()[0][1].tolist()
        assert np.array_equal(found.observation, step.observation)
        assert np.array_equal(found.executed, step.executed)


def test_republish_sends_every_episode_again_with_the_same_bits(recorder):
    for number in range(1, 4):
        recorder.record(number)
    first = list(recorder.records)
    assert recorder.call('republish').success
    recorder.bench.until(lambda: len(recorder.records) == 6)
    for again, record in zip(recorder.records[3:], first):
        assert (again.name, again.sequence, again.total) == (record.name, record.sequence, 3)
        assert again.transitions.observation.tobytes() == record.transitions.observation.tobytes()


def test_a_discarded_episode_never_arrives(recorder):
    steps = make_steps(recorder.contract, 1)
    recorder.send(steps[:3])
    recorder.bench.event('start')
    assert recorder.call('discard_episode').success
    recorder.bench.event('discard')         # the policy server ends its episode on this
    recorder.send(make_steps(recorder.contract, 1, count=3, last=Status.ABORTED)[3:])
    recorder.bench.until(lambda: recorder.bench.event('saved')['outcome'] == 'discarded')
    record = recorder.record(2)
    recorder.call('republish')
    recorder.bench.until(lambda: len(recorder.records) == 2)
    assert [found.name for found in recorder.records] == [record.name] * 2
    assert record.total == 1
    assert (recorder.root / 'discarded').is_dir()


def test_a_persons_verdict_reaches_the_learner_as_termination(recorder):
    recorder.send(make_steps(recorder.contract, 1)[:4])
    recorder.bench.event('start')
    assert recorder.call('end_episode', SetBool, data=True).success
    recorder.bench.event('success')
    recorder.send([make_steps(recorder.contract, 1, count=4, last=Status.TERMINATED)[4]])
    recorder.bench.until(lambda: recorder.records)
    transitions = recorder.records[0].transitions
    assert recorder.records[0].label == 'success'
    assert transitions.terminated.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert not transitions.truncated.any()


def test_services_without_an_episode_say_so(recorder):
    assert recorder.call('discard_episode').message == 'no episode is open'
    assert recorder.call('end_episode', SetBool, data=True).message == 'no episode is open'


def test_start_episode_twice_is_refused_with_the_reason(recorder):
    assert recorder.call('start_episode').success
    recorder.bench.event('start')
    answer = recorder.call('start_episode')
    assert (answer.success, answer.message) == (
        False, 'an episode is open: end or discard it first')


def test_garbage_on_steps_is_refused_with_an_event_and_recording_goes_on(recorder):
    good = step_message(make_steps(recorder.contract, 1)[0])
    twice = deepcopy(good)
    twice.layout.dim[1].label = twice.layout.dim[0].label
    cut = step_message(make_steps(recorder.contract, 1)[0])
    cut.data = cut.data[:-1]
    bad = [Float64MultiArray(), Float64MultiArray(data=[float('nan')] * 30), twice, cut,
           Float64MultiArray(layout=good.layout, data=[float('nan')] * len(good.data))]
    bad[1].layout.dim = [MultiArrayDimension(label='stamp', size=4_000_000_000)]
    for message in bad:
        recorder.steps.publish(message)
    assert 'segments' in recorder.bench.event('bad_step')['reason']
    record = recorder.record(1)
    assert len(record.transitions) == 6
    recorder.bench.says(bad_steps=len(bad), alive='True')


def test_status_counts_what_was_published(recorder):
    recorder.record(1)
    recorder.bench.says(text='waiting for an episode', published=1, transitions=6, episodes=1,
                        lost=0, dropped=0, missing_steps=0, qos_mismatches=0, write_error='')


def test_a_folder_with_episodes_of_another_contract_is_told(recorder, start, make_contract):
    recorder.record(1)
    other = make_contract(**{'control_rate: 20.0': 'control_rate: 10.0'})
    bench = start(DataRecorder, contract=str(other.file), bag_root=str(recorder.root))
    event = bench.event('other_contract')
    assert event['reason'] == 'holds episodes of another contract'
    assert (event['folder'], event['bag']) == (str(recorder.root), 'episode_000001')
    assert (event['found'], event['contract']) == (recorder.contract.hash, other.hash)


def test_a_folder_with_episodes_of_the_same_contract_is_not(recorder, start):
    recorder.record(1)
    bench = start(DataRecorder, contract=str(recorder.contract.file), bag_root=str(recorder.root))
    bench.says(text='waiting for an episode')
    assert 'other_contract' not in [kind for kind, _ in bench.events]


def test_a_disk_that_refuses_is_an_error_on_the_status_until_a_bag_is_saved(watched, monkeypatch):
    def refuse(writer, custom_data):
        raise OSError(30, 'Read-only file system')
    with monkeypatch.context() as patch:
        patch.setattr(BagWriter, 'update', refuse)
        watched.send(make_steps(watched.contract, 1))
        watched.bench.event('write_error')
        watched.bench.says(text='cannot write: OSError: [Errno 30] Read-only file system')
        watched.bench.until(lambda: level(watched.bench) == DiagnosticStatus.ERROR)
    assert list(watched.root.glob('episode_*')) == []       # nothing was recorded into it
    watched.record(2)
    watched.bench.says(write_error='', text='waiting for an episode')


def test_a_second_recorder_is_refused_and_the_first_goes_on(watched):
    with pytest.raises(UserError, match=f'another recorder, process {os.getpid()}, writes'):
        Session(watched.root, watched.contract, lambda kind, values: None)
    assert len(watched.record(1).transitions) == 6


def test_closing_completes_the_open_bag(recorder):
    recorder.send(make_steps(recorder.contract, 1)[:4])
    recorder.bench.event('start')
    recorder.bench.until(lambda: recorder.bench.node._recorder.stats()['written'] == 4)
    recorder.bench.node.close()
    [bag] = find_bags(recorder.root)
    info = read_info(bag)
    assert (info.complete, info.custom_data['outcome']) == (True, 'incomplete')
