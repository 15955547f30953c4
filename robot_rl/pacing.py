"""When the next episode may start, so that the robot does not run ahead of the learner."""

from __future__ import annotations

from collections import deque


class Pacer:
    """Holds an episode back until the actor has learned from all but `lag` of those before.

    Experience is named by the stamp of its last step, which the actor's manifest repeats. So the
    count survives restarts of either side, and an episode that was discarded is not waited for.
    """

    def __init__(self):
        self._ended: deque[int] = deque(maxlen=1001)    # ns, last steps of learning episodes
        self._given_up: int | None = None               # version that was waited for in vain

    def ended(self, stamp: int) -> None:
        """Note a learning episode whose last step has this stamp, ns."""
        self._ended.append(stamp)

    def may_start(self, lag: int, version: int, learned: int) -> bool:
        """Tell whether to start, with the newest actor's version and learned stamp, ns."""
        if lag < 0 or len(self._ended) <= lag or version == self._given_up:
            return True
        return learned >= self._ended[-1 - lag]

    def give_up(self, version: int) -> None:
        """Do not wait again until an actor newer than this version is there."""
        self._given_up = version
