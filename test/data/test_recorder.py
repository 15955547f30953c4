from __future__ import annotations

import os
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from recording import (episode_steps, EVENTS, JOINTS, make_step, PERIOD, Recording, STEP,
                       step_bytes, STEPS, text_bytes, TOPICS, wait_until)
from robot_rl.data import backlog, disk
from robot_rl.data.bag import (bag_steps, bag_transitions, BagWriter, find_bags, NOTHING, read_bag,
                               read_info)
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.recover import recover
from robot_rl.data.steps import EVENTS_TYPE, Mode, Status, STEPS_TYPE
from robot_rl.data.transitions import COLUMNS
from robot_rl.errors import UserError
from rosbags.highlevel import AnyReader


def same_bits(first, second):
    return all(getattr(first, name).tobytes() == getattr(second, name).tobytes()
               for name in COLUMNS)


def record_in_a_process(contract, root, flush_period: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name('recorder_process.py'), contract.file, root,
         str(flush_period)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def custom(folder):
    return read_info(folder).custom_data


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


def test_the_operator_opens_and_ends_a_bag(start):
    recording = start()
    assert recording.recorder.start_episode('by hand')[0]
    recording.recorder.put(EVENTS, text_bytes('teleop'), 1, 1)
    assert recording.recorder.end_episode(True)[0]
    assert recording.wait_event('saved')['outcome'] == 'success'
    found = custom(recording.root / 'episode_000001')
    assert (found['note'], found['label']) == ('by hand', 'success')
    assert recording.episodes.empty()


def test_a_second_start_is_refused(start):
    recording = start()
    assert recording.recorder.start_episode()[0]
    assert not recording.recorder.start_episode()[0]


@pytest.mark.parametrize('act', ['discard_episode', 'end_episode'])
def test_without_an_open_episode_there_is_nothing_to_end(start, act):
    arguments = (True,) if act == 'end_episode' else ()
    assert getattr(start().recorder, act)(*arguments) == (False, 'no episode is open')


@pytest.mark.parametrize('success', [True, False])
def test_a_verdict_asks_the_policy_server_to_end_and_labels_the_last_step(
        start, contract, success):
    recording = start(final_step_timeout=60.0)
    steps = episode_steps(4)
    recording.send(steps[:3])
    recording.wait_event('start')
    label = 'success' if success else 'failure'
    assert recording.recorder.end_episode(success) == (True, f'episode_000001: {label}')
    assert recording.wait_event(label) == {'episode': 'episode_000001'}
    recording.send(steps[3:])
    record = recording.next_episode()
    assert (record.outcome, record.label, record.transitions.terminated[-1]) == (label, label, 1)
    assert same_bits(record.transitions, bag_transitions(recording.root / record.name, contract))


def test_a_last_step_that_never_comes_is_not_waited_for_for_long(start):
    recording = start(final_step_timeout=0.01)
    recording.send(episode_steps(4)[:3])
    recording.wait_event('start')
    recording.recorder.end_episode(True)
    record = recording.next_episode()
    assert (record.outcome, len(record.transitions)) == ('success', 2)


def test_a_discarded_episode_is_moved_and_never_published(start):
    recording = start(final_step_timeout=60.0)
    steps = episode_steps(4)
    recording.send(steps[:3])
    recording.wait_event('start')
    assert recording.recorder.discard_episode()[0]
    recording.wait_event('discard')
    recording.send(steps[3:] + episode_steps(2, episode=1))
    assert recording.next_episode().name == 'episode_000002'
    assert custom(recording.root / 'discarded' / 'episode_000001')['outcome'] == 'discarded'
    assert [folder.name for folder in find_bags(recording.root)] == ['episode_000002']


def test_the_rest_of_a_discarded_episode_is_not_recorded_either(start):
    recording = start(final_step_timeout=0.0)
    steps = episode_steps(6)
    recording.send(steps[:3])
    recording.wait_event('start')
    recording.recorder.discard_episode()
    recording.wait_event('saved')
    recording.send(steps[3:] + episode_steps(2, episode=1))
    assert len(recording.next_episode().transitions) == 2
    assert recording.recorder.stats()['skipped_steps'] == 4


def test_a_discard_survives_a_crash_before_the_close(start):
    recording = start(final_step_timeout=60.0)
    recording.send(episode_steps(4)[:3])
    recording.wait_event('start')
    recording.recorder.discard_episode()
    recording.wait_event('discard')
    copy = recording.root.parent / 'after_crash'
    shutil.copytree(recording.root / 'episode_000001', copy / 'episode_000001')
    for _ in range(2):
        later = start(copy)
        assert later.recorder.stats()['published'] == 0
        later.recorder.close()
    assert find_bags(copy) == []
    assert (copy / 'discarded' / 'episode_000001_recovered' / 'metadata.yaml').is_file()


def test_silence_ends_an_episode_as_abandoned(start):
    recording = start(idle_timeout=0.01)
    recording.send(episode_steps(4)[:3])
    record = recording.next_episode()
    assert (record.outcome, record.transitions.truncated[-1]) == ('abandoned', 1)


def test_silence_does_not_end_what_the_operator_began(start):
    recording = start(idle_timeout=0.0)
    recording.recorder.start_episode()
    recording.send(episode_steps(4)[:3])
    recording.wait_handled()
    recording.recorder.close()
    assert recording.next_episode().outcome == 'incomplete'


def test_a_recording_of_which_nothing_reached_the_disk_is_told_once_and_put_aside(
        start, contract, tmp_path):
    root = tmp_path / 'episodes'
    process = record_in_a_process(contract, root, flush_period=1000.0)
    process.stdout.readline()
    wait_until(lambda: any(map(custom, find_bags(root))))    # whose it is, before any message
    kill(process)
    recording = start()
    found = recording.wait_event('empty')
    assert found == {'bag': str(root / 'discarded' / 'episode_000001'), 'reason': NOTHING}
    assert [path.name for path in (root / 'discarded' / 'episode_000001').iterdir()] == [
        'episode_000001_0.mcap']
    assert find_bags(root) == []
    recording.send(episode_steps(2))
    assert recording.next_episode().name == 'episode_000002'
    recording.recorder.close()
    assert not {'empty', 'unreadable'} & {kind for kind, _ in start().events}


def test_numbers_are_never_used_twice(start):
    recording = start()
    recording.send(episode_steps(2))
    recording.next_episode()
    recording.recorder.start_episode()
    recording.recorder.discard_episode()
    recording.recorder.close()
    later = start()
    later.send(episode_steps(2))
    record = later.next_episode()
    assert (record.name, record.sequence, record.total) == ('episode_000003', 2, 2)


def test_the_session_lives_as_long_as_its_folder(start):
    first = start()
    first.send(episode_steps(2))
    session = first.next_episode().session
    first.recorder.close()
    later = start()
    later.send(episode_steps(2))
    assert later.next_episode().session == session


def test_a_second_recorder_is_refused_by_folder(start):
    recording = start()
    with pytest.raises(UserError, match=f'{recording.root}: another recorder, process '
                                        f'{os.getpid()}, writes into this folder'):
        start()
    recording.send(episode_steps(2))        # the first one goes on
    assert recording.next_episode().name == 'episode_000001'


def test_a_recorder_in_another_process_is_named_and_its_lock_dies_with_it(
        start, contract, tmp_path):
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name('recorder_process.py'), contract.file,
         tmp_path / 'episodes', '0.05'], stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    try:
        process.stdout.readline()
        with pytest.raises(UserError, match=f'another recorder, process {process.pid}, writes'):
            start()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert start().recorder.stats()['alive']


