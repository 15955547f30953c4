from __future__ import annotations

from collections.abc import Callable
import queue
import time

from made_policies import demonstrator, explorers
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.transitions import Transitions
from robot_rl.intervals import wilson
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.diffusion_policy import decode_actor
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_explorers, decode_policy
from robot_rl.learning.seen import Seen
from robot_rl.learning.trainer import Trainer, TrainerSettings

REACH = load_contract('reach')
LENGTH = 10     # transitions of an episode
EXPLORERS = explorers(REACH, (0.5, -0.5))
CERTIFICATE = decode_explorers(EXPLORERS, REACH, 'made')[1]


def episode(number: int, total: int = 0, session: str = 's', mode: str = 'learn',
            contract=REACH,
            outcome: str = 'truncated', version: int = 0) -> bytes:
    rng = np.random.default_rng(number)
    n, m = len(contract.layout), len(contract.action.layout)
    columns = (rng.normal(size=(LENGTH, n)), rng.uniform(-1, 1, (LENGTH, m)),
               rng.normal(size=LENGTH), rng.normal(size=(LENGTH, n)), np.zeros(LENGTH),
               np.zeros(LENGTH))
    transitions = Transitions(*(column.astype(np.float32) for column in columns))
    return encode_episode(EpisodeRecord(
        f'episode_{number}', number, total or number, transitions, outcome, '', session,
        1000 * number, mode, version), contract)


def sim_optimal(width: int = 8) -> bytes:
    return Learner(REACH, LearnerConfig(seed=5), SacConfig(width=width)).actor()


DEMONSTRATOR = demonstrator(REACH, [[0.5, -0.5]] * 3)


class Training:
    """A trainer under test: its actors are a queue to wait on, its notes a list."""

    def __init__(self, folder, start_from: str = '', method: str = 'full', **settings):
        self.folder = folder
        self.actors: queue.Queue = queue.Queue()
        self.notes: list[str] = []
        self.events: list[tuple[str, dict]] = []
        self.learner = Learner(REACH, LearnerConfig(
            start_transitions=20, batch=16, start_from=start_from, method=method,
            utd_ratio=1.0), SacConfig(width=8))
        self.trainer = Trainer(self.learner, TrainerSettings(folder, **settings),
                               self.actors.put, self.notes.append,
                               lambda kind, values: self.events.append((kind, values)))

    def until(self, condition: Callable[..., bool]):
        """Wait until the progress meets the condition; return it."""
        deadline = time.monotonic() + 20.0
        while not condition(progress := self.trainer.progress):
            assert time.monotonic() < deadline, progress
            time.sleep(0.002)
        return progress

    def actor(self):
        return decode_policy(self.actors.get(timeout=20.0), REACH, 'test')

    def last_actor(self, version: int):
        """Return the first actor of at least that version."""
        while (found := self.actor()).version < version:
            pass
        return found


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(train: bool = True, **settings) -> Training:
        training = Training(tmp_path / 'checkpoints', **settings)
        training.trainer.train(train)
        training.trainer.start()
        started.append(training)
        return training
    yield begin
    for training in started:
        if training.trainer.alive:
            training.trainer.close()


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


def test_episodes_of_policies_under_test_are_received_but_held_out(start):
    training = start()
    for number, mode in enumerate(('learn', 'evaluate', 'learn', 'transfer'), start=1):
        training.trainer.receive(episode(number, mode=mode))
    progress = training.until(lambda progress: progress.updates == 2 * LENGTH
                              and progress.episodes_received == 4)
    assert progress.transitions_received == 4 * LENGTH
    assert progress.transitions_trained_on == 2 * LENGTH and not progress.missing
    assert training.learner.newest_stamp == 3000


def test_an_episodes_mode_tells_its_source(start):
    training = start(train=False)
    for number, mode in enumerate(('random', 'explore', 'learn', 'explore', 'explore'), start=1):
        training.trainer.receive(episode(number, mode=mode))
    progress = training.until(lambda progress: progress.episodes_received == 5)
    assert {name: len(source) for name, source in training.learner.sources.items()} == {
        'online': 2 * LENGTH, 'explorers': 3 * LENGTH, 'demos': 0}
    assert (progress.transitions_trained_on, progress.transitions_explorers) == (
        5 * LENGTH, 3 * LENGTH)
    assert progress.owed == 5 * LENGTH


