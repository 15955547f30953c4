from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.learning.coverage import FeatureMap
from robot_rl.learning.policy import HeldRandom, RandomPolicy, RandomTail
from robot_rl.sim.explore import compare, explore, explorers, zeta_greedy, ZetaGreedy
from robot_rl.sim.gap import Gap

REACH = load_contract('reach')
LOW, HIGH = REACH.action.low, REACH.action.high
FEATURES = FeatureMap.fit(REACH, np.random.default_rng(0).normal(size=(500, 6)) * 0.3)


class Constant:
    """Always the same action."""

    def __init__(self, value: float, version: int = 0):
        self.value, self.version = value, version

    def act(self, observation, rng):
        return np.full(2, self.value)


def still(*_):
    return Constant(0.0)


def test_steps_and_episodes_are_counted():
    outcome = explore(REACH, still, FEATURES, 300)
    assert outcome.steps == outcome.coverage.count == 300
    assert outcome.episodes == 6 and outcome.successes == 0 and outcome.success == 0.0
    assert outcome.mean_return < 0


def test_the_same_arguments_give_the_same_outcome():
    def cast(episode, rng):
        return HeldRandom(LOW, HIGH)

    one, other = (explore(REACH, cast, FEATURES, 200, seed=3) for _ in range(2))
    assert one.coverage.numbers() == other.coverage.numbers()
    assert one.mean_return == other.mean_return
    elsewhere = explore(REACH, cast, FEATURES, 200, seed=4)
    assert elsewhere.coverage.numbers() != one.coverage.numbers()


def test_the_gap_is_the_world_in_which_it_happens():
    def right(*_):
        return Constant(2.5)

    nominal, weak = (explore(REACH, right, FEATURES, 100, gap)
                     for gap in (Gap(), Gap('weak', action_bound=0.2)))
    assert nominal.coverage.numbers() != weak.coverage.numbers()


def test_success_is_the_share_of_episodes_that_ended_so():
    everywhere = replace(REACH, success=lambda view: view['arm.velocity.elbow'] > -99.0)
    outcome = explore(everywhere, still, FEATURES, 50)
    assert outcome.success == 1.0 and outcome.episodes == 50


def test_explorers_act_in_turn_with_a_tail_each():
    cast = explorers((Constant(1.0, 4), Constant(2.0, 5)), REACH)
    rng = np.random.default_rng(0)
    acting = [cast(episode, rng) for episode in range(4)]
    assert all(isinstance(policy, RandomTail) for policy in acting)
    assert [policy.version for policy in acting] == [4, 5, 4, 5]
    assert len({policy.left for policy in acting}) > 1
    assert explorers((Constant(1.0),), REACH, tail=False)(0, rng).value == 1.0


@pytest.mark.parametrize(('zeta', 'share'), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_zeta_is_the_share_of_random_actions(zeta, share):
    policy = ZetaGreedy(Constant(9.0), RandomPolicy(LOW, HIGH), zeta)
    rng = np.random.default_rng(0)
    found = np.mean([policy.act(np.zeros(6), rng)[0] != 9.0 for _ in range(4000)])
    assert found == pytest.approx(share, abs=0.02)
    assert policy.act(np.zeros(6), None)[0] == 9.0


def test_noise_around_a_policy_that_stands_still_covers_less_than_held_random_actions():
    found = compare(REACH, (Constant(1.0),), Constant(0.0), FEATURES, 1000, Gap(), (0.0, 0.1))
    assert set(found) == {'explorers', 'explorers, uniform tail', 'explorers, no tail',
                          'held random', 'zeta-greedy 0', 'zeta-greedy 0.1'}
    assert all(990 <= outcome.steps <= 1000 for outcome in found.values())
    cells = {name: len(outcome.coverage.cells) for name, outcome in found.items()}
    assert cells['held random'] > cells['zeta-greedy 0.1']
    assert isinstance(zeta_greedy(Constant(0.0), REACH, 0.1)(0, None), ZetaGreedy)