def test_a_folder_that_cannot_be_made_is_named(start, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='file/episodes: Not a directory'):
        start(tmp_path / 'file' / 'episodes')


def test_a_remapped_steps_topic_is_found_again(contract, tmp_path):
    recording = Recording(tmp_path / 'episodes', contract, steps_topic='/remapped')
    recording.send(episode_steps(3))
    record = recording.next_episode()
    recording.recorder.close()
    assert same_bits(record.transitions, bag_transitions(recording.root / record.name, contract))


def test_an_unknown_type_is_refused_at_once(contract, tmp_path):
    with pytest.raises(UserError, match='my_msgs/msg/Mine'):
        EpisodeRecorder(tmp_path, contract, [*TOPICS, Topic('/mine', 'my_msgs/msg/Mine')],
                        RecorderSettings(), STEPS, print, print)


def test_everything_is_published_again_with_the_same_names_and_bits(start):
    recording = start()
    recording.send(episode_steps(3, episode=0) + [make_step(0, Status.ABORTED, episode=1)]
                   + episode_steps(4, episode=2))
    live = [recording.next_episode() for _ in range(2)]
    assert recording.recorder.republish()[0]
    again = [recording.next_episode() for _ in range(2)]
    for first, second in zip(live, again):
        assert (first.name, first.sequence, first.stamp, first.mode, first.outcome) == (
            second.name, second.sequence, second.stamp, second.mode, second.outcome)
        assert same_bits(first.transitions, second.transitions)
    assert [record.total for record in again] == [2, 2]


