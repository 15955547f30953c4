"""When to ask the recorder for all episodes again: for what is overdue, not merely under way."""

from __future__ import annotations

LONGEST = 300.0     # s between requests that bring nothing


class CatchUp:
    """Follows what is missing, look by look; `period` is the s between two looks.

    An episode is overdue that was missing at the last look and has not come since. While what is
    missing becomes less, an answer is under way, and to ask again would begin it anew. What never
    comes, such as a bag that can no longer be read, is asked for ever more rarely.
    """

    def __init__(self, period: float):
        self._period = period
        self._missing = self._received = 0      # at the last look
        self._asked_for = 0                     # missing at the last request
        self._wait = self._waited = 0.0         # s from the last request to the next, and since

    def look(self, missing: int, received: int) -> bool:
        """Tell whether to ask now; `received` counts the episodes that ever came."""
        came = received - self._received
        overdue = self._missing > came and missing >= self._missing
        self._missing, self._received = missing, received
        self._waited += self._period
        if missing != self._asked_for:
            self._wait = 0.0
        if not overdue or self._waited < self._wait:
            return False
        self._asked_for = missing
        self._wait = min(LONGEST, 2.0 * max(self._wait, self._period / 2.0))
        self._waited = 0.0
        return True
