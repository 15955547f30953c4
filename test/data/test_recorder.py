"""The recorder: what it makes of messages, and what it publishes."""

from __future__ import annotations

from pathlib import Path
import time

import numpy as np
import pytest
from recording import (custom, episode_steps, EVENTS, JOINTS, make_step, PERIOD, Recording,
                       same_bits, STEP, step_bytes, STEPS, text_bytes, TOPICS, wait_until)
from robot_rl.data.bag import bag_steps, bag_transitions, find_bags, read_bag
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.steps import EVENTS_TYPE, Mode, Status, STEPS_TYPE
from rosbags.highlevel import AnyReader


def test_what_is_published_is_bit_equal_to_what_the_bag_gives(start, contract):
    recording = start()
    generator = np.random.default_rng(0)
    steps = [make_step(index, position=generator.normal()) for index in range(50)]
    recording.send(steps + [make_step(50, Status.TRUNCATED, position=generator.normal())])
    record = recording.next_episode()
    assert len(record.transitions) == 50
    assert same_bits(record.transitions,
                     bag_transitions(recording.root / record.name, contract))


def test_an_episode_is_published_only_when_its_bag_is_complete(contract, tmp_path):
    complete = []

    def check(record):
        complete.append((tmp_path / record.name / 'metadata.yaml').is_file())

    recorder = EpisodeRecorder(tmp_path, contract, TOPICS, RecorderSettings(), STEPS, check,
                               lambda kind, values: None)
    for step in episode_steps(3):
        recorder.put(STEP, step_bytes(step), step.stamp, time.time_ns())
    recorder.close()
    assert complete == [True]


def test_the_record_says_which_episode_it_is(start):
    recording = start()
    recording.send(episode_steps(3, episode=4, mode=Mode.EVALUATE))
    recording.send(episode_steps(2, episode=5))
    first, second = recording.next_episode(), recording.next_episode()
    assert (first.name, first.sequence, first.total) == ('episode_000001', 1, 1)
    assert (second.name, second.sequence, second.total) == ('episode_000002', 2, 2)
    assert (first.mode, first.policy_version, first.stamp) == (
        'evaluate', 7, make_step(3).stamp)
    assert first.session == second.session


def test_the_bag_says_whose_it_is(start, contract):
    recording = start(extra={'seed': 3})
    recording.send(episode_steps(3))
    found = custom(recording.root / recording.next_episode().name)
    assert found['contract'] == contract.text
    assert found['contract_hash'] == contract.hash
    expected = {'task': 'tiny', 'seed': '3', 'outcome': 'truncated', 'steps': '4',
                'transitions': '3', 'mode': 'learn', 'policy_version': '7', 'dropped': '0',
                'sequence': '1', 'label': '', 'episode': 'episode_000001'}
    assert {key: found[key] for key in expected} == expected
    assert int(found['started']) < int(found['ended'])


@pytest.mark.parametrize(('status', 'success', 'outcome'), [
    (Status.TERMINATED, True, 'success'), (Status.TERMINATED, False, 'failure'),
    (Status.TRUNCATED, False, 'truncated'), (Status.TRUNCATED, True, 'success'),
    (Status.ABORTED, False, 'aborted'), (Status.ABORTED, True, 'aborted'),
    (Status.BROKEN, True, 'aborted')])
def test_the_outcome_is_that_of_the_last_step(start, status, success, outcome):
    recording = start()
    recording.send(episode_steps(2, status, success=success))
    assert recording.next_episode().outcome == outcome


def test_the_events_name_the_bag_and_the_policy_servers_episode(start):
    recording = start()
    recording.send(episode_steps(2, episode=8))
    bag = {'server_episode': '8', 'bag': str(recording.root.absolute() / 'episode_000001')}
    assert recording.wait_event('start') == {'episode': 'episode_000001', **bag}
    saved = recording.wait_event('saved')
    assert {key: saved[key] for key in bag} == bag


def test_the_event_of_a_discarded_episode_names_where_its_bag_went(start):
    recording = start()
    assert recording.recorder.start_episode()[0]
    assert recording.recorder.discard_episode()[0]
    where = Path(recording.wait_event('saved')['bag'])
    assert where.is_dir() and where.parent.name == 'discarded'
    assert 'server_episode' not in recording.wait_event('saved')


