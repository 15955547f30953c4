"""Mean and deviation of everything so far, without keeping it."""

from __future__ import annotations

import numpy as np


class Moments:
    """Running moments of numbers (k,) or vectors (k, n), taken in by portions, in float64.

    How two portions are put together: Chan et al. 1979, Stanford STAN-CS-79-773.
    """

    def __init__(self):
        self.count = 0
        self.mean: np.ndarray | float = 0.0
        self._square: np.ndarray | float = 0.0      # sum of (value - mean)^2

    def add(self, values: np.ndarray) -> None:
        """Take in the values of a portion."""
        if not len(values):
            return
        values = values.astype(np.float64)
        count = self.count + len(values)
        apart = values.mean(0) - self.mean
        self._square += values.var(0) * len(values) + apart ** 2 * self.count * len(
            values) / count
        self.mean = self.mean + apart * len(values) / count
        self.count = count

    @property
    def deviation(self) -> np.ndarray | float:
        """Standard deviation, of each component by itself; 0 where there is nothing yet."""
        return (self._square / max(self.count, 1)) ** 0.5