def test_recording_goes_on_between_two_republished_bags(start):
    recording = start()
    recording.send([step for number in range(4) for step in episode_steps(2, episode=number)])
    for _ in range(4):
        recording.next_episode()
    names = []

    def listen(record):
        if not names:
            recording.send(episode_steps(2, episode=9))
        names.append(record.name)

    recording.recorder._on_episode = listen
    recording.recorder.republish()
    wait_until(lambda: len(names) == 5)
    assert names.index('episode_000005') < 4


def test_a_damaged_bag_is_reported_and_the_others_published(start):
    recording = start()
    recording.send(episode_steps(2, episode=0) + episode_steps(2, episode=1))
    for _ in range(2):
        recording.next_episode()
    path = recording.root / 'episode_000001' / 'episode_000001_0.mcap'
    path.write_bytes(path.read_bytes()[:200])
    recording.recorder.republish()
    assert recording.next_episode().name == 'episode_000002'
    assert 'damaged' in recording.wait_event('unreadable')['reason']


def test_what_a_crash_left_is_recovered_numbered_and_published_again(start, tmp_path, contract):
    root = tmp_path / 'episodes'
    writer = BagWriter(root / 'episode_000007', {'task': 'tiny'})
    topic = writer.add_topic(STEPS, TOPICS[STEP].type)
    for step in episode_steps(5)[:4]:
        writer.write(topic, step_bytes(step), step.stamp, step.stamp)
    writer.flush()
    writer.abandon()
    recording = start()
    assert recording.wait_event('recovered')['messages'] == '4'
    recording.recorder.republish()
    record = recording.next_episode()
    assert (record.name, record.sequence, record.total, record.outcome) == (
        'episode_000007_recovered', 1, 1, 'incomplete')
    assert len(record.transitions) == 3
    recording.send(episode_steps(2))
    assert recording.next_episode().name == 'episode_000008'


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


def test_a_full_disk_ends_the_episode_cleanly_and_refuses_others(start, monkeypatch):
    recording = start()
    recording.send(episode_steps(4)[:3])
    recording.wait_event('start')
    room = SimpleNamespace(free=10)
    monkeypatch.setattr(disk.shutil, 'disk_usage', lambda path: room)
    record = recording.next_episode()
    assert (record.outcome, len(record.transitions)) == ('incomplete', 2)
    assert recording.wait_event('disk_full') == {'free': '10'}
    assert custom(recording.root / record.name)['cut'] == (
        'the disk is nearly full, 10 bytes are free')
    ok, reason = recording.recorder.start_episode()
    assert not ok and 'nearly full' in reason
    recording.send(episode_steps(2, episode=1))
    recording.wait_handled()
    room.free = 10**12
    recording.send(episode_steps(2, episode=2))
    assert recording.next_episode().name == 'episode_000002'


def test_a_disk_that_is_full_from_the_start_is_told(start):
    recording = start(min_free_bytes=1 << 62)
    assert int(recording.wait_event('disk_full')['free']) > 0
    assert 'nearly full' in recording.recorder.start_episode()[1]


def test_a_bag_that_somebody_took_away_is_told_and_not_mended(start, monkeypatch):
    recording = start(flush_period=60.0, min_free_bytes=0)
    room = SimpleNamespace(free=1)
    monkeypatch.setattr(disk.shutil, 'disk_usage', lambda path: room)
    with monkeypatch.context() as patch:
        patch.setattr(BagWriter, 'write', lambda *arguments: 1 / 0)
        recording.send(episode_steps(4)[:1])
        recording.wait_event('write_error')
    shutil.move(recording.root / 'episode_000001', recording.root.parent)
    wait_until(lambda: recording.recorder.stats()['cut'] == 0)
    assert 'no such bag' in recording.wait_event('unreadable')['reason']
    recording.send(episode_steps(2, episode=1))
    assert recording.next_episode().name == 'episode_000002'


def test_a_folder_that_is_gone_costs_the_republishing_and_no_open_episode(start, monkeypatch):
    recording = start()
    recording.send(episode_steps(4)[:2])
    recording.wait_event('start')

    def refuse(root):
        raise OSError(5, 'Input/output error')
    monkeypatch.setattr(backlog, 'find_bags', refuse)
    recording.recorder.republish()
    assert 'Input/output' in recording.wait_event('unreadable')['reason']
    recording.send(episode_steps(4)[2:])
    assert len(recording.next_episode().transitions) == 4


