"""One method on one "real" robot, which is a world with a gap: from nothing to a learned policy.

The loop of the graph in one process: policy_server's casting, its episodes, the transitions that
the recorder derives and the learner at its ratio of updates, without ROS and without waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from robot_rl.casting import Casting, Schedule
from robot_rl.contract import Contract
from robot_rl.data.episode import SOURCES
from robot_rl.data.steps import Mode, Source
from robot_rl.data.transitions import derive_transitions, Transitions
from robot_rl.errors import UserError
from robot_rl.learning.chunks import ChunkRunners
from robot_rl.learning.config import DEMONSTRATOR, LearnerConfig, SacConfig
from robot_rl.learning.diffusion_policy import DiffusionPolicy
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import HeldRandom, Policy
from robot_rl.policies import PolicyShelf
from robot_rl.sim.episodes import run_episode
from robot_rl.sim.explorer_run import Result, TRAINED
from robot_rl.sim.gap import Gap
from robot_rl.sim.twin import Twin
from robot_rl.sim.vector import VectorTwin
from robot_rl.sim.vector_episodes import VectorEpisodes

GOAL = 0.9                      # success to reach
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

    def learner(self, seed: int) -> LearnerConfig:
        """Return how the learner is configured."""
        return LearnerConfig(seed=seed, start_from=self.start_from)


@dataclass(frozen=True)
class FineTuning(Method):
    """A method that steers a demonstrator, or starts as it acts; `config` says which, and how."""

    config: LearnerConfig = LearnerConfig(method='steer')

    def learner(self, seed: int) -> LearnerConfig:
        """Return how the learner is configured."""
        return replace(self.config, seed=seed)


@dataclass(frozen=True)
class Budget:
    """How much of the robot's time a trial takes, and how it is measured."""

    episodes: int = 300         # of the robot that are learned from
    period: int = 25            # of them between measurements of the greedy policy
    measured: int = 50          # episodes of a measurement; not counted: a robot has evaluate mode
    final: int = 100            # of the last one
    enough: float = 0.95        # success that ends it, where two measurements in a row show it


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


class Greedy:
    """The mode of a policy in many worlds that began together; one object per measurement."""

    def __init__(self, policy: Policy | DiffusionPolicy):
        self._policy, self._tick, self._plans = policy, 0, None

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Return the actions (N, m) for observations (N, n)."""
        policy = self._policy
        if not isinstance(policy, DiffusionPolicy):
            return np.array([policy.act(row, None) for row in observation])
        passed = self._tick % policy.replan
        if not passed:
            self._plans = policy.plans(observation, None)       # (N, k, m)
        self._tick += 1
        return self._plans[:, passed]


def measure(contract: Contract, policy: Policy | DiffusionPolicy, gap: Gap, episodes: int,
            seed: int) -> int:
    """Return how many of so many greedy episodes, one in each of as many worlds, succeed."""
    worlds = VectorEpisodes(VectorTwin(contract, episodes, [gap], seed + OTHER_STARTS))
    succeeded, over = np.zeros((2, episodes), bool)
    act = Greedy(policy)
    for _ in range(contract.episode.horizon):
        result = worlds.step(act(worlds.observation))
        succeeded |= ~over & result.success
        over |= result.done
        if over.all():
            break
    return int(succeeded.sum())


def run_trial(contract: Contract, gap: Gap, method: Method, simulated: Result | None,
              budget: Budget, seed: int, sac: SacConfig = SacConfig(width=128),
              demonstrator: bytes = b'', demonstrations: Sequence[Transitions] = ()) -> Trial:
    """Let a method learn in a world; deterministic in its arguments.

    `simulated` is what the simulator trained, None for methods that use none of it;
    `demonstrator` is what was fitted to demonstrations, which are learned from as well. It ends
    early once two measurements in a row come to `enough`. Raises UserError for artifacts that are
    missing or do not fit, Diverged where the physics does not survive.
    """
    return _Session(contract, gap, method, simulated, budget, seed, sac, demonstrator,
                    demonstrations).run()


class _Session:
    """One robot, its policies and its learner."""

    def __init__(self, contract, gap, method, simulated, budget, seed, sac, demonstrator,
                 demonstrations):
        self.contract, self.gap, self.method = contract, gap, method
        self.budget, self.seed = budget, seed
        self.casting = Casting(contract, PolicyShelf(contract))
        self.runner = ChunkRunners(contract)
        given = {DEMONSTRATOR: demonstrator}
        if simulated:
            given |= {topic: getattr(simulated, topic) for topic in TRAINED}
        for topic, data in given.items():
            if data:
                self.casting.shelf.offer(data, topic)
        self.twin, self.steps = Twin(contract, gap, seed), 0
        self.explored: list[bool] = []
        self.learner = None
        if method.mode != 'transfer':
            self.learner = Learner(contract, method.learner(seed),
                                   replace(sac, actor_period=method.actor_period))
            for transitions in demonstrations:
                self.learner.add_demos(transitions)
            self._start(given)
        missing = self.casting.missing(method.mode)
        if missing:
            raise UserError(missing)

    def _start(self, given: dict[str, bytes]) -> None:
        """Let the learner start from what it asks for."""
        topic = self.learner.config.start_topic
        if not topic:
            return
        if not given.get(topic):
            raise UserError(f'{topic}: expected a policy to start from, found none')
        self.learner.start_from(given[topic], topic)
        if self.learner.waiting:
            raise UserError(f'{topic}: expected demonstrations to imitate it in, found none')
        self.casting.shelf.offer(self.learner.actor(), 'actor')

    def run(self) -> Trial:
        curve, budget = [self.point(0)], self.budget
        for episode in range(1, budget.episodes + 1 if self.learner else 1):
            self.episode(episode)
            if episode % budget.period == 0:
                curve.append(self.point(episode))
                if min(point.success for point in curve[-2:]) >= budget.enough:
                    break
        reached = next((point for point in curve if point.success >= GOAL), None)
        final = self.point(curve[-1].episodes, budget.final, budget.episodes + 1)
        return Trial(tuple(curve), final, reached, len(self.explored), sum(self.explored))

    def episode(self, number: int) -> None:
        """Run an episode of the robot, and learn what it owes."""
        method, action = self.method, self.contract.action
        mode, policy = self.casting.cast(method.mode, method.schedule, method.tail, self.seed,
                                         number)
        policy = self.runner(policy)
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
