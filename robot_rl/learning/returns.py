"""The unit of rewards for xqc.py: how far discounted returns vary, over all episodes so far.

Their deviation: Palenicek et al. 2025, arXiv 2509.25174. At least so large that the largest of
them is within the bins: Lee et al. 2025, arXiv 2502.15280.
"""

from __future__ import annotations

import numpy as np
from robot_rl.data.transitions import Transitions
from robot_rl.learning.moments import Moments

LEAST = 1e-6            # of a unit


class Returns:
    """Running moments of G_t = r_t + gamma G_(t-1), from 0 at the start of each episode."""

    def __init__(self, discount: float, most: float):
        self._discount, self._most = discount, most     # most units that a return may have
        self._moments, self._largest = Moments(), 0.0           # of G, of |G|

    def add(self, transitions: Transitions) -> None:
        """Take in transitions in their order."""
        found, past = np.empty(len(transitions)), 0.0
        over = (transitions.terminated > 0) | (transitions.truncated > 0)
        for index, (reward, last) in enumerate(zip(transitions.reward.tolist(), over.tolist())):
            found[index] = past = reward + self._discount * past
            past = 0.0 if last else past
        self._moments.add(found)
        self._largest = max(self._largest, float(np.abs(found).max(initial=0.0)))

    @property
    def unit(self) -> float:
        """What rewards are divided by, 1 where there is nothing to go by."""
        found = float(max(self._moments.deviation, self._largest / self._most))
        return found if found > LEAST else 1.0
