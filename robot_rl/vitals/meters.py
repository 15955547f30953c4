"""Figures of what goes by many times a second: cheap to feed, bounded, read now and then.

The caller brings the time, in seconds of a clock of its choice; where that goes back, as that of
a simulator that was started again does, a meter begins anew.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from math import ceil

import numpy as np

RATE_WINDOW, WINDOW = 10.0, 60.0    # s: of a rate; of everything else
LEAST = 2.0                         # s that must have gone by before a rate is one
BETWEEN = 0.9                       # s between marks, at least


@dataclass(frozen=True)
class Pace:
    """How something comes; None where that is not known yet."""

    rate: float | None = None       # amount per second, over the last RATE_WINDOW
    gap: float | None = None        # s, longest silence in the last WINDOW, the present one too
    age: float | None = None        # s since the last one


@dataclass
class _Mark:
    """What was counted up to a look, and the longest gap since the one before it."""

    time: float
    total: float
    gap: float = 0.0


class Meter:
    """Rate and gaps of what comes. `look` about once a second keeps its window, `add` counts."""

    def __init__(self):
        self._last: float | None = None
        self._total, self._gap = 0.0, 0.0
        self._marks: deque[_Mark] = deque(maxlen=2 * ceil(WINDOW / BETWEEN))

    def add(self, now: float, amount: float = 1.0) -> None:
        """Count what came now."""
        last = self._last
        if last is None or now < last:
            self.forget()
            self._marks.append(_Mark(now, amount))      # that one begins the first interval
        elif now - last > self._gap:
            self._gap = now - last
        self._total += amount
        self._last = now

    def forget(self) -> None:
        """Begin anew: a silence was meant."""
        self._last, self._total, self._gap = None, 0.0, 0.0
        self._marks.clear()

    def look(self, now: float) -> Pace:
        """Return how it comes."""
        if self._last is None or now < self._last:
            return Pace()
        marks, silence = self._marks, now - self._last
        if now - marks[-1].time >= BETWEEN:
            marks.append(_Mark(now, self._total, max(self._gap, silence)))
            self._gap = 0.0
        while len(marks) > 1 and now - marks[1].time >= WINDOW:
            marks.popleft()
        start = max((mark for mark in marks if now - mark.time >= RATE_WINDOW),
                    default=marks[0], key=lambda mark: mark.time)
        since = now - start.time
        rate = (self._total - start.total) / since if since >= LEAST else None
        return Pace(rate, max(self._gap, silence, *(
            mark.gap for mark in marks if now - mark.time < WINDOW)), silence)


class Recent:
    """The values of the last WINDOW seconds, or the last `capacity` where those are fewer."""

    def __init__(self, capacity: int = 6000):
        self._times, self._values = (array('d', bytes(8 * capacity)) for _ in range(2))
        self._capacity, self._count = capacity, 0

    def add(self, now: float, value: float) -> None:
        """Take a value."""
        index = self._count % self._capacity
        self._times[index], self._values[index] = now, value
        self._count += 1

    def values(self, now: float) -> np.ndarray:
        """Return them, in no order."""
        held = min(self._count, self._capacity)
        ages = now - np.frombuffer(self._times)[:held]
        return np.frombuffer(self._values)[:held][(ages >= 0.0) & (ages < WINDOW)]

    def percentiles(self, now: float, *percents: float) -> list[float | None]:
        """Return the least value that so many percent do not exceed; None where there is none."""
        values = np.sort(self.values(now))
        if not len(values):
            return [None] * len(percents)
        return [float(values[max(0, ceil(percent * len(values) / 100) - 1)])
                for percent in percents]
