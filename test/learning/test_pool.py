from __future__ import annotations

import numpy as np
from robot_rl.contract import load_contract
from robot_rl.learning.coverage import FeatureMap
from robot_rl.learning.pool import choose, pool, Round

REACH = load_contract('reach')
STEPS = 4       # of an episode


def a_round(returns: list[float], successes: list[float], where=None) -> Round:
    """Return a round in which latent i runs one episode, near where[i]."""
    count = len(returns)
    latent = np.repeat(np.arange(count), STEPS).astype(np.float32)
    k = len(latent)
    reached = np.random.default_rng(0).normal(size=(k, 6)).astype(np.float32)
    if where is not None:
        reached *= np.repeat(np.asarray(where, np.float32), STEPS, axis=0)
    return Round(np.zeros((k, 6)), np.zeros((k, 2)), np.zeros(k), reached, np.zeros(k), latent,
                 latent, np.repeat(returns, STEPS), np.repeat(successes, STEPS), np.zeros((1, 3)))


def test_the_pool_is_every_policy_that_succeeded_once():
    rounds = [a_round([0, 0], [1, 1]), a_round([5, 1], [0, 1]), a_round([-9, 9], [1, 0])]
    assert pool(rounds, 2, random_return=0.0) == [(1, 1), (2, 0)]


def test_where_none_ever_succeeded_it_is_those_that_earned_more_than_random_actions():
    rounds = [a_round([7, 7], [1, 1]), a_round([5, 1], [0, 0]), a_round([3, 2], [0, 0])]
    assert pool(rounds, 2, random_return=2.0) == [(1, 0), (2, 0)]
    assert pool(rounds, 2, random_return=5.0) == []


def test_an_episode_that_was_cut_short_says_nothing():
    rounds = [a_round([0], [0]), a_round([-np.inf], [0])]
    assert pool(rounds, 1, random_return=-1e9) == []
    assert rounds[1].mean_return(0) == -np.inf and not len(rounds[1].returns(0))


def test_those_are_chosen_that_cover_what_the_others_do_not():
    tip_x, tip_y = [0.1] * 4 + [3, 0.1], [0.1] * 4 + [0.1, 2]
    where = [tip_x, tip_x, tip_y, [0.1] * 6]
    rounds = [a_round([0] * 4, [0] * 4), a_round([1] * 4, [1] * 4, where)]
    features = FeatureMap.fit(REACH, np.random.default_rng(1).normal(size=(500, 6)))
    members = pool(rounds, 4, 0.0)
    assert set(choose(rounds, members, 2, features)) in ({(1, 0), (1, 2)}, {(1, 1), (1, 2)})
    assert len(choose(rounds, members, 9, features)) == 4
    assert choose(rounds, [], 2, features) == []
