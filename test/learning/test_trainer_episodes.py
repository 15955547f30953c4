"""What a trainer receives: episodes of any mode, twice, missing, or garbage; explorers."""

from __future__ import annotations

from made_policies import explorers
import numpy as np
from robot_rl.contract import load_contract
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.transitions import Transitions
from robot_rl.learning.policy import decode_explorers
from robot_rl.learning.seen import Seen
from trainer_probe import episode, LENGTH, REACH

EXPLORERS = explorers(REACH, (0.5, -0.5))
CERTIFICATE = decode_explorers(EXPLORERS, REACH, 'made')[1]


def test_episodes_of_policies_under_test_are_received_but_held_out(start):
    training = start()
    for number, mode in enumerate(('learn', 'evaluate', 'learn', 'transfer'), start=1):
        training.trainer.receive(episode(number, mode=mode))
    progress = training.until(lambda progress: progress.updates == 2 * LENGTH
                              and progress.episodes_received == 4)
    assert progress.transitions_received == 4 * LENGTH
    assert progress.transitions_trained_on == 2 * LENGTH and not progress.missing
    assert training.learner.newest_stamp == 3000


def test_the_robots_episodes_are_learned_from_alike_and_counted_by_who_acted(start):
    training = start(train=False)
    for number, mode in enumerate(('random', 'explore', 'learn', 'explore', 'explore'), start=1):
        training.trainer.receive(episode(number, mode=mode))
    progress = training.until(lambda progress: progress.episodes_received == 5)
    assert {name: len(source) for name, source in training.learner.replays.items()} == {
        'robot': 5 * LENGTH, 'demos': 0}
    assert training.learner.counts == {
        'online': 2 * LENGTH, 'explorers': 3 * LENGTH, 'demos': 0}
    assert (progress.transitions_trained_on, progress.transitions_explorers) == (
        5 * LENGTH, 3 * LENGTH)
    assert progress.owed == 5 * LENGTH


def test_a_learner_started_again_finds_the_same_replays_in_what_is_sent_again(start):
    sent = [episode(number, mode=mode) for number, mode in enumerate(
        ('random', 'explore', 'evaluate', 'learn'), start=1)]
    rows = []
    for _ in range(2):
        training = start(train=False)
        for data in sent:
            training.trainer.receive(data)
        training.until(lambda progress: progress.episodes_received == 4)
        rows.append({name: source.rows for name, source in training.learner.replays.items()})
    assert all(rows[0][name].equal(rows[1][name]) for name in rows[0])


def test_the_robots_coverage_is_counted_on_the_simulators_grid_whenever_that_comes(start):
    figures = []
    for late in (False, True):
        training = start(train=False)
        if not late:
            training.trainer.receive_explorers(EXPLORERS)
        for number, mode in enumerate(('explore', 'evaluate', 'explore', 'explore'), start=1):
            training.trainer.receive(episode(number, mode=mode))
            training.trainer.receive(episode(number, mode=mode))        # sent again
        if late:
            training.until(lambda progress: progress.episodes_received == 4)
            assert training.trainer.progress.coverage == ()
            training.trainer.receive_explorers(EXPLORERS)
        progress = training.until(lambda progress: dict(progress.coverage).get(
            'coverage_robot_observations') == 4 * LENGTH)
        figures.append(dict(progress.coverage))
    assert figures[0] == figures[1]
    assert figures[0]['coverage_explorers_observations'] == 3 * LENGTH
    assert figures[0]['coverage_simulator_cells'] == len(CERTIFICATE.cells)


def standing(number: int) -> bytes:
    """Return an episode of an explorer in which nothing moves."""
    n, m = len(REACH.layout), len(REACH.action.layout)
    columns = (np.zeros((LENGTH, n)), np.zeros((LENGTH, m)), np.zeros(LENGTH),
               np.zeros((LENGTH, n)), np.zeros(LENGTH), np.zeros(LENGTH))
    return encode_episode(EpisodeRecord(
        f'episode_{number}', number, number, Transitions(*(
            column.astype(np.float32) for column in columns)), 'truncated', '', 's', number,
        'explore', 0), REACH)


