"""The gate: one decision per control tick, from what the policy asks to what may be sent.

Nothing learned passes around it. The rules are a table; the first one that fires stops the robot
and is the reason. Where none fires a person acts who is at the controls, else the policy; what is
sent is limited in rate, more so after a change of hands, and in range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.steps import Source
from robot_rl.safety.signals import Signals


@dataclass(frozen=True)
class Inputs:
    """All that a decision depends on."""

    observation: np.ndarray         # (n,)
    requested: np.ndarray           # by the policy, (m,) where it is right
    last: np.ndarray                # (m,), executed in the last tick
    signals: Signals = Signals()    # of people
    stop: str = ''                  # reason of a stop from outside
    stale: str = ''                 # which observations are too old, and how old
    late: int = 0                   # control periods in a row that went by without a tick
    human_acted: bool = False       # a person acted in the last tick
    since_change: float = inf       # s since person and policy last took turns
    reward_stale: str = ''          # as `stale`, of the topic that gives the reward


@dataclass(frozen=True)
class Decision:
    """What is sent, who chose it, and why it is not what was asked for."""

    executed: np.ndarray    # (m,)
    source: Source          # POLICY, HUMAN, or SAFETY for a stop
    reason: str             # of the stop, '' while somebody acts
    limited: bool           # the request was outside the range or the rate


@dataclass(frozen=True)
class Rule:
    """A reason to stop, and what tells of it: details, '' without any, None where all is well."""

    name: str
    look: Callable[[Contract, Inputs], str | None]

    def reason(self, contract: Contract, inputs: Inputs) -> str:
        """Return why to stop, '' where all is well."""
        details = self.look(contract, inputs)
        return '' if details is None else ': '.join(filter(None, (self.name, details)))


def _silence(switch, silence: float) -> str | None:
    if switch is None or silence <= switch.timeout:
        return None
    heard = 'never heard' if silence == inf else f'silent for {silence:.2f} s'
    return f'{switch.topic} {heard}, timeout {switch.timeout:g} s'


def _not_finite(contract: Contract, inputs: Inputs) -> str | None:
    finite = np.isfinite(inputs.observation)
    return None if finite.all() else ', '.join(
        contract.layout.names[index] for index in np.flatnonzero(~finite))


def _outside(contract: Contract, inputs: Inputs) -> str | None:
    for name, (low, high) in contract.safety.limits.items():
        value = inputs.observation[contract.layout.slots[name]]
        if not low <= value <= high:
            return f'{name} is {value:.4g}, limits {low:g} to {high:g}'
    return None


SWITCHES = (    # of people: in force between the ticks of an episode as well
    Rule('', lambda contract, it: it.stop),     # its name is whatever was given
    Rule('e_stop_pressed', lambda contract, it: '' if it.signals.e_stop else None),
    Rule('e_stop_silent', lambda contract, it: _silence(
        contract.safety.e_stop, it.signals.e_stop_silence)),
    Rule('dead_man_released', lambda contract, it: None if it.signals.dead_man else ''),
    Rule('dead_man_silent', lambda contract, it: _silence(
        contract.safety.dead_man, it.signals.dead_man_silence)),
)
WORLD = (
    Rule('observation_stale', lambda contract, it: it.stale or None),
    Rule('observation_not_finite', _not_finite),
    Rule('observation_outside', _outside),
    Rule('reward_stale', lambda contract, it: it.reward_stale or None),     # nothing to learn from
)
POLICY = (
    Rule('policy_late', lambda contract, it: f'{it.late} control periods'
         if it.late >= contract.safety.policy_late else None),
    Rule('action_shape', lambda contract, it: f'{it.requested.shape} for {it.last.shape}'
         if it.requested.shape != it.last.shape else None),
    Rule('action_not_finite', lambda contract, it: None
         if np.isfinite(it.requested).all() else ''),
)
PRESSED, E_STOP = SWITCHES[:2], SWITCHES[:3]     # in force always; when an episode is asked for
RULES = (*SWITCHES, *WORLD, *POLICY)


class Gate:
    """Decides for one contract; holds no state between ticks."""

    rules = RULES

    def __init__(self, contract: Contract):
        self._contract, self._action = contract, contract.action
        self._max_step = contract.action.max_rate / contract.control_rate
        self._intervention = contract.safety.intervention
        self._blend_step = self._max_step
        if self._intervention:
            ticks = max(1.0, self._intervention.blend * contract.control_rate)
            span = contract.action.high - contract.action.low
            self._blend_step = np.minimum(self._max_step, span / ticks)

    def stop_action(self, last: np.ndarray) -> np.ndarray:
        """Return what the contract says to send on a stop: zeros, or hold the last action."""
        if self._action.on_stop == 'hold':
            return last
        return np.zeros(len(self._action.layout))

    def reason(self, inputs: Inputs, rules: tuple[Rule, ...] = ()) -> str:
        """Return why to stop, by the first of the rules that fires, '' where none does."""
        for rule in rules or self.rules:
            reason = rule.reason(self._contract, inputs)
            if reason:
                return reason
        return ''

    def lasts(self, reason: str, inputs: Inputs) -> str:
        """Return how the cause of an earlier stop still stands, '' where it is gone."""
        name = reason.partition(':')[0]
        rules = tuple(rule for rule in self.rules if rule.name == name)
        return self.reason(inputs, rules) if rules else ''

    def decide(self, inputs: Inputs) -> Decision:
        """Return what to send in this tick."""
        reason = self.reason(inputs)
        if reason:
            return Decision(self.stop_action(inputs.last), Source.SAFETY, reason, False)
        human = self._human_acts(inputs)
        wanted = inputs.signals.request if human else inputs.requested
        executed = self.limit(wanted, inputs.last, self._step(human, inputs))
        return Decision(executed, Source.HUMAN if human else Source.POLICY, '',
                        bool((executed != wanted).any()))

    def limit(self, requested: np.ndarray, last: np.ndarray,
              step: np.ndarray | None = None) -> np.ndarray:
        """Return finite requests (..., m) limited in range, then in rate from the last action.

        `step` (m,) is the largest change, by default what the contract's max_rate allows. A robot
        that starts outside its range moves in at that rate: the other order would make it jump.
        """
        step = self._max_step if step is None else step
        allowed = np.minimum(np.maximum(requested, self._action.low), self._action.high)
        return np.minimum(np.maximum(allowed, last - step), last + step)

    def _human_acts(self, inputs: Inputs) -> bool:
        signals = inputs.signals
        return (self._intervention is not None and signals.request is not None
                and signals.request_age <= self._intervention.timeout
                and signals.request.shape == inputs.last.shape
                and bool(np.isfinite(signals.request).all()))

    def _step(self, human: bool, inputs: Inputs) -> np.ndarray:
        """Return the largest change (m,): smaller for `blend` s after a change of hands."""
        changed = human != inputs.human_acted
        blending = self._intervention and inputs.since_change < self._intervention.blend
        return self._blend_step if changed or blending else self._max_step
