"""The queue between callbacks that must not wait and the one thread that writes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
import threading

MESSAGE_OVERHEAD = 256              # bytes of memory that a queued message costs beyond its data
MAX_MESSAGE_BYTES = 64 << 20         # a chunk that holds one can still be read: scan.py
MISSES = ('dropped', 'lost', 'missing_steps')   # for the bound; by the middleware; gaps in numbers
BATCH = 512                         # at most so many items are taken at once


class Intake:
    """Messages (topic id, data, log time, publish time) and commands (callables), in order.

    Messages are bounded in bytes, each and together: one that does not fit is dropped and
    counted. Commands always fit. All methods are thread-safe; `take` is for the one consumer.
    """

    def __init__(self, most_bytes: int):
        self.bytes = 0
        self._misses = {kind: Counter() for kind in MISSES}     # topic id -> messages
        self.stopped = False
        self._most_bytes = most_bytes
        self._items: deque = deque()
        self._taken_bytes = 0
        self._changed = threading.Condition()

    def put(self, topic_id: int, data: bytes, log_time: int, publish_time: int) -> bool:
        """Append a message; return False if it was dropped."""
        size = len(data) + MESSAGE_OVERHEAD
        with self._changed:
            if (self.stopped or len(data) > MAX_MESSAGE_BYTES
                    or self.bytes + size > self._most_bytes):
                self._misses['dropped'][topic_id] += 1
                return False
            self.bytes += size
            self._items.append((topic_id, bytes(data), log_time, publish_time))
            self._changed.notify()
        return True

    def post(self, command: Callable[[], None]) -> bool:
        """Append a command; return False once stopped."""
        with self._changed:
            if not self.stopped:
                self._items.append(command)
                self._changed.notify()
            return not self.stopped

    def stop(self) -> None:
        """Accept nothing more; what is queued can still be taken."""
        with self._changed:
            self.stopped = True
            self._changed.notify()

    def take(self, timeout: float) -> list | None:
        """Return the next items, [] after `timeout` s without any, None when stopped and empty.

        The bytes of a batch count against the bound until the next one is taken.
        """
        with self._changed:
            self.bytes -= self._taken_bytes
            self._taken_bytes = 0
            if not self._items and not self.stopped and timeout > 0:
                self._changed.wait(timeout)
            if not self._items and self.stopped:
                return None
            batch = [self._items.popleft() for _ in range(min(len(self._items), BATCH))]
            self._taken_bytes = sum(len(item[1]) + MESSAGE_OVERHEAD for item in batch
                                    if not callable(item))
            return batch

    def miss(self, kind: str, topic_id: int, count: int) -> None:
        """Count messages that did not come here; `kind` is one of MISSES."""
        with self._changed:
            self._misses[kind][topic_id] += count

    def misses(self) -> dict[str, Counter[int]]:
        """Return how many messages of each topic were missed so far, by kind."""
        with self._changed:
            return {kind: counts.copy() for kind, counts in self._misses.items()}

    def missed(self) -> Counter[str]:
        """Return how many messages were missed so far, by kind."""
        return Counter({kind: counts.total() for kind, counts in self.misses().items()})
