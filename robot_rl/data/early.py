"""What comes before simulated time does: without a time no message can stand in a bag."""

from __future__ import annotations

from collections import deque

from robot_rl.data.known_steps import KEPT


class Early:
    """Holds the newest message of each topic, as a bag begins with it, and the last `keep` steps.

    `came` counts all that came. Messages are (topic id, data, publish time in ns).
    """

    def __init__(self, steps_id: int, keep: int = KEPT):
        self.came = 0
        self._steps_id = steps_id
        self._newest: dict[int, tuple[bytes, int]] = {}
        self._steps: deque[tuple[bytes, int]] = deque(maxlen=keep)

    def hold(self, topic_id: int, data: bytes, publish_time: int) -> bool:
        """Take a message; return False where the oldest step record had to make room."""
        self.came += 1
        if topic_id != self._steps_id:
            self._newest[topic_id] = bytes(data), publish_time
            return True
        full = len(self._steps) == self._steps.maxlen
        self._steps.append((bytes(data), publish_time))
        return not full

    def release(self) -> list[tuple[int, bytes, int]]:
        """Return what is held, the step records last: they begin an episode."""
        return [(topic_id, *message) for topic_id, message in self._newest.items()] + [
            (self._steps_id, *message) for message in self._steps]
