"""Whether something goes on without what must come with it: commands without a heartbeat."""

from __future__ import annotations

ALONE = 2.0     # s of it that are no coincidence: who starts does not hear all topics at once
PAUSE = 1.0     # s without it after which it does not go on any more


class Company:
    """Fed with both; times are of a monotonic clock, s."""

    def __init__(self):
        self._since: float | None = None        # when it began to be alone
        self._last = 0.0

    def come(self, now: float) -> None:
        """Note what should not come alone."""
        if self._since is None or now - self._last > PAUSE:
            self._since = now
        self._last = now

    def join(self) -> None:
        """Note what must come with it."""
        self._since = None

    def alone(self, now: float) -> bool:
        """Tell whether it goes on alone."""
        return (self._since is not None and now - self._last <= PAUSE
                and self._last - self._since >= ALONE)
