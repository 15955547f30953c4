"""The smallest problem that needs learning, for a learner of any kind: reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from robot_rl.contract import Contract, load_contract
from robot_rl.data.steps import Mode
from robot_rl.data.transitions import derive_transitions, Transitions
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_policy, RandomPolicy
from robot_rl.sim.episodes import run_episode
from robot_rl.sim.twin import Twin

REACH = load_contract('reach')


def transitions(count: int, seed: int = 0, pay: float = 1.0) -> Transitions:
    """Return an episode of random numbers, cut off at its end; rewards deviate by `pay`."""
    rng = np.random.default_rng(seed)
    ends = np.zeros((2, count))
    ends[1, -1:] = 1.0
    columns = (rng.normal(size=(count, 6)), rng.uniform(-2.5, 2.5, (count, 2)),
               pay * rng.normal(size=count), rng.normal(size=(count, 6)), *ends)
    return Transitions(*(np.asarray(column, np.float32) for column in columns))


def unrewarded() -> Contract:
    """Return the contract where nothing is paid."""
    def nothing(observation, action, next_observation):
        reward, terminated = REACH.reward(observation, action, next_observation)
        return 0.0 * reward, terminated
    return replace(REACH, reward=nothing)


def greedy_success(found: Learner, steps: int) -> float:
    """Learn online in a twin for so many steps; return the greedy success rate of 20 episodes."""
    contract, seed = found.contract, found.config.seed
    action = contract.action
    twin, policy, episode = Twin(contract, seed=seed), RandomPolicy(action.low, action.high), 0
    while len(found.replays['robot']) < steps:
        episode += 1
        records = run_episode(twin, policy, Mode.LEARN, episode, seed)
        found.add(str(episode), derive_transitions(records, contract), episode)
        if owed := found.owed:
            found.train(owed)
            policy = decode_policy(found.actor(), contract, 'test')
    fresh = Twin(contract, seed=1000 + seed)
    return sum(run_episode(fresh, policy, Mode.EVALUATE, number)[-1].success
               for number in range(20)) / 20
