"""Chunks of actions on a robot that asks for one action per tick.

A plan made from the observation of tick t tells the actions of the ticks t to t + k - 1. Some of
them are executed, then the next plan takes over. With `ahead` the next plan is begun that many
ticks before, while the robot moves on: what it tells of ticks that have passed is dropped. When it
is late, the rest of the old plan goes on; when nothing is left of that, the episode ends.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from robot_rl.contract import Contract
from robot_rl.data.steps import Source
from robot_rl.learning.diffusion_policy import DiffusionPolicy
from robot_rl.learning.policy import CannotAct, Policy

Submit = Callable[..., Future]      # as Executor.submit


def at_once(function: Callable, *arguments) -> Future:
    """Compute in the caller's thread: deterministic, and the robot waits."""
    done = Future()
    done.set_result(function(*arguments))
    return done


@dataclass
class PlanCounts:
    """What came of the plans, over all episodes that share it."""

    plans: int = 0          # that took over
    late: int = 0           # that were not there at their tick
    dropped: int = 0        # actions whose tick had passed when their plan took over

    def values(self) -> dict[str, int]:
        """Return what a status shows."""
        return {'plans': self.plans, 'plans_late': self.late, 'actions_dropped': self.dropped}


@dataclass(frozen=True)
class Plan:
    """Actions (k, m) from some tick on, and what was seen then."""

    start: int
    observation: np.ndarray
    actions: np.ndarray

    @property
    def end(self) -> int:
        """The first tick of which it tells nothing."""
        return self.start + len(self.actions)


class ChunkRunner:
    """A policy of chunks as one that acts in each tick; one object per episode."""

    source = Source.POLICY

    def __init__(self, policy: DiffusionPolicy, contract: Contract, ahead: int = 0,
                 submit: Submit = at_once, counts: PlanCounts | None = None):
        self.policy, self.version = policy, policy.version
        self.counts = counts or PlanCounts()
        self.plan: Plan | None = None               # what is executed now
        self._horizon = contract.episode.horizon    # no tick comes after it
        self._ahead, self._submit = ahead, submit
        self._tick = 0                              # of the next action
        self._due = 0                               # tick at which the next plan takes over
        self._begun: tuple[int, np.ndarray, Future] | None = None
        self._late = False                          # the one that was begun

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return the action (m,) of this tick; raise CannotAct where no plan tells of it."""
        now = self._tick
        if self.plan is None:       # nothing moves yet: the first plan is waited for
            self._take(now, observation, self.policy.plan(observation, rng))
        elif not self._begun and self._due - self._ahead <= now and self._due < self._horizon:
            self._begun = now, observation, self._submit(self.policy.plan, observation, rng)
            self._late = False
        if self._begun and now >= self._due:
            self._take_over()
        if now >= self.plan.end:
            raise CannotAct('plan_late')
        self._tick += 1
        return self.plan.actions[now - self.plan.start]

    def _take_over(self) -> None:
        """Put the next plan in place of this one, if it is there."""
        start, observation, future = self._begun
        if future.done():
            self._begun = None
            self._take(start, observation, future.result())
        else:
            self.counts.late += not self._late
            self._late = True

    def _take(self, start: int, observation: np.ndarray, actions: np.ndarray) -> None:
        self.plan = Plan(start, observation, actions)
        self._due = min(self._tick + self.policy.replan, self.plan.end)
        self.counts.plans += 1
        self.counts.dropped += self._tick - start


class ChunkRunners:
    """Makes the runner of each episode, and counts over all of them."""

    def __init__(self, contract: Contract, ahead: int = 0, submit: Submit = at_once):
        self.counts = PlanCounts()
        self._contract, self._ahead, self._submit = contract, ahead, submit

    def __call__(self, policy: DiffusionPolicy | Policy) -> Policy:
        """Return what runs the chunks of a policy that plans them; any other policy as it is."""
        if not isinstance(policy, DiffusionPolicy):
            return policy
        return ChunkRunner(policy, self._contract, self._ahead, self._submit, self.counts)