def test_a_write_error_costs_the_episode_and_not_the_recorder(start, monkeypatch):
    recording = start(flush_period=0.0)

    def refuse(writer):
        raise OSError(5, 'Input/output error')

    with monkeypatch.context() as patch:
        patch.setattr(BagWriter, 'flush', refuse)
        recording.send(episode_steps(4)[:3])
        assert 'Input/output' in recording.wait_event('write_error')['reason']
        assert 'Input/output' in recording.recorder.stats()['write_error']
    recording.send(episode_steps(2, episode=1))
    assert recording.next_episode().name == 'episode_000002'
    stats = recording.recorder.stats()
    assert (stats['alive'], stats['write_error']) == (True, '')
    assert not read_info(recording.root / 'episode_000001').complete


def test_the_next_episode_is_recorded_although_the_one_before_could_not_be_closed(
        start, monkeypatch):
    recording = start(settle=60.0)
    close = BagWriter.close

    def refuse(writer, custom_data):
        monkeypatch.setattr(BagWriter, 'close', close)
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(BagWriter, 'close', refuse)
    recording.send(episode_steps(2, episode=0) + episode_steps(3, episode=1))
    recording.wait_event('write_error')
    recording.recorder.close()
    record = recording.next_episode()
    assert (record.name, len(record.transitions)) == ('episode_000002', 3)


def test_an_episode_that_the_disk_cut_is_mended_when_there_is_room(start, monkeypatch, contract):
    recording = start(flush_period=60.0, min_free_bytes=1000)
    room = SimpleNamespace(free=1500)
    monkeypatch.setattr(disk.shutil, 'disk_usage', lambda path: room)
    steps = episode_steps(4)
    recording.send(steps[:3])
    recording.wait_handled()

    def refuse(writer, *arguments):
        writer.flush()
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(BagWriter, 'write', refuse)
        recording.send(steps[3:])
        recording.wait_event('write_error')
    assert (recording.recorder.stats()['cut'], recording.episodes.qsize()) == (1, 0)
    room.free = 10**9
    record = recording.next_episode()
    found = custom(recording.root / record.name)
    assert (record.name, record.outcome, record.sequence, len(record.transitions)) == (
        'episode_000001_recovered', 'incomplete', 1, 2)
    assert found['cut'] == 'OSError: [Errno 28] No space left on device'
    assert same_bits(record.transitions, bag_transitions(recording.root / record.name, contract))
    recording.send(episode_steps(2, episode=1))
    assert recording.next_episode().sequence == 2


def test_a_discard_of_an_episode_that_the_disk_cut_is_kept(start, monkeypatch):
    recording = start(final_step_timeout=60.0, flush_period=60.0)
    steps = episode_steps(4)
    recording.send(steps[:3])
    recording.wait_event('start')
    recording.recorder.discard_episode()
    recording.wait_event('discard')
    with monkeypatch.context() as patch:
        patch.setattr(BagWriter, 'write', lambda *arguments: 1 / 0)
        recording.send(steps[3:])
        recording.wait_event('write_error')
    recording.wait_event('recovered')
    wait_until(lambda: (recording.root / 'discarded' / 'episode_000001_recovered').is_dir())
    assert recording.episodes.empty() and find_bags(recording.root) == []


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


def test_messages_reach_the_operating_system_within_the_flush_period(start):
    recording = start(flush_period=0.02)
    recording.send(episode_steps(4)[:3])
    wait_until(lambda: recording.recorder.stats()['flushed'] == 3)
    assert len(list(read_bag(recording.root / 'episode_000001'))) == 3


@pytest.mark.parametrize('seed', range(4))
def test_a_killed_recorder_loses_nothing_that_was_flushed(contract, tmp_path, seed):
    process = record_in_a_process(contract, tmp_path / 'episodes', flush_period=0.05)
    target = random.Random(seed).randrange(200, 600)
    try:
        for line in process.stdout:
            count, flushed = map(int, line.split())
            if count >= target and flushed:
                break
    finally:
        kill(process)
    found, = recover(tmp_path / 'episodes')
    texts = [message for message in read_bag(found.folder)
             if message.topic == TOPICS[EVENTS].name]
    assert found.messages >= flushed
    assert [message.log_time for message in texts] == list(range(1, len(texts) + 1))
    assert bag_steps(found.folder, contract)[0].index == 0