def test_a_learner_started_again_finds_the_same_sources_in_what_is_sent_again(start):
    sent = [episode(number, mode=mode) for number, mode in enumerate(
        ('random', 'explore', 'evaluate', 'learn'), start=1)]
    rows = []
    for _ in range(2):
        training = start(train=False)
        for data in sent:
            training.trainer.receive(data)
        training.until(lambda progress: progress.episodes_received == 4)
        rows.append({name: source.rows for name, source in training.learner.sources.items()})
    assert all(rows[0][name].equal(rows[1][name]) for name in rows[0])


def test_it_waits_for_the_policy_to_start_from_and_publishes_nothing_before(start):
    training = start(start_from='sim_optimal')
    for number in (1, 2):
        training.trainer.receive(episode(number))
    progress = training.until(lambda progress: progress.episodes_received == 2)
    assert (progress.text, progress.owed, progress.updates) == ('waiting for sim_optimal', 0, 0)
    assert training.actors.empty()
    training.trainer.receive_sim_optimal(sim_optimal())
    training.until(lambda progress: progress.updates == 2 * LENGTH)
    assert training.trainer.progress.started_from == 'sim_optimal'
    assert training.actor().manifest['provenance']['started_from'] == 'sim_optimal'


def test_the_actor_that_it_starts_from_is_published_before_it_learns(start):
    training = start(start_from='sim_optimal')
    training.trainer.receive_sim_optimal(sim_optimal())
    found, given = training.actor(), decode_policy(sim_optimal(), REACH, 'x')
    assert found.version == 0
    assert all(np.array_equal(*pair) for mine, its in zip(found.layers, given.layers)
               for pair in zip(mine, its))


def test_a_policy_of_other_sizes_is_told_until_a_fitting_one_comes(start):
    training = start(start_from='sim_optimal')
    training.trainer.receive_sim_optimal(sim_optimal(width=16))
    progress = training.until(lambda progress: progress.warning)
    assert progress.text == 'waiting for sim_optimal'
    assert progress.warning == (
        'refused: topic sim_optimal: expected width 8 and depth 2, found width 16 and depth 2; '
        'set width and depth to those of the policy')
    training.trainer.receive_sim_optimal(sim_optimal())
    training.until(lambda progress: progress.started_from and not progress.warning)


def test_it_starts_once_and_a_killed_learner_starts_from_the_same(start):
    training = start(start_from='sim_optimal')
    training.trainer.receive_sim_optimal(sim_optimal())
    started = training.actor().layers
    training.until(lambda _: (training.folder / 'checkpoint_000000000.safetensors').is_file())
    other = Learner(REACH, LearnerConfig(seed=6), SacConfig(width=8)).actor()
    training.trainer.receive_sim_optimal(other)
    training.trainer.receive(episode(1, mode='evaluate'))
    training.until(lambda progress: progress.episodes_received == 1)
    resumed = Learner(REACH, training.learner.config, training.learner.sac)
    resumed.resume(training.folder)
    for found in (training.learner, resumed):
        layers = decode_policy(found.actor(), REACH, 'x').layers
        assert np.array_equal(layers[0][0], started[0][0]) and not found.waiting


def test_a_policy_that_nobody_asked_for_changes_nothing(start):
    training = start(train=False)
    before = training.learner.actor()
    training.trainer.receive_sim_optimal(sim_optimal())
    training.trainer.receive(episode(1, mode='evaluate'))
    training.until(lambda progress: progress.episodes_received == 1)
    assert training.learner.actor() == before


def test_it_steers_the_demonstrator_that_it_waits_for(start):
    training = start(method='steer')
    for number in (1, 2):
        training.trainer.receive(episode(number))
    progress = training.until(lambda progress: progress.episodes_received == 2)
    assert (progress.text, progress.base) == ('waiting for demonstrator', ())
    training.trainer.receive_sim_optimal(sim_optimal())         # not what it waits for
    training.trainer.receive_demonstrator(DEMONSTRATOR)
    training.until(lambda progress: progress.updates == 2 * LENGTH)
    assert training.trainer.progress.started_from == 'demonstrator'
    policy = decode_actor(training.actors.get(timeout=20.0), REACH, 'test')
    assert policy.manifest['kind'] == 'steered'
    training.until(lambda _: any(training.folder.glob('checkpoint_*')))
    assert 'starting from the demonstrator policy' in training.notes


