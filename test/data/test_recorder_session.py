"""The recorder's session: its folder, its lock, what a crash leaves, and to publish it again."""

from __future__ import annotations

import os
from pathlib import Path
import random
import signal
import subprocess
import sys

import pytest
from recording import (custom, episode_steps, EVENTS, make_step, Recording,
                       same_bits, STEP, step_bytes, STEPS, TOPICS, wait_until)
from robot_rl.data.bag import bag_steps, bag_transitions, BagWriter, find_bags, NOTHING, read_bag
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.recover import recover
from robot_rl.data.steps import Status
from robot_rl.errors import UserError


def record_in_a_process(contract, root, flush_period: float) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name('recorder_process.py'), contract.file, root,
         str(flush_period)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


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
