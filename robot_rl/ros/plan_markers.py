"""What a demonstrator could do from here, what it does, and how sure it is of it, as markers."""

from __future__ import annotations

import numpy as np
from robot_rl.contract import Contract
from robot_rl.learning.chunks import ChunkRunner
from robot_rl.learning.policy import Policy
from robot_rl.ros.shapes import Color, lines
from visualization_msgs.msg import Marker

FAN = 16                                    # plans that are sampled to be shown
SAMPLED = 0.4, 0.7, 1.0, 0.5
SURE, UNSURE = np.array((1.0, 0.9, 0.35)), np.array((1.0, 0.1, 0.2))    # yellow to red


class PlanMarkers:
    """Shows the plan in use; made anew for a new plan only, which takes a few ms.

    In thin blue the fan of plans that the policy could have drawn, thick the one that it executes:
    yellow where the ensemble's members agree, red where they deviate by the radius of the goal.
    """

    def __init__(self, contract: Contract):
        self._contract = contract
        self._plan, self._shown = None, (None, None)

    def __call__(self, acting: Policy | None) -> tuple[Marker | None, Marker | None]:
        """Return the fan and the plan that is executed, None for a policy without plans."""
        if not isinstance(acting, ChunkRunner) or acting.plan is None:
            return None, None
        if acting.plan is not self._plan:
            self._plan, self._shown = acting.plan, self._show(acting)
        return self._shown

    def _show(self, acting: ChunkRunner) -> tuple[Marker, Marker]:
        policy, plan, contract = acting.policy, acting.plan, self._contract
        size, seen = contract.display.radius, plan.observation
        rng = np.random.default_rng(plan.start)     # its own: looking must not change the actions
        fan = self._paths(seen, policy.fan(seen, rng, FAN))
        path = self._paths(seen, plan.actions[None])
        colors = sureness(self._paths(seen, policy.opinions(seen)), size)
        return lines(fan, size / 30.0, SAMPLED), lines(path, size / 3.0, SURE, colors)

    def _paths(self, seen: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return where actions (count, k, m) lead from what was `seen`, with where they begin."""
        paths, here = self._contract.path(seen, actions), self._contract.display.here
        if not here:
            return paths
        start = np.broadcast_to(here(self._contract.layout.view(seen)), paths[:, :1].shape)
        return np.concatenate((start, paths), axis=1)


def sureness(paths: np.ndarray, scale: float) -> list[Color]:
    """Return a colour for each of the k points of the members' paths (K, k, 3) m.

    SURE where all agree, UNSURE where they deviate from their middle by `scale` m or more.
    """
    deviations = np.sqrt(((paths - paths.mean(0)) ** 2).sum(-1).mean(0))
    shares = np.minimum(deviations / scale, 1.0)[:, None]
    return list(SURE + shares * (UNSURE - SURE))
