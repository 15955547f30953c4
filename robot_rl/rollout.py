"""One episode: a reading in, an action and a step record out, until it ends.

The gate decides what is sent in each tick, and who acts: the policy, or a person who took over.
The policy server ticks it with live readings, tests and training tick it with a simulator's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.learning.policy import CannotAct, Policy
from robot_rl.observation import Reading
from robot_rl.safety.gate import Gate, Inputs
from robot_rl.safety.signals import Signals


@dataclass(frozen=True)
class Tick:
    """The outcome of one control tick."""

    step: Step
    ended: str          # why the episode ended with this step, '' while it runs
    helped: bool = False    # a person took over in some tick of the episode


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
        self.intervening = False        # a person acted in the last tick
        self._since_change = inf        # s since person and policy last took turns
        self._helped = False

    @property
    def steps(self) -> int:
        """Actions executed so far."""
        return self._index

    def tick(self, reading: Reading, signals: Signals = Signals(), stop: str = '',
             label: str = '', late: int = 0) -> Tick:
        """Act on a reading, or end the episode.

        `stop` is the reason of a stop from outside; `label` is a person's success or failure;
        `late` counts control periods in a row that went by without a tick.
        """
        if self._observation is None:
            self._start_from(reading)
        status, ended, success = Status.RUNNING, '', False
        finite = bool(np.isfinite(reading.values).all())
        trusted = finite and not reading.stale and not reading.reward_stale
        if trusted and not stop:
            try:
                status, ended, success = self._judge(reading, label)
            except Exception as error:  # noqa: B902, the user's code may raise: stop the robot
                stop = f'task_failed: {type(error).__name__}: {error}'
        inputs = Inputs(reading.values, self._executed, self._executed, signals, stop or ended,
                        reading.stale, late, self.intervening, self._since_change,
                        reading.reward_stale)
        if not self._gate.reason(inputs):       # else what the policy asks for is of no use
            try:
                inputs = replace(inputs, requested=self.policy.act(reading.values, self._rng))
            except CannotAct as error:
                inputs = replace(inputs, stop=str(error))
        decision = self._gate.decide(inputs)
        if decision.reason and not ended:
            # Between ticks there may be no newer observation: then no transition leads to it.
            fresh = trusted and reading.stamp > self._stamp
            status, ended = Status.ABORTED if fresh else Status.BROKEN, decision.reason
        source = decision.source
        self._take_turns(source is Source.HUMAN)
        if source is Source.POLICY:
            source = getattr(self.policy, 'source', source)
        observation = reading.values.copy() if finite else np.nan_to_num(reading.values)
        step = Step(reading.stamp, self.episode, self._index, status, source, self.mode,
                    self.policy.version, success, observation, inputs.requested,
                    decision.executed, reading.reward)
        self._observation, self._executed, self._stamp = (observation, decision.executed,
                                                          reading.stamp)
        self._index += status is Status.RUNNING
        return Tick(step, ended, self._helped)

    def _take_turns(self, human: bool) -> None:
        """Note who acts, and since when."""
        self._since_change += 1.0 / self._contract.control_rate
        if human != self.intervening:
            self._since_change = 1.0 / self._contract.control_rate
        self.intervening = human
        self._helped = self._helped or human

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
        _, terminated = self._contract.judge(self._observation, self._executed, reading.values,
                                             reading.reward)
        if success:
            return Status.TERMINATED, 'success', True
        if terminated:
            return Status.TERMINATED, 'failure', False
        if self._index >= self._contract.episode.horizon:
            return Status.TRUNCATED, 'horizon', False
        return Status.RUNNING, '', False
