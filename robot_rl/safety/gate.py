"""The gate: one decision per control tick, from what the policy asks to what may be sent.

Nothing learned passes around it. Rules in order: a stop, an observation that is too old, a
request that is not finite; each gives the contract's stop action with its reason. Otherwise the
request is limited in rate and range and sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_rl.contract import Contract


@dataclass(frozen=True)
class Decision:
    """What is sent, and why it is not what was asked for."""

    executed: np.ndarray    # (m,)
    stopped: str            # reason of the stop, '' while the policy acts
    limited: bool           # the request was outside the range or the rate


class Gate:
    """Decides for one contract; holds no state between ticks."""

    def __init__(self, contract: Contract):
        self._action = contract.action
        self._max_step = contract.action.max_rate / contract.control_rate

    def stop_action(self, last: np.ndarray) -> np.ndarray:
        """Return what the contract says to send on a stop: zeros, or hold the last action."""
        if self._action.on_stop == 'hold':
            return last
        return np.zeros(len(self._action.layout))

    def decide(self, requested: np.ndarray, last: np.ndarray, stop: str = '',
               stale: str = '') -> Decision:
        """Return the decision for a request (m,) after the last executed action (m,)."""
        reason = stop or (f'observation_stale: {stale}' if stale else '')
        if not reason and requested.shape != last.shape:
            reason = f'action_shape: {requested.shape} for {last.shape}'
        if not reason and not np.isfinite(requested).all():
            reason = 'action_not_finite'
        if reason:
            return Decision(self.stop_action(last), reason, False)
        executed = self.limit(requested, last)
        return Decision(executed, '', not np.array_equal(executed, requested))

    def limit(self, requested: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return finite requests (..., m) limited in rate from the last action, then in range."""
        slow = np.clip(requested, last - self._max_step, last + self._max_step)
        return np.clip(slow, self._action.low, self._action.high)
