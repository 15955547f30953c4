"""The recorder and its operator: bags that are opened, ended, labelled and discarded by hand."""

from __future__ import annotations

import os
from pathlib import Path
import shutil

import pytest
from recording import custom, episode_steps, EVENTS, same_bits, text_bytes
from robot_rl.data.bag import bag_transitions, find_bags
from robot_rl.errors import UserError


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


def test_a_discard_survives_a_kill_between_its_moves(start, monkeypatch):
    recording = start(final_step_timeout=60.0)
    recording.send(episode_steps(4)[:3])
    recording.wait_event('start')
    recording.recorder.discard_episode()
    recording.wait_event('discard')
    copy, moved, rename = recording.root.parent / 'after_crash', [], os.rename
    shutil.copytree(recording.root / 'episode_000001', copy / 'episode_000001')

    def killed(source, target):
        if Path(target).parent.name == 'discarded':
            moved.append(Path(target).name)
            if len(moved) > 1:
                raise OSError('killed')
        rename(source, target)
    with monkeypatch.context() as patch:
        patch.setattr(os, 'rename', killed)
        with pytest.raises(UserError, match='killed'):
            start(copy)
    assert moved == ['episode_000001', 'episode_000001_recovered']
    start(copy).recorder.close()
    assert find_bags(copy) == []
    assert sorted(path.name for path in (copy / 'discarded').iterdir()) == moved


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