def test_an_episode_without_transitions_is_kept_and_not_published(start):
    recording = start()
    recording.send([make_step(0, Status.ABORTED)])
    recording.wait_event('saved')
    recording.send(episode_steps(2, episode=1))
    record = recording.next_episode()
    assert (record.name, record.sequence) == ('episode_000002', 1)
    assert len(find_bags(recording.root)) == 2


def test_a_failing_reward_leaves_the_bag_and_says_why(make_contract, tmp_path):
    contract = make_contract(**{'tiny_task:reward': 'tiny_task:broken_reward'})
    recording = Recording(tmp_path / 'episodes', contract)
    recording.send(episode_steps(3))
    assert 'ZeroDivisionError' in recording.wait_event('unreadable')['reason']
    recording.wait_event('saved')
    recording.recorder.close()
    assert len(bag_steps(recording.root / 'episode_000001', contract)) == 4


def test_a_failing_listener_does_not_stop_the_recording(contract, tmp_path):
    def fail(*arguments):
        raise ValueError
    recorder = EpisodeRecorder(tmp_path, contract, TOPICS, RecorderSettings(settle=0.0), STEPS,
                               fail, fail)
    for number in (0, 1):
        for step in episode_steps(2, episode=number):
            recorder.put(STEP, step_bytes(step), step.stamp, time.time_ns())
    recorder.close()
    assert recorder.stats()['episodes'] == 2
    assert recorder.stats()['callback_errors'] > 0


def test_the_message_before_step_0_is_in_the_bag(start):
    recording = start()
    for text in ('older', 'newest'):
        recording.recorder.put(EVENTS, text_bytes(text), make_step(0).stamp - 1000, 5)
    recording.send(episode_steps(2))
    found = list(read_bag(recording.root / recording.next_episode().name))
    assert [message.topic for message in found] == [TOPICS[EVENTS].name] + [STEPS] * 3
    assert found[0].data == text_bytes('newest')
    assert found[0].log_time == make_step(0).stamp - 1000


def test_a_stale_message_does_not_make_the_bag_hours_long(start):
    recording = start()
    recording.recorder.put(EVENTS, text_bytes('latched'), 1, 1)
    recording.send(episode_steps(2))
    first = next(read_bag(recording.root / recording.next_episode().name))
    assert first.log_time == make_step(0).stamp - 1_000_000_000
    assert first.publish_time == 1


def test_all_events_between_two_bags_are_in_the_second(contract, tmp_path):
    names = ('end', 'stop', 'clear_stop', 'start')
    topics = [Topic('/server/events', EVENTS_TYPE), Topic(STEPS, STEPS_TYPE)]
    recorder = EpisodeRecorder(tmp_path, contract, topics, RecorderSettings(settle=0.0), STEPS,
                               lambda record: None, lambda kind, values: None)
    for episode in range(2):
        for step in episode_steps(2, episode=episode):
            recorder.put(1, step_bytes(step), step.stamp, episode * 1000 + step.index)
        wait_until(lambda: recorder.stats()['episodes'] == episode + 1)
        for name in names:
            recorder.put(0, name.encode(), make_step(9).stamp, 0)
    recorder.close()
    found = [[message.data.decode() for message in read_bag(tmp_path / f'episode_00000{number}')
              if message.topic == topics[0].name] for number in (1, 2)]
    assert found == [[], list(names)]


def test_messages_that_trail_the_last_step_are_in_its_bag(start):
    recording = start(settle=60.0)
    recording.send(episode_steps(2))
    recording.recorder.put(EVENTS, text_bytes('trailing'), make_step(3).stamp, 0)
    recording.recorder.close()
    found = [message.data for message in read_bag(recording.root / 'episode_000001')]
    assert found[-1] == text_bytes('trailing')
    assert recording.next_episode().outcome == 'truncated'


def test_the_next_episode_gets_its_own_bag_without_waiting(start):
    recording = start(settle=60.0)
    recording.send(episode_steps(2, episode=0) + episode_steps(3, episode=1))
    recording.recorder.close()
    assert [len(recording.next_episode().transitions) for _ in range(2)] == [2, 3]


