"""In deterministic mode what an update draws from depends on its number alone."""

from __future__ import annotations

from functools import partial
import random

import pytest
from trainer_probe import DEMONSTRATOR, episode, LENGTH, sim_optimal, Training


@pytest.fixture
def start(start):
    return partial(start, deterministic=True)


def learned(training: Training) -> list[str]:
    """Return a list that the episodes go to as the learner takes them."""
    order, add = [], training.learner.add

    def note(episode_id, *rest):
        order.append(episode_id)
        return add(episode_id, *rest)

    training.learner.add = note
    return order


def send(training: Training, numbers, total: int = 0, **values) -> None:
    for number in numbers:
        training.trainer.receive(episode(number, total, **values))


def test_an_episode_waits_for_the_updates_of_those_before(start):
    training = start(train=False)
    send(training, range(1, 6))
    progress = training.until(lambda progress: progress.episodes_received == 5)
    assert (progress.transitions_trained_on, progress.owed) == (2 * LENGTH, 20)
    training.trainer.train(True)
    training.until(lambda progress: progress.updates == 5 * LENGTH)


def test_what_comes_out_of_order_is_learned_in_order(start):
    found = []
    for numbers in (range(1, 7), [6, 2, 5, 1, 4, 3]):
        training = start()
        found.append(learned(training))
        send(training, numbers, total=6)
        training.until(lambda progress: progress.updates == 6 * LENGTH)
    assert found[0] == found[1] == [f's/episode_{number}' for number in range(1, 7)]


def test_the_time_of_arrival_does_not_change_the_result(start):
    found = []
    for pause in (False, True):
        training = start()
        for number in range(1, 7):
            send(training, [number])
            if pause:
                training.until(lambda progress: progress.updates >= LENGTH * number
                               or number == 1 and progress.episodes_received)
        training.until(lambda progress: progress.updates == 6 * LENGTH)
        found.append(training.learner.state.actor.value)
    assert found[0].equal(found[1])


def test_a_missing_episode_is_waited_for_and_named(start):
    training = start()
    send(training, [3, 2], total=3)
    progress = training.until(lambda progress: progress.episodes_received == 2)
    assert progress.text == 'waiting for 1 missing episodes, to keep their order'
    assert (progress.missing, progress.updates) == (1, 0)
    send(training, [1], total=3)
    training.until(lambda progress: progress.updates == 3 * LENGTH)


def test_a_number_that_is_gone_for_good_is_not_waited_for(start):
    training = start()
    order = learned(training)
    send(training, [4, 2], total=2)
    training.until(lambda progress: progress.updates == 2 * LENGTH)
    assert order == ['s/episode_2', 's/episode_4']


def test_episodes_that_are_held_out_hold_nothing_up(start):
    training = start()
    send(training, [1, 3], total=3)
    send(training, [2], total=3, mode='evaluate')
    training.until(lambda progress: progress.updates == 2 * LENGTH)


def test_every_session_is_learned_from(start):
    training = start()
    send(training, [1, 2], session='s')
    send(training, [1, 2], session='t')
    training.until(lambda progress: progress.updates == 4 * LENGTH)


@pytest.mark.parametrize(('settings', 'send_start'), [
    ({'start_from': 'sim_optimal'}, lambda trainer: trainer.receive_sim_optimal(sim_optimal())),
    ({'method': 'steer'}, lambda trainer: trainer.receive_demonstrator(DEMONSTRATOR))])
def test_the_policy_to_start_from_comes_before_every_episode(start, settings, send_start):
    found = []
    for late in (False, True):
        training = start(**settings)
        if not late:
            send_start(training.trainer)
        send(training, random.Random(0).sample(range(1, 5), 4), total=4)
        training.until(lambda progress: progress.episodes_received == 4)
        if late:
            assert training.learner.collected == 0
            send_start(training.trainer)
        training.until(lambda progress: progress.updates == 4 * LENGTH)
        found.append(training.learner.state.actor.value)
    assert found[0].equal(found[1])
