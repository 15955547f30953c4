"""What training does: it collects, learns, catches up, pauses, and publishes actors."""

from __future__ import annotations

import os
import threading

from robot_rl.priority import NICENESS
from trainer_probe import episode, LENGTH


def test_an_untrained_actor_is_published_at_once(start):
    assert start(train=False).actor().version == 0


def test_the_actor_that_caught_up_is_published_with_what_it_learned_from(start):
    training = start()
    for number in (1, 2, 3):
        training.trainer.receive(episode(number))
    found = training.last_actor(3 * LENGTH)
    assert found.version == 3 * LENGTH
    assert found.manifest['provenance']['learned_stamp'] == 3000
    training.trainer.receive(episode(4))
    assert training.last_actor(4 * LENGTH).manifest['provenance']['learned_stamp'] == 4000


def test_actors_are_published_now_and_then_while_behind(start):
    training = start(train=False, publish_period=20)
    for number in range(1, 11):
        training.trainer.receive(episode(number))
    training.until(lambda progress: progress.episodes_received == 10)
    training.trainer.train(True)
    versions = [training.actor().version]
    while versions[-1] < 100:
        versions.append(training.actor().version)
    assert {20, 40, 60, 80, 100} <= set(versions)


def test_nothing_is_trained_while_paused(start):
    training = start(train=False)
    for number in (1, 2, 3):
        training.trainer.receive(episode(number))
    progress = training.until(lambda progress: progress.transitions_trained_on == 30)
    assert (progress.text, progress.updates, progress.owed) == ('paused', 0, 30)


def test_it_collects_before_it_trains(start):
    training = start()
    training.trainer.receive(episode(1))
    progress = training.until(lambda progress: progress.episodes_received == 1)
    assert progress.text == 'collecting 20 transitions' and progress.updates == 0


def test_training_lets_the_rest_of_its_process_go_first(start):
    training = start(train=False)
    training.actor()
    here, there = (os.getpriority(os.PRIO_PROCESS, thread)
                   for thread in (threading.get_native_id(), training.trainer._thread.native_id))
    assert there == min(19, here + NICENESS)


def test_an_error_in_training_ends_the_thread_and_is_told(start, monkeypatch):
    training = start()

    def fail(count):
        raise ArithmeticError('diverged')
    monkeypatch.setattr(training.learner, 'train', fail)
    for number in (1, 2):
        training.trainer.receive(episode(number))
    progress = training.until(lambda progress: progress.error)
    assert progress.text == 'ArithmeticError: diverged'
    training.until(lambda _: not training.trainer.alive)
    assert 'Traceback' in training.notes[-1]
