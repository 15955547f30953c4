from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.learning.config import ExplorerConfig, SacConfig
from robot_rl.learning.explorer_learner import ExplorerLearner
from robot_rl.learning.policy import decode_policy, encode_gaussian
from robot_rl.learning.pool import Round

REACH = load_contract('reach')
CONFIG = ExplorerConfig(latents=2, alpha=0.5, gate=0.25, shared=0.0)
STEPS = REACH.episode.horizon


def learner(config: ExplorerConfig = CONFIG, **changes) -> ExplorerLearner:
    options = {'batch': 64, 'seed': 0, 'capacity': 1000} | changes
    return ExplorerLearner(REACH, config, SacConfig(width=16), **options)


def episodes(*returns: float, seed: int = 0) -> Round:
    """Return a round in which latent i runs one episode of that return."""
    rng = np.random.default_rng(seed)
    latent = np.repeat(np.arange(len(returns)), STEPS).astype(np.float32)
    k = len(latent)
    columns = (rng.normal(2.0, 3.0, (k, 6)), rng.uniform(-2.5, 2.5, (k, 2)), rng.normal(size=k),
               rng.normal(2.0, 3.0, (k, 6)), np.zeros(k), latent, latent,
               np.repeat(returns, STEPS), np.zeros(k), np.zeros((1, 3)))
    return Round(*(np.asarray(column, np.float32) for column in columns))


def taught() -> ExplorerLearner:
    found = learner()
    found.add(episodes(-50, -50, -50))
    found.add(episodes(-10, -40, -18, seed=1))
    return found


def test_the_first_round_sets_the_scale_of_observations_and_of_returns():
    found = learner()
    found.add(episodes(-50, -40, -60))
    assert found.random_return == -50 and found.learned == 0
    assert np.allclose(found.normalizer.mean, 2.0, atol=1.0)
    assert np.allclose(found.normalizer.std, 3.0, atol=1.0)


def test_until_something_is_learned_there_is_no_bonus():
    found = learner()
    found.add(episodes(-50, -50, -50))
    assert not found._draw().weight.any()
    found.add(episodes(-70, -60, -80))
    assert found.learned == 0 and not found._draw().weight.any()


def test_the_gate_is_a_share_of_what_was_learned_below_the_best_latent():
    found = taught()
    assert found.learned == 40 and found.gate == -10 - 0.25 * 40


def test_the_bonus_is_for_latents_whose_episode_passed_the_gate_and_never_for_the_task():
    found = taught()
    given = found._draw()
    weights = {latent: set(given.weight[given.latent == latent].tolist()) for latent in range(3)}
    assert weights[0] == {0.0}                      # passed, but learns the task alone
    assert weights[1] == {0.0}                      # -40: the gate is closed
    assert sorted(weights[2]) == pytest.approx([0.0, 0.5 * 40 / STEPS])     # -50: shut, -18: open


def test_running_returns_follow_the_newest_rounds():
    found = taught()
    found.add(episodes(-20, -np.inf, -8, seed=2))
    assert found.running.tolist() == [-15, -40, -13]


def test_a_share_of_a_batch_goes_to_other_latents_and_is_marked():
    found = taught()
    assert found._draw().own.all()
    found.config = replace(CONFIG, shared=1.0)
    given = found._draw()
    assert 0 < given.own.mean() < 1 and set(given.latent.tolist()) == {0, 1, 2}


def test_more_experience_than_there_is_room_for_is_refused():
    with pytest.raises(UserError, match='at most 100 transitions'):
        learner(capacity=100).add(episodes(-1, -2, -3))


@pytest.mark.parametrize('latent', range(3))
def test_the_policy_that_is_exported_acts_as_the_learner_does(latent):
    found = taught()
    found.train(4)
    data = encode_gaussian(found.layers(found.actor, latent), found.normalizer, REACH, 1, {})
    policy = decode_policy(data, REACH, 'x')
    observation = np.random.default_rng(4).normal(size=(400, 6))
    acted = found.act(observation, np.full(400, latent))
    rng = np.random.default_rng(5)
    exported = np.array([policy.act(row, rng) for row in observation])
    assert np.allclose(acted.mean(axis=0), exported.mean(axis=0), atol=0.4)     # other noise
    assert np.allclose(acted.std(axis=0), exported.std(axis=0), atol=0.3)


def test_a_restored_learner_goes_on_to_the_same_bits():
    one = taught()
    one.train(5)
    arrays = {name: array.copy() for name, array in one.arrays().items()}
    other = taught()
    other.restore(arrays, 'x')
    observation = np.zeros((3, 6))
    for found in (one, other):
        found.train(5)
    assert np.array_equal(one.act(observation, np.arange(3)),
                          other.act(observation, np.arange(3)))
    assert all(np.array_equal(array, other.arrays()[name])
               for name, array in one.arrays().items())


def test_arrays_of_another_learner_are_refused():
    other = learner(replace(CONFIG, latents=3))
    with pytest.raises(UserError, match='^x: expected the arrays of these settings'):
        taught().restore(other.arrays(), 'x')
