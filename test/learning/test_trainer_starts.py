"""The policy to start from, or to steer, and the success of that base."""

from __future__ import annotations

from made_policies import demonstrator
import numpy as np
from robot_rl.intervals import wilson
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.diffusion_policy import decode_actor
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_policy
from trainer_probe import DEMONSTRATOR, episode, LENGTH, REACH, sim_optimal


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
