"""Bring what is observed as `here` to what is observed as `goal`: for robots that have no model.

Both are positions of the same frame, in m, of any dimension. Rewards take Views of shape
(..., size) and return shape (...).
"""

from __future__ import annotations

import numpy as np

from robot_rl.layout import View
from robot_rl.tasks.rewards import nearer, per_step

TOLERANCE = 0.03        # m, here to goal: success
SCALE = 1.0             # m, distances beyond this cost no more


def goal_distance(observation: View) -> np.ndarray:
    """Return the distance from here to the goal in metres."""
    return np.linalg.norm(observation['here'] - observation['goal'], axis=-1)


def success(observation: View) -> np.ndarray:
    """Tell whether the goal is reached."""
    return goal_distance(observation) < TOLERANCE


def path(observation: View, actions: np.ndarray, period: float) -> np.ndarray:
    """Return where velocities (..., k, 3) m/s along the axes take `here`: (..., k, 3) m."""
    return observation['here'] + period * np.cumsum(actions, axis=-2)


def shaped_reward(observation: View, action: View, next_observation: View):
    """Return (reward, terminated): 1 on success, else minus the scaled distance, at least -1."""
    return nearer(success(next_observation), goal_distance(next_observation), SCALE)


def sparse_reward(observation: View, action: View, next_observation: View):
    """Return (reward, terminated): 0 on success, else -1, so the return counts steps to go."""
    return per_step(success(next_observation))