def test_a_policy_server_that_restarts_begins_another_bag(start):
    recording = start()
    recording.send([make_step(index) for index in range(5)] + episode_steps(3))
    first, second = recording.next_episode(), recording.next_episode()
    assert (first.outcome, len(first.transitions)) == ('abandoned', 4)
    assert (second.outcome, len(second.transitions)) == ('truncated', 3)


def test_an_undecodable_step_is_counted_and_costs_no_episode(start, contract):
    recording = start()
    steps = episode_steps(4)
    recording.send(steps[:2])
    recording.recorder.put(STEP, b'nonsense', 1, 1)
    recording.send(steps[2:])
    record = recording.next_episode()
    assert recording.recorder.stats()['bad_steps'] == 1
    assert 'nonsense' not in recording.wait_event('bad_step')['reason']
    assert same_bits(record.transitions, bag_transitions(recording.root / record.name, contract))


def test_beyond_the_bound_messages_are_dropped_and_counted_by_topic(contract, tmp_path):
    recording = Recording(tmp_path / 'episodes', contract, queue_bytes=1000)
    assert not recording.recorder.put(JOINTS, b'x' * 1000, 1, 1)
    assert not recording.recorder.put(JOINTS, b'x' * 1000, 1, 1)
    assert recording.recorder.put(EVENTS, b'x' * 500, 1, 1)
    assert recording.recorder.stats()['dropped'] == {TOPICS[JOINTS].name: 2}
    recording.recorder.close()


def test_messages_that_were_dropped_or_lost_are_told_and_stand_in_the_bag_of_their_episode(start):
    recording = start(queue_bytes=10000)
    for number in range(2):
        recording.recorder.miss('lost', JOINTS, 3 - number)
        steps = episode_steps(4, episode=number)
        recording.send(steps[:2])
        wait_until(lambda: recording.recorder.stats()['bag'] == f'episode_00000{number + 1}')
        for _ in range(number + 1):
            assert not recording.recorder.put(EVENTS, b'x' * 10000, 1, 1)
        recording.recorder.miss('lost', JOINTS, 5 + number)
        recording.send(steps[2:])
        found = custom(recording.root / recording.next_episode().name)
        assert (found['dropped'], found['lost']) == (str(number + 1), str(5 + number))
    assert recording.recorder.stats()['lost'] == {TOPICS[JOINTS].name: 3 + 5 + 2 + 6}
    wait_until(lambda: sum(int(values['messages']) for kind, values in recording.events
                           if kind == 'lost') == 16)
    assert sum(int(values['messages']) for kind, values in recording.events
               if kind == 'dropped') == 3


def test_step_records_that_never_came_are_counted(start):
    recording = start()
    steps = episode_steps(9)
    recording.send(steps[:3] + steps[6:8] + steps[9:])
    found = custom(recording.root / recording.next_episode().name)
    assert found['missing_steps'] == '4'
    assert recording.wait_event('missing_steps') == {'messages': '4'}
    recording.send(episode_steps(2, episode=1))
    assert custom(recording.root / recording.next_episode().name)['missing_steps'] == '0'


def test_a_clock_that_jumps_costs_no_message_and_changes_no_transition(start, contract):
    recording = start()
    steps, jumps = episode_steps(6), (0, 3600, 3600, -7200, -7200, 0, 86400)
    times = [time.time_ns() + index * PERIOD + jump * 10**9 for index, jump in enumerate(jumps)]
    for step, jump, now in zip(steps, jumps, times, strict=True):
        recording.recorder.put(EVENTS, text_bytes(str(jump)), now, now)
        recording.recorder.put(STEP, step_bytes(step), now, now)
    record = recording.next_episode()
    folder = recording.root / record.name
    found = [message.log_time for message in read_bag(folder, [TOPICS[EVENTS].name])]
    assert found == times
    assert record.transitions.truncated.tolist() == [0, 0, 0, 0, 0, 1]
    with AnyReader([folder]) as reader:
        assert reader.message_count == len(list(reader.messages())) == 14
        assert (reader.start_time, reader.end_time) == (min(found), max(found) + 1)
    assert same_bits(record.transitions, bag_transitions(folder, contract))
