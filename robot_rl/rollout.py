"""One episode: a reading in, an action and a step record out, until it ends.

The policy server ticks it with live readings, tests and training tick it with a simulator's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.learning.policy import CannotAct, Policy
from robot_rl.observation import Reading
from robot_rl.safety.gate import Gate


@dataclass(frozen=True)
class Tick:
    """The outcome of one control tick."""

    step: Step
    ended: str          # why the episode ended with this step, '' while it runs


class Rollout:
    """Runs one policy for one episode."""

    def __init__(self, contract: Contract, policy: Policy, mode: Mode, episode: int,
                 seed: int):
        self.policy = policy
        self.episode = episode
        self.mode = mode
        self._contract = contract
        self._gate = Gate(contract)
        self._rng = None if mode.greedy else np.random.default_rng([seed, episode])
        self._index = 0
        self._stamp = 0
        self._observation: np.ndarray | None = None
        self._executed = np.zeros(len(contract.action.layout))

    @property
    def steps(self) -> int:
        """Actions executed so far."""
        return self._index

    def tick(self, reading: Reading, stop: str = '', label: str = '') -> Tick:
        """Act on a reading, or end the episode.

        `stop` is the reason of a stop from outside; `label` is a person's success or failure.
        """
        if self._observation is None:
            self._start_from(reading)
        status, ended, success = Status.RUNNING, '', False
        if not stop and not reading.stale:
            try:
                status, ended, success = self._judge(reading, label)
            except Exception as error:  # noqa: B902, the user's code may raise: stop the robot
                stop = f'task_failed: {type(error).__name__}: {error}'
        requested = self._executed
        if status is Status.RUNNING and not stop and not reading.stale:
            try:
                requested = self.policy.act(reading.values, self._rng)
            except CannotAct as error:
                stop = str(error)
        decision = self._gate.decide(requested, self._executed, stop or ended, reading.stale)
        if decision.stopped and not ended:
            # Between ticks there may be no newer observation: then no transition leads to it.
            fresh = reading.stamp > self._stamp and not reading.stale
            status, ended = Status.ABORTED if fresh else Status.BROKEN, decision.stopped
        executed = decision.executed
        source = Source.SAFETY
        if status is Status.RUNNING:
            source = getattr(self.policy, 'source', Source.POLICY)
        observation = np.nan_to_num(reading.values)
        step = Step(reading.stamp, self.episode, self._index, status, source, self.mode,
                    self.policy.version, success, observation, requested, executed)
        self._observation, self._executed, self._stamp = observation, executed, reading.stamp
        self._index += status is Status.RUNNING
        return Tick(step, ended)

    def _start_from(self, reading: Reading) -> None:
        """Limit the first action's rate from what is measured, where the contract says what."""
        names, slots = self._contract.action.measured, self._contract.layout.slots
        if names:
            self._executed = np.nan_to_num(reading.values[[slots[name] for name in names]])

    def _judge(self, reading: Reading, label: str) -> tuple[Status, str, bool]:
        """Return (status, why the episode ends or '', success)."""
        success = bool(self._contract.is_success(reading.values))
        if label:
            return Status.TERMINATED, label, label == 'success'
        if self._observation is None:
            return Status.RUNNING, '', success
        _, terminated = self._contract.judge(self._observation, self._executed, reading.values)
        if success:
            return Status.TERMINATED, 'success', True
        if terminated:
            return Status.TERMINATED, 'failure', False
        if self._index >= self._contract.episode.horizon:
            return Status.TRUNCATED, 'horizon', False
        return Status.RUNNING, '', False
