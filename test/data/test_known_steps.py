"""A stream that brings its last steps again: none is recorded twice, none is lost."""

from __future__ import annotations

import time

import pytest
from recording import episode_steps, make_step, START, STEP, step_bytes, STEPS, TOPICS
from robot_rl.data import known_steps
from robot_rl.data.bag import bag_steps, bag_transitions, BagWriter, find_bags
from robot_rl.data.known_steps import KnownSteps
from robot_rl.data.steps import Status


def recorded(root, contract) -> list[tuple[int, int]]:
    """Return (episode, index) where each transition of the bags begins, in their order."""
    found = []
    for bag in find_bags(root):
        steps = bag_steps(bag, contract)
        assert len(bag_transitions(bag, contract)) == len(steps) - 1
        found += [(step.episode, step.index) for step in steps[:-1]]
    return found


def cut_short(root, steps, published) -> None:
    """Leave a bag as a killed recorder does."""
    writer = BagWriter(root / 'episode_000001', {'task': 'tiny', 'steps_topic': STEPS})
    topic = writer.add_topic(STEPS, TOPICS[STEP].type)
    for step, when in zip(steps, published):
        writer.write(topic, step_bytes(step), step.stamp, when)
    writer.flush()
    writer.abandon()


def test_what_comes_again_is_recorded_once(start, contract):
    recording = start()
    steps = episode_steps(4)
    published = recording.send(steps[:3])
    published += recording.send(steps[3:])
    recording.send(steps, published)
    assert len(recording.next_episode().transitions) == 4
    recording.send(episode_steps(1, episode=1))
    recording.next_episode()
    assert recording.recorder.stats()['repeated_steps'] == 5
    assert len(recorded(recording.root, contract)) == 5


@pytest.mark.parametrize('flushed', range(1, 6))
def test_a_killed_recorder_and_its_successor_lose_no_transition(start, contract, tmp_path,
                                                                flushed):
    root, steps = tmp_path / 'episodes', episode_steps(5)
    start().recorder.close()
    published = [time.time_ns() + index for index in range(len(steps))]
    cut_short(root, steps, published[:flushed])
    recording = start()
    recording.send(steps, published)
    recording.wait_handled()
    recording.recorder.close()
    assert recorded(root, contract) == [(0, index) for index in range(5)]


def test_a_recorder_that_starts_again_records_no_complete_episode_again(start, contract):
    first = start()
    steps = episode_steps(3) + episode_steps(2, episode=1)
    published = first.send(steps)
    first.next_episode(), first.next_episode()
    first.recorder.close()
    second = start()
    second.send(steps, published)
    second.send(episode_steps(1, episode=2))
    assert second.next_episode().sequence == 3
    assert second.recorder.stats()['repeated_steps'] == len(steps)
    assert len(recorded(second.root, contract)) == 6


def test_a_discarded_episode_does_not_come_back(start, contract):
    first = start(final_step_timeout=0.0)
    steps = episode_steps(6)
    published = first.send(steps[:3])
    first.wait_event('start')
    first.recorder.discard_episode()
    first.wait_event('saved')
    first.recorder.close()
    second = start()
    second.send(steps, published + [time.time_ns() for _ in steps[3:]])
    second.send(episode_steps(2, episode=1))
    assert second.next_episode().name == 'episode_000002'
    assert recorded(second.root, contract) == [(1, 0), (1, 1)]


def test_a_new_session_takes_nothing_from_before_it_began(start, contract):
    recording = start()
    before = START                  # long ago
    recording.send(episode_steps(3), [before + index for index in range(4)])
    recording.send(episode_steps(2, episode=1))
    assert recording.next_episode().sequence == 1
    assert recorded(recording.root, contract) == [(1, 0), (1, 1)]


def test_it_takes_the_rest_of_an_episode_with_the_step_that_led_to_it(start, contract):
    recording = start()
    recording.send([make_step(0), make_step(1)], [START, START + 1])
    recording.send([make_step(2), make_step(3, Status.TRUNCATED)])
    recording.next_episode()
    assert recorded(recording.root, contract) == [(0, 1), (0, 2)]


@pytest.mark.parametrize('joining', [0.0, 60.0])
def test_a_clock_that_goes_back_costs_nothing_once_the_session_has_steps(start, contract, joining,
                                                                         monkeypatch):
    monkeypatch.setattr(known_steps, 'JOINING', joining)
    recording = start()
    if joining:
        recording.send(episode_steps(1))
        recording.next_episode()
    recording.send(episode_steps(2, episode=1), [START, START + 1, START + 2])
    assert len(recording.next_episode().transitions) == 2


def test_without_times_of_publishing_nothing_is_taken_for_known(start, contract):
    recording = start()
    recording.send(episode_steps(2) + episode_steps(2, episode=1), [0] * 6)
    assert len(recording.next_episode().transitions) == 2
    assert len(recording.next_episode().transitions) == 2


def test_no_more_is_remembered_than_the_bound(tmp_path):
    known = KnownSteps(tmp_path, STEPS, 0)
    for published in range(1, known_steps.MOST + 3):
        known.add(published)
    assert 2 not in known and 3 in known