def test_nothing_is_saved_before_there_is_something_to_steer(start):
    training = start(method='steer')
    training.trainer.save()
    training.until(lambda _: training.notes)
    assert training.notes == ['nothing to save yet: waiting for the demonstrator']
    assert not training.trainer.progress.error


def test_the_success_of_the_base_is_that_of_version_0_in_judged_learn_episodes(start):
    training = start(method='steer', train=False)
    training.trainer.receive_demonstrator(DEMONSTRATOR)
    for number, (outcome, mode, version) in enumerate((
            ('success', 'learn', 0), ('failure', 'learn', 0), ('truncated', 'learn', 0),
            ('aborted', 'learn', 0), ('success', 'demonstrate', 0), ('success', 'learn', 5),
            ('success', 'evaluate', 0)), start=1):
        training.trainer.receive(episode(number, mode=mode, outcome=outcome, version=version))
    base = dict(training.until(lambda progress: progress.episodes_received == 7).base)
    assert (base['base_success'], base['base_episodes']) == (1 / 3, 3)
    assert (base['base_success_low'], base['base_success_high']) == wilson(1, 3)
    assert not training.trainer.progress.warning


def test_a_base_without_success_warns_once_it_is_measured(start):
    training = start(method='steer')
    training.trainer.receive_demonstrator(DEMONSTRATOR)
    training.trainer.receive(episode(1))
    assert not training.until(lambda progress: progress.base).warning
    training.trainer.receive(episode(2))
    warning = training.until(lambda progress: progress.warning).warning
    assert warning.startswith('the demonstrator succeeded in none of 2 episodes')


def test_another_demonstrator_is_told_and_the_first_is_steered_on(start):
    training = start(method='steer')
    training.trainer.receive_demonstrator(DEMONSTRATOR)
    training.trainer.receive_demonstrator(demonstrator(REACH, [[0.5, -0.5]] * 3, version=9))
    progress = training.until(lambda progress: progress.warning)
    assert 'another checkpoint_dir' in progress.warning
    training.trainer.receive_demonstrator(DEMONSTRATOR)
    training.until(lambda progress: not progress.warning)


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


def test_checkpoints_are_written_now_and_then(start):
    training = start(checkpoint_period=20, keep_checkpoints=10)
    for number in range(1, 7):
        training.trainer.receive(episode(number))
    training.until(lambda progress: progress.updates == 60)
    training.trainer.close()
    found = sorted(int(path.stem[-9:]) for path in training.folder.iterdir())
    assert found == [20, 40, 60]


def test_a_checkpoint_can_be_asked_for(start):
    training = start(train=False)
    training.trainer.save()
    training.until(lambda _: training.notes)
    assert training.notes == [f'saved {training.folder}/checkpoint_000000000.safetensors']


def test_closing_saves_what_was_learned(start):
    training = start()
    for number in (1, 2, 3):
        training.trainer.receive(episode(number))
    training.until(lambda progress: progress.updates == 30)
    training.trainer.close()
    assert not training.trainer.alive
    resumed = Learner(REACH, training.learner.config, training.learner.sac)
    resumed.resume(training.folder)
    assert resumed.updates == 30


def test_closing_without_having_learned_writes_nothing(start):
    training = start()
    training.trainer.close()
    assert not training.folder.exists()


def test_a_checkpoint_that_cannot_be_written_is_an_error_and_training_lives_on(start, tmp_path):
    (tmp_path / 'checkpoints').write_text('a file in the way')
    training = start()
    training.trainer.save()
    progress = training.until(lambda progress: progress.error)
    assert progress.error.startswith('checkpoint not saved') and progress.text == progress.error
    [(kind, values)] = training.events
    assert (kind, values['updates']) == ('checkpoint_failed', 0)
    assert 'File exists' in values['reason']
    training.trainer.receive(episode(1))
    training.until(lambda progress: progress.episodes_received == 1)
    assert training.trainer.alive


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
