"""What policies cover in a simulated world: the certificate of a set, and its comparison.

The policies act one observation at a time, with the code that runs on the robot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from robot_rl.contract import Contract
from robot_rl.learning.coverage import Coverage, FeatureMap
from robot_rl.learning.policy import (GaussianPolicy, HeldRandom, RandomPolicy, RandomTail,
                                      RENEWAL)
from robot_rl.sim.gap import Gap
from robot_rl.sim.vector import VectorTwin
from robot_rl.sim.vector_episodes import VectorEpisodes

WORLDS = 15
ZETAS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)

# An episode's policy: (number of the episode, random numbers) -> what acts in it.
Casting = Callable[[int, np.random.Generator], GaussianPolicy | RandomPolicy | RandomTail]


@dataclass(frozen=True)
class Outcome:
    """What some episodes did."""

    coverage: Coverage
    steps: int
    episodes: int               # that ended
    successes: int
    mean_return: float          # of episodes that ended; NaN where none did

    @property
    def success(self) -> float:
        """Share of episodes that succeeded."""
        return self.successes / max(self.episodes, 1)


class ZetaGreedy:
    """A policy's mode, and with chance zeta a uniform action: exploration without a method."""

    def __init__(self, policy: GaussianPolicy, random: RandomPolicy, zeta: float):
        self.policy, self.random, self.zeta = policy, random, zeta
        self.version = policy.version

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return the action (m,) for an observation (n,)."""
        if rng is not None and rng.random() < self.zeta:
            return self.random.act(observation, rng)
        return self.policy.act(observation, None)


def explorers(policies: tuple[GaussianPolicy, ...], contract: Contract, tail: bool = True,
              renewal: float = RENEWAL) -> Casting:
    """Cast the explorers in turn, each with a random tail; renewal 1 gives that of the theory."""
    def cast(episode: int, rng: np.random.Generator):
        policy = policies[episode % len(policies)]
        random = HeldRandom(contract.action.low, contract.action.high, renewal)
        return RandomTail(policy, random, contract.episode.horizon, rng) if tail else policy

    return cast


def zeta_greedy(policy: GaussianPolicy, contract: Contract, zeta: float) -> Casting:
    """Cast one policy with zeta-greedy noise."""
    random = RandomPolicy(contract.action.low, contract.action.high)
    return lambda episode, rng: ZetaGreedy(policy, random, zeta)


def compare(contract: Contract, policies: tuple[GaussianPolicy, ...], task: GaussianPolicy,
            features: FeatureMap, steps: int, gap: Gap, zetas: tuple[float, ...] = ZETAS,
            seed: int = 0) -> dict[str, Outcome]:
    """Return what the explorers, and the sim-optimal policy with zeta-greedy noise, do in a gap.

    Equal steps and the same cells for all. `held random` has no simulator at all.
    """
    limits = contract.action
    casts = {'explorers': explorers(policies, contract),
             'explorers, uniform tail': explorers(policies, contract, renewal=1.0),
             'explorers, no tail': explorers(policies, contract, tail=False),
             'held random': lambda *_: HeldRandom(limits.low, limits.high)}
    casts |= {f'zeta-greedy {zeta:g}': zeta_greedy(task, contract, zeta) for zeta in zetas}
    return {name: explore(contract, cast, features, steps, gap, seed)
            for name, cast in casts.items()}


def explore(contract: Contract, cast: Casting, features: FeatureMap, steps: int,
            gap: Gap = Gap(), seed: int = 0, threads: int = 1, sampled: bool = True) -> Outcome:
    """Run episodes in a world for about so many control steps and return what they covered.

    With `sampled` false the policies act by their mode. Deterministic in its arguments.
    """
    worlds = min(WORLDS, max(1, steps // contract.episode.horizon))
    episodes = VectorEpisodes(VectorTwin(contract, worlds, [gap], seed, threads))
    rngs = [np.random.default_rng([seed, world]) for world in range(worlds)]
    acting = [cast(world, rng) for world, rng in enumerate(rngs)]
    started, successes, total, returns = worlds, 0, np.zeros(worlds), []
    coverage = Coverage.empty(features)
    for _ in range(max(1, steps // worlds)):
        result = episodes.step(np.array([
            policy.act(observation, rng if sampled else None)
            for policy, observation, rng in zip(acting, episodes.observation, rngs)]))
        coverage = coverage.add(result.next_observation[result.valid])
        successes += int(result.success.sum())
        total += np.where(result.valid, result.reward, 0.0)
        for world in np.flatnonzero(result.done):
            returns.append(total[world])
            acting[world], total[world] = cast(started, rngs[world]), 0.0
            started += 1
    mean = float(np.mean(returns)) if returns else float('nan')
    return Outcome(coverage, coverage.count, len(returns), successes, mean)
