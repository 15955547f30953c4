"""The recorder where the disk is full, gone or fails."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

from recording import custom, episode_steps, same_bits, wait_until
from robot_rl.data import backlog, disk
from robot_rl.data.bag import bag_transitions, BagWriter, find_bags, read_info


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
