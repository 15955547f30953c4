"""Calibration: how often a policy's region of probability q holds the demonstrator's action.

The region of probability q is the smallest one, where samples lie densest (Hyndman 1996). Density
is a Gaussian kernel's over the policy's samples together with the demonstrator's action, each
point judged by the others. If the action were one more sample of the policy, its rank among them
would be uniform, whatever the kernel; so a calibrated policy covers q of the actions exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVELS = (0.5, 0.8, 0.9, 0.95)
JITTER = 1e-6           # added to the samples' standard deviation, which may be 0


@dataclass(frozen=True)
class Covered:
    """Share of held-out actions in the regions of LEVELS."""

    shares: tuple[float, ...]
    count: int              # actions

    def __getitem__(self, level: float) -> float:
        return self.shares[LEVELS.index(level)]


def coverage(samples: np.ndarray, actions: np.ndarray) -> Covered:
    """Measure on samples (B, M, m) of the policy and the demonstrator's actions (B, m)."""
    ranks = region_ranks(samples, actions)
    return Covered(tuple(float(np.mean(ranks < level)) for level in LEVELS), len(actions))


def region_ranks(samples: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Return (B,) the probability of the smallest region that holds the action, 0 to 1."""
    points = np.concatenate((actions[:, None], samples), axis=1, dtype=float)  # (B, M + 1, m)
    count, size = points.shape[1:]
    points = points - points.mean(1, keepdims=True)
    covariance = np.einsum('bim,bin->bmn', points, points) / count
    scale = np.sqrt(np.einsum('bmm->bm', covariance)).max(1)[:, None, None] + JITTER
    whitening = np.linalg.cholesky(covariance + (JITTER + 1e-4 * scale) ** 2 * np.eye(size))
    points = np.linalg.solve(whitening, points.transpose(0, 2, 1))      # (B, m, M + 1)
    square = (points ** 2).sum(1)
    distance = square[:, :, None] + square[:, None, :] - 2.0 * np.einsum(
        'bmi,bmj->bij', points, points)
    bandwidth = count ** (-1.0 / (size + 4))                            # Scott's rule
    density = np.exp(-0.5 * np.maximum(distance, 0.0) / bandwidth ** 2).sum(2) - 1.0
    denser = (density[:, 1:] > density[:, :1]).mean(1)
    ties = (density[:, 1:] == density[:, :1]).mean(1)
    return denser + 0.5 * ties
