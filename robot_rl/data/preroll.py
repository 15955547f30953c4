"""What a bag begins with: the newest message of every topic, and all events since the last bag.

An event that comes while no bag is open is in the next one: none is passed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from robot_rl.data.steps import EVENTS_TYPE

MOST_EVENTS = 100                   # of a topic: as many as its publisher latches
OLDEST = 1_000_000_000              # ns: what was seen longer ago enters a bag this old


class Preroll:
    """Holds (data, log time, publish time) by the topic's place in the list of types."""

    def __init__(self, types: Sequence[str]):
        self._held = [deque(maxlen=MOST_EVENTS if kind == EVENTS_TYPE else 1) for kind in types]

    def hold(self, topic_id: int, data: bytes, log_time: int, publish_time: int, recorded: bool
             ) -> None:
        """Take a message; `recorded` says that an open bag has it, and had those before."""
        held = self._held[topic_id]
        if recorded:
            held.clear()
        held.append((data, log_time, publish_time))

    @property
    def newest(self) -> int:
        """When the newest message was seen, ns; 0 of none."""
        return max((held[-1][1] for held in self._held if held), default=0)

    def messages(self, log_time: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield what a bag begins with that is opened at `log_time`, topic by topic.

        Messages are dated a second before it at most, and not after it, as where simulated time
        began again in between.
        """
        for topic_id, held in enumerate(self._held):
            for data, seen, sent in held:
                yield topic_id, data, min(max(seen, log_time - OLDEST, 0), log_time), sent
