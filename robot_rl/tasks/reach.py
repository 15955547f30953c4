"""Bring the tip of a two-joint arm to a fixed point: the smallest task that needs learning.

Rewards take Views of shape (..., size) and return shape (...).
"""

from __future__ import annotations

import numpy as np

from robot_rl.layout import View
from robot_rl.tasks.planar import at_height, joint_velocity, tip_path
from robot_rl.tasks.rewards import nearer, per_step

GOAL = np.array([0.22, 0.18])       # m, centre of the ring in reach.xml
TOLERANCE = 0.03                    # m, tip to goal: success
SCALE = 0.4                         # m, distances beyond this cost no more
LENGTHS = (0.20, 0.18)              # m, links of the arm
HEIGHT = 0.02                       # m, of the tip above the table
SPEED = 0.35                        # m/s of the demonstrator's tip


def goal_distance(observation: View) -> np.ndarray:
    """Return the distance from tip to goal in metres."""
    return np.linalg.norm(observation['tip'] - GOAL, axis=-1)


def success(observation: View) -> np.ndarray:
    """Tell whether the tip is at the goal."""
    return goal_distance(observation) < TOLERANCE


def shaped_reward(observation: View, action: View, next_observation: View):
    """Return (reward, terminated): 1 on success, else minus the scaled distance, at least -1."""
    return nearer(success(next_observation), goal_distance(next_observation), SCALE)


def sparse_reward(observation: View, action: View, next_observation: View):
    """Return (reward, terminated): 0 on success, else -1, so the return counts steps to go."""
    return per_step(success(next_observation))


def path(observation: View, actions: np.ndarray, period: float) -> np.ndarray:
    """Return where joint velocities (..., k, 2) take the tip, (..., k, 3) in m."""
    return at_height(tip_path(observation['arm.position'], LENGTHS, actions, period), HEIGHT)


def scripted_action(observation: View, rng: np.random.Generator) -> np.ndarray:
    """Return joint velocities (2,) rad/s of a demonstrator that goes straight, unsteadily."""
    offset = GOAL - observation['tip']
    velocity = offset * min(5.0, SPEED / max(np.linalg.norm(offset), 1e-9))
    return joint_velocity(observation['arm.position'], LENGTHS,
                          velocity + rng.normal(0.0, 0.02, 2))
