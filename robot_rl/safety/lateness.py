"""How many control periods in a row went by without a tick: a stopped or overloaded process."""

from __future__ import annotations


class Lateness:
    """Counts for one episode. A tick may come half a period early or late: that is jitter.

    Three ticks that are a period late each count as one that is three periods late.
    """

    def __init__(self, period: float):
        self._period = period               # s
        self._last: float | None = None     # s
        self._missed = 0

    def tick(self, now: float) -> int:
        """Return the periods that were missed in a row, with this tick `now`, monotonic s."""
        last, self._last = self._last, now
        missed = 0 if last is None else round((now - last) / self._period) - 1
        self._missed = self._missed + missed if missed > 0 else 0
        return self._missed
