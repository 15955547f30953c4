"""Push a T onto its goal pose with a round pusher: Push-T of Diffusion Policy in MuJoCo.

Chi et al. 2023, arXiv 2303.04137; a pixel of its workspace is a millimetre here. Where the T lies
is told without an angle, by two points on its axis: the bar's outer edge and the stem's foot.
Rewards take Views of shape (..., size) and return shape (...).
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from robot_rl.layout import View
from robot_rl.tasks.planar import at_height
from robot_rl.tasks.rewards import per_step

SIZE = 0.512                                # m, side of the square workspace
BAR, STEM = (0.12, 0.03), (0.03, 0.09)      # m, along x and y of the upright T
LENGTH = BAR[1] + STEM[1]                   # m, from the bar's outer edge to the stem's foot
CENTRE = 0.045                              # m, from the bar's outer edge to where the T turns
RADIUS = 0.015                              # m, of the pusher
HEIGHT = 0.02                               # m, of its middle above the table
GOAL, GOAL_ANGLE = (0.256, 0.256), np.pi / 4    # of the middle of the bar's outer edge
THRESHOLD = 0.95                            # covered share of the goal: success
DEMONSTRATED = 0.85                         # what 200 of the 206 reach, replayed in the twin
AREA = BAR[0] * BAR[1] + STEM[0] * STEM[1]  # m^2
EPSILON = 1e-9                              # m, edges this near lie on each other


def coverage(position: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return the covered share of the goal (...) of a T at (..., 2) m, turned by (...) rad."""
    heading = np.stack((-np.sin(angle), np.cos(angle)), axis=-1)
    return _coverage(np.asarray(position), heading)


def score(observation: View) -> np.ndarray:
    """Return the covered share of the goal, 0 to 1."""
    bar, foot = observation['bar'], observation['foot']
    along = foot - bar
    return _coverage(bar, along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True),
                                             EPSILON))


def success(observation: View) -> np.ndarray:
    """Tell whether the T covers its goal."""
    return score(observation) > THRESHOLD


def close(observation: View) -> np.ndarray:
    """Tell whether the T covers its goal as well as the human demonstrations leave it."""
    return score(observation) > DEMONSTRATED


def shaped_reward(observation: View, action: View, next_observation: View):
    """Return (reward, terminated): 0 on success, else minus the share that lacks, at least -1."""
    covered = score(next_observation)
    done = covered > THRESHOLD
    return np.where(done, 0.0, np.minimum(covered / THRESHOLD, 1.0 - EPSILON) - 1.0), done


def sparse_reward(observation: View, action: View, next_observation: View):
    """Return (reward, terminated): 0 on success, else -1, so the return counts steps to go."""
    return per_step(success(next_observation))


def path(observation: View, actions: np.ndarray, period: float) -> np.ndarray:
    """Return where targets (..., k, 2) send the pusher, (..., k, 3) in m."""
    return at_height(actions, HEIGHT)


def points(position: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bar and foot (..., 2) m of a T at positions (..., 2) m and angles (...) rad."""
    heading = np.stack((-np.sin(angle), np.cos(angle)), axis=-1)
    return np.asarray(position), position + LENGTH * heading


def _rectangles(position: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Return the corners (2, ..., 4, 2) of bar and stem, counter-clockwise."""
    aside = np.stack((heading[..., 1], -heading[..., 0]), axis=-1)
    corners = np.array([[(x, y) for x, y in ((-w / 2, y0), (w / 2, y0), (w / 2, y1), (-w / 2, y1))]
                        for w, y0, y1 in ((BAR[0], 0.0, BAR[1]), (STEM[0], BAR[1], LENGTH))])
    corners = corners.reshape(2, *(1,) * (position.ndim - 1), 4, 2)
    return (position[..., None, :] + corners[..., :1] * aside[..., None, :]
            + corners[..., 1:] * heading[..., None, :])


_GOAL = _rectangles(np.zeros(2), np.array([-np.sin(GOAL_ANGLE), np.cos(GOAL_ANGLE)]))


def _coverage(position: np.ndarray, heading: np.ndarray) -> np.ndarray:
    found = _rectangles(position - GOAL, heading)
    goal = _GOAL.reshape(1, 2, *(1,) * (found.ndim - 3), 4, 2)
    covered = _common_area(found[:, None], goal).sum((0, 1))    # of every pair of their parts
    return np.clip(covered / AREA, 0.0, 1.0)


def _common_area(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the area (...) that convex polygons (..., k, 2) share.

    Green's theorem over the boundary of what they share: the parts of either's edges that lie in
    the other. An edge that lies on one of the other's is counted once, as an edge of the first,
    and not at all where the polygons lie on either side of it.
    """
    return np.maximum(0.5 * (_boundary(first, second, counted=True)
                             + _boundary(second, first, counted=False)), 0.0)


def _boundary(edges: np.ndarray, inside: np.ndarray, counted: bool) -> np.ndarray:
    """Return the sum (...) of start x end over the parts of the edges in a convex polygon.

    `counted`: an edge that lies on one of the polygon's, and runs its way, is in it.
    """
    x, y = edges[..., :, None, 0], edges[..., :, None, 1]           # (..., edge, 1)
    along_x, along_y = _sides(x, -2), _sides(y, -2)
    corner_x, corner_y = inside[..., None, :, 0], inside[..., None, :, 1]   # (..., 1, side)
    side_x, side_y = _sides(corner_x, -1), _sides(corner_y, -1)
    length = np.maximum(np.hypot(side_x, side_y), EPSILON)
    side_x, side_y = side_x / length, side_y / length
    depth = side_x * (y - corner_y) - side_y * (x - corner_x)       # (..., edge, side)
    depth += (np.where(along_x * side_x + along_y * side_y > 0, EPSILON, -EPSILON) if counted
              else -EPSILON)
    rate = side_x * along_y - side_y * along_x
    with np.errstate(divide='ignore', invalid='ignore'):
        crossing = -depth / rate
    enter = np.where(rate > 0, crossing, np.where((rate == 0) & (depth < 0), np.inf, -np.inf))
    leave = np.where(rate < 0, crossing, np.inf)
    low = np.clip(_along_sides(np.maximum, enter), 0.0, 1.0)
    high = np.maximum(np.clip(_along_sides(np.minimum, leave), 0.0, 1.0), low)
    part = (high - low) * (x * along_y - y * along_x)   # start x end of what lies inside
    return part.sum((-2, -1))


def _along_sides(function: np.ufunc, values: np.ndarray) -> np.ndarray:
    """Return (..., 1) of values (..., side): numpy's own reduction is slow along so few."""
    return reduce(function, np.split(values, values.shape[-1], axis=-1))


def _sides(corners: np.ndarray, axis: int) -> np.ndarray:
    """Return the steps from each corner to the next."""
    following = np.arange(1, corners.shape[axis] + 1) % corners.shape[axis]
    return np.take(corners, following, axis) - corners
