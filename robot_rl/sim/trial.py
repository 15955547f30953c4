"""One method on one "real" robot, which is a world with a gap: from nothing to a learned policy.

The loop of the graph in one process: policy_server's casting, its episodes, the transitions that
the recorder derives and the learner at its ratio of updates, without ROS and without waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from robot_rl.casting import Casting, Schedule
from robot_rl.contract import Contract
from robot_rl.data.episode import SOURCES
from robot_rl.data.steps import Mode, Source
from robot_rl.data.transitions import derive_transitions
from robot_rl.errors import UserError
from robot_rl.learning.learner import Learner, LearnerConfig
from robot_rl.learning.policy import HeldRandom, Policy
from robot_rl.learning.sac import SacConfig
from robot_rl.policies import PolicyShelf
from robot_rl.sim.episodes import run_episode
from robot_rl.sim.gap import Gap
from robot_rl.sim.training_run import Result
from robot_rl.sim.twin import Twin
from robot_rl.sim.vector import VectorTwin
from robot_rl.sim.vector_episodes import VectorEpisodes

GOAL, ENOUGH = 0.9, 0.95        # success to reach; to end at, twice in a row
OTHER_STARTS = 1 << 20          # on the seed of measured worlds: none starts as one learned from


@dataclass(frozen=True)
class Method:
    """Who acts on the robot, and what learning starts from."""

    mode: str                   # of policy_server: mixed, learn, or transfer, which learns nothing
    start_from: str = ''        # sim_optimal: the learner's actor starts as that policy
    actor_period: int = 2       # critic updates per actor update
    zeta: float = 0.0           # chance per step of a random action, held for some steps
    tail: bool = True           # explorers act up to a random step, then chance does
    schedule: Schedule = Schedule(1.0, 0.2, 150)


@dataclass(frozen=True)
class Budget:
    """How much of the robot's time a trial takes, and how it is measured."""

    episodes: int = 300         # of the robot that are learned from
    period: int = 25            # of them between measurements of the greedy policy
    measured: int = 50          # episodes of a measurement; not counted: a robot has evaluate mode
    final: int = 100            # of the last one


@dataclass(frozen=True)
class Point:
    """A measurement of the greedy policy."""

    episodes: int               # of the robot, learned from so far
    minutes: float              # of the robot's time, without resets
    successes: int
    measured: int

    @property
    def success(self) -> float:
        """Share of the measured episodes."""
        return self.successes / self.measured


@dataclass(frozen=True)
class Trial:
    """What became of it."""

    curve: tuple[Point, ...]
    final: Point                # the policy at the end, in other episodes
    reached: Point | None       # the first of the curve with GOAL
    explored: int               # episodes of explorers
    explorer_successes: int


class Zeta:
    """A sampled policy, and with chance zeta an action of HeldRandom; one object per episode."""

    def __init__(self, policy: Policy, random: HeldRandom, zeta: float):
        self._policy, self._random, self._zeta = policy, random, zeta
        self.version, self.source = policy.version, policy.source

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return the action (m,) for an observation (n,); the policy's mode where rng is None."""
        if rng is None or rng.random() >= self._zeta:
            self.source = self._policy.source
            return self._policy.act(observation, rng)
        self.source = Source.RANDOM
        return self._random.act(observation, rng)


def measure(contract: Contract, policy: Policy, gap: Gap, episodes: int, seed: int) -> int:
    """Return how many of so many greedy episodes, one in each of as many worlds, succeed."""
    worlds = VectorEpisodes(VectorTwin(contract, episodes, [gap], seed + OTHER_STARTS))
    succeeded, over = np.zeros((2, episodes), bool)
    for _ in range(contract.episode.horizon):
        result = worlds.step(np.array([policy.act(row, None) for row in worlds.observation]))
        succeeded |= ~over & result.success
        over |= result.done
        if over.all():
            break
    return int(succeeded.sum())


def run_trial(contract: Contract, gap: Gap, method: Method, simulated: Result | None,
              budget: Budget, seed: int, sac: SacConfig = SacConfig(width=128)) -> Trial:
    """Let a method learn in a world; deterministic in its arguments.

    `simulated` is what the simulator trained, None for methods that use none of it. It ends early
    once two measurements in a row come to ENOUGH. Raises UserError for artifacts that are missing
    or do not fit, Diverged where the physics does not survive.
    """
    return _Session(contract, gap, method, simulated, budget, seed, sac).run()


class _Session:
    """One robot, its policies and its learner."""

    def __init__(self, contract, gap, method, simulated, budget, seed, sac):
        self.contract, self.gap, self.method = contract, gap, method
        self.budget, self.seed = budget, seed
        self.casting = Casting(contract, PolicyShelf(contract))
        if simulated:
            for topic in ('explorers', 'sim_optimal'):
                self.casting.shelf.offer(getattr(simulated, topic), topic)
        self.twin, self.steps = Twin(contract, gap, seed), 0
        self.explored: list[bool] = []
        self.learner = None
        if method.mode != 'transfer':
            self.learner = Learner(
                contract, LearnerConfig(seed=seed, start_from=method.start_from),
                SacConfig(**{**vars(sac), 'actor_period': method.actor_period}))
        if method.start_from:
            if not simulated:
                raise UserError(f'{method.start_from}: expected a policy to start from, found '
                                'none')
            self.learner.start_from(simulated.sim_optimal, method.start_from)
            self.casting.shelf.offer(self.learner.actor(), 'actor')
        missing = self.casting.missing(method.mode)
        if missing:
            raise UserError(missing)

    def run(self) -> Trial:
        curve, budget = [self.point(0)], self.budget
        for episode in range(1, budget.episodes + 1 if self.learner else 1):
            self.episode(episode)
            if episode % budget.period == 0:
                curve.append(self.point(episode))
                if min(point.success for point in curve[-2:]) >= ENOUGH:
                    break
        reached = next((point for point in curve if point.success >= GOAL), None)
        final = self.point(curve[-1].episodes, budget.final, budget.episodes + 1)
        return Trial(tuple(curve), final, reached, len(self.explored), sum(self.explored))

    def episode(self, number: int) -> None:
        """Run an episode of the robot, and learn what it owes."""
        method, action = self.method, self.contract.action
        mode, policy = self.casting.cast(method.mode, method.schedule, method.tail, self.seed,
                                         number)
        if method.zeta:
            policy = Zeta(policy, HeldRandom(action.low, action.high), method.zeta)
        steps = run_episode(self.twin, policy, mode, number, self.seed)
        self.casting.ended(steps[-1])
        self.steps += len(steps) - 1
        if mode is Mode.EXPLORE:
            self.explored.append(steps[-1].success)
        learner = self.learner
        learner.add(str(number), derive_transitions(steps, self.contract), steps[-1].stamp,
                    SOURCES[mode.name.lower()])
        if learner.owed:
            learner.train(learner.owed)
            self.casting.shelf.offer(learner.actor(), 'actor')

    def point(self, episodes: int, measured: int = 0, number: int | None = None) -> Point:
        """Measure the policy that would be used; none is a policy that never succeeds."""
        shelf, measured = self.casting.shelf, measured or self.budget.measured
        chosen = shelf.actor if self.learner else shelf.sim_optimal
        number = episodes if number is None else number
        successes = 0
        if chosen and chosen.policy.informed:
            successes = measure(self.contract, chosen.policy, self.gap, measured,
                                (self.seed << 12) + number)
        minutes = self.steps * self.twin.period_ns * 1e-9 / 60.0
        return Point(episodes, minutes, successes, measured)