def test_a_robot_that_covers_far_less_than_the_simulator_is_warned_of(start):
    training = start(train=False)
    training.trainer.receive_explorers(EXPLORERS)
    for number in range(1, 10):
        training.trainer.receive(standing(number))
    progress = training.until(lambda progress: progress.episodes_received == 9)
    assert progress.warning == ''
    training.trainer.receive(standing(10))
    progress = training.until(lambda progress: progress.episodes_received == 10)
    assert progress.warning.startswith('explorers cover far less on the robot')
    assert training.notes.count(progress.warning) == 1


def test_explorers_of_another_contract_are_refused_until_good_ones_come(start):
    training = start(train=False)
    training.trainer.receive_explorers(
        explorers(load_contract('puck_push'), (0.5, 0.5, 0.5)))
    progress = training.until(lambda progress: progress.warning)
    assert progress.warning.startswith('refused: topic explorers: made under another contract')
    training.trainer.receive_explorers(EXPLORERS)
    training.until(lambda progress: progress.coverage and not progress.warning)


def test_an_episode_that_comes_twice_counts_once(start):
    training = start()
    for number in (1, 2, 1, 2, 3):
        training.trainer.receive(episode(number))
    progress = training.until(lambda progress: progress.updates == 30 and not progress.owed)
    assert progress.transitions_received == progress.transitions_trained_on == 30


def test_missing_episodes_are_counted_until_they_come(start):
    training = start()
    training.trainer.receive(episode(1, total=5))
    assert training.until(lambda progress: progress.episodes_received).missing == 4
    for number in range(2, 6):
        training.trainer.receive(episode(number, total=5))
    training.until(lambda progress: progress.episodes_received == 5 and not progress.missing)


def test_a_new_session_of_the_recorder_misses_nothing_of_the_old(start):
    training = start()
    training.trainer.receive(episode(1, total=9))
    training.trainer.receive(episode(1, session='t'))
    progress = training.until(lambda progress: progress.episodes_received == 2)
    assert progress.missing == 0 and progress.transitions_trained_on == 2 * LENGTH


class NotLookedThrough(Seen):
    """What came: to look at it all whenever a robot takes its turn would be quadratic."""

    def __iter__(self):
        raise AssertionError('looked through')


def test_robots_that_take_turns_are_counted_without_a_look_through_all_that_came(start):
    training = start(train=False)
    training.trainer._received = NotLookedThrough()
    for number in (1, 2, 3):
        for session in 'ab':
            training.trainer.receive(episode(number, session=session))
    training.trainer.expect('a', 7)
    progress = training.until(lambda progress: progress.missing or progress.error)
    assert (progress.error, progress.episodes_received, progress.missing) == ('', 6, 4)
    training.trainer.expect('b', 5)
    training.until(lambda progress: progress.missing == 2)


def test_bytes_that_cannot_be_decoded_are_refused_and_training_lives_on(start):
    training = start()
    training.trainer.receive(b'garbage')
    training.trainer.receive(episode(1)[:-3])
    training.trainer.receive(episode(1, contract=load_contract('puck_push')))
    for number in (1, 2):
        training.trainer.receive(episode(number))
    progress = training.until(lambda progress: progress.updates == 20)
    assert progress.refused == 3 and not progress.error and training.trainer.alive
    assert len([note for note in training.notes if note.startswith('episode refused')]) == 3


def test_garbage_hides_no_missing_episode_and_an_episode_of_no_use_is_not_missing(start):
    training = start()
    training.trainer.receive(b'garbage')
    training.trainer.receive(episode(3, total=3))
    assert training.until(lambda progress: progress.episodes_received).missing == 2
    training.trainer.receive(episode(1, contract=load_contract('puck_push')))
    assert training.until(lambda progress: progress.refused == 2).missing == 1
