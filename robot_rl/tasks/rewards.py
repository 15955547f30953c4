"""Rewards that tasks share: (reward, terminated) of shape (...), by whether the task is done."""

from __future__ import annotations

import numpy as np


def per_step(done: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pay 0 once it is done, else -1, so that the return counts steps to go."""
    return np.where(done, 0.0, -1.0), done


def nearer(done: np.ndarray, distance: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Pay 1 once it is done, else minus the distance by `scale`, at least -1."""
    return np.where(done, 1.0, -np.minimum(distance / scale, 1.0)), done
