"""Places that were visited, each with the colour of who acted: a bounded number of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST = 10_000
POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4')])    # m, 0x00RRGGBB


class Visited:
    """Once full it keeps every second one, and takes every second one from then on.

    So the whole time is shown, evenly, and not its end only. `most` is even.
    """

    def __init__(self, most: int = MOST):
        self._points = np.zeros(most, POINT)
        self._stride, self._skipped, self._count = 1, 0, 0
        self.added = 0          # all that were ever taken: tells a change

    def __len__(self) -> int:
        return self._count

    @property
    def points(self) -> np.ndarray:
        """What is kept, oldest first: (n,) of dtype POINT."""
        return self._points[:self._count]

    def add(self, place: Sequence[float], color: Sequence[float]) -> None:
        """Add a place (3,) m in a colour (3,), 0 to 1; nothing where it is not finite."""
        self._skipped += 1
        if self._skipped < self._stride or not np.isfinite(place).all():
            return
        if self._count == len(self._points):
            self._count //= 2
            self._points[:self._count] = self._points[::2].copy()
            self._stride *= 2
        red, green, blue = (round(255 * part) for part in color)
        self._points[self._count] = (*place, red << 16 | green << 8 | blue)
        self._skipped, self._count, self.added = 0, self._count + 1, self.added + 1
