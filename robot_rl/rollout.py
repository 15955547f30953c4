"""One episode: a reading in, an action and a step record out, until it ends.

The policy server ticks it with live readings, tests and training tick it with a simulator's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.learning.policy import GaussianPolicy, RandomPolicy
from robot_rl.observation import Reading
from robot_rl.safety.gate import Gate


@dataclass(frozen=True)
class Tick:
    """The outcome of one control tick."""

    step: Step
    ended: str          # why the episode ended with this step, '' while it runs


class Rollout:
    """Runs one policy for one episode."""

    def __init__(self, contract: Contract, policy: GaussianPolicy | RandomPolicy, mode: Mode,
                 episode: int, seed: int):
        self.policy = policy
        self.episode = episode
        self.mode = mode
        self._contract = contract
        self._gate = Gate(contract)
        self._source = Source.RANDOM if isinstance(policy, RandomPolicy) else Source.POLICY
        self._rng = None if mode is Mode.EVALUATE else np.random.default_rng([seed, episode])
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
        try:
            status, ended = self._judge(reading, stop, label)
            success = label == 'success' or (not label and not reading.stale and bool(
                self._contract.is_success(reading.values)))
        except Exception as error:  # noqa: B902, the user's code may raise, the robot must stop
            status, success = Status.ABORTED, False
            ended = stop or f'task_failed: {type(error).__name__}: {error}'
        requested = np.zeros_like(self._executed)
        decision = None
        if status is Status.RUNNING:
            requested = self.policy.act(reading.values, self._rng)
            decision = self._gate.decide(requested, self._executed)
            if decision.stopped:
                status, ended = Status.ABORTED, decision.stopped
        executed = decision.executed if decision else self._gate.stop_action(self._executed)
        source = self._source if status is Status.RUNNING else Source.SAFETY
        observation = np.nan_to_num(reading.values)
        step = Step(reading.stamp, self.episode, self._index, status, source, self.mode,
                    self.policy.version, success, observation, requested, executed)
        self._observation, self._executed, self._stamp = observation, executed, reading.stamp
        self._index += status is Status.RUNNING
        return Tick(step, ended)

    def _judge(self, reading: Reading, stop: str, label: str) -> tuple[Status, str]:
        if stop:    # between ticks there may be no newer observation: then nothing leads to it
            fresh = reading.stamp > self._stamp and not reading.stale
            return Status.ABORTED if fresh else Status.BROKEN, stop
        if reading.stale:
            return Status.BROKEN, f'observation_stale: {reading.stale}'
        if label:
            return Status.TERMINATED, label
        if self._observation is None:
            return Status.RUNNING, ''
        _, terminated = self._contract.judge(self._observation, self._executed, reading.values)
        if self._contract.is_success(reading.values):
            return Status.TERMINATED, 'success'
        if terminated:
            return Status.TERMINATED, 'failure'
        if self._index >= self._contract.episode.horizon:
            return Status.TRUNCATED, 'horizon'
        return Status.RUNNING, ''
