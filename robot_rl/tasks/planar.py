"""Kinematics of an arm whose joint axes are all vertical: a chain in the plane."""

from __future__ import annotations

import numpy as np


def tip_position(angles: np.ndarray, lengths: tuple[float, ...]) -> np.ndarray:
    """Return the tip (..., 2) in metres for joint angles (..., n) in rad and n link lengths."""
    headings = np.cumsum(angles, axis=-1)
    return np.stack((np.cos(headings) @ lengths, np.sin(headings) @ lengths), axis=-1)


def jacobian(angles: np.ndarray, lengths: tuple[float, ...]) -> np.ndarray:
    """Return d tip / d angles, (2, n) in metres per rad, for joint angles (n,)."""
    headings = np.cumsum(angles)
    links = np.stack((-np.sin(headings), np.cos(headings))) * lengths
    return np.cumsum(links[:, ::-1], axis=1)[:, ::-1]    # a joint moves every link after it


def joint_velocity(angles, lengths, tip_velocity, damping: float = 0.02) -> np.ndarray:
    """Return joint velocities (n,) in rad/s that move the tip at (2,) m/s.

    Damped least squares (Nakamura, Hanafusa 1986): the damping, in m, keeps the answer bounded
    where the arm is stretched.
    """
    matrix = jacobian(angles, lengths)
    return matrix.T @ np.linalg.solve(matrix @ matrix.T + damping ** 2 * np.eye(2), tip_velocity)


def tip_path(angles, lengths, velocities, period: float) -> np.ndarray:
    """Return where joint velocities (..., k, n) rad/s take the tip: (..., k, 2) in metres.

    From angles (n,), each velocity held for `period` s.
    """
    return tip_position(angles + period * np.cumsum(velocities, axis=-2), lengths)


def at_height(points: np.ndarray, height: float) -> np.ndarray:
    """Return points (..., 2) in the plane as (..., 3) in space, m."""
    return np.concatenate((points, np.full((*points.shape[:-1], 1), height)), axis=-1)
