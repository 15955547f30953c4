"""How data_recorder does: what it hears, what waits for the disk, how long the disk lasts."""

from __future__ import annotations

from collections.abc import Sequence

from robot_rl.vitals.limits import at_least, at_most, Part
from robot_rl.vitals.meters import Meter
from robot_rl.vitals.topics import Hearing, Needed


class RecordingVitals:
    """Fed with every message, asked once a second.

    Where time is simulated no silence is judged: its clock moves by steps, and comes late.
    """

    def __init__(self, topics: Sequence[Needed], simulated: bool = False):
        self._hearing, self._flow = Hearing('topic', topics), Meter()
        self._bytes = 0         # since the last look
        self._simulated = simulated

    def heard(self, index: int, size: int, now: int) -> None:
        """Take a message of so many bytes, at `now` ns of the node's clock."""
        self._hearing.heard(index, now)
        self._bytes += size

    def parts(self, limits, now: float, clock: int, stats: dict) -> list[Part]:
        """Return the figures, held against the limits of the node's settings.

        now     s of a monotonic clock: a disk does not fill in simulated time
        clock   ns of the node's clock
        stats   of the EpisodeRecorder; rates are judged while a bag is open, as a simulator may
                stand still before and after it
        """
        values, findings = self._hearing.look(clock, limits.warn_rate, limits.error_rate,
                                              not self._simulated and limits.warn_gap)
        return [Part('topics', values, findings if stats['bag'] else ()),
                self._disk(limits, now, stats)]

    def _disk(self, limits, now: float, stats: dict) -> Part:
        self._flow.add(now, self._bytes)
        self._bytes = 0
        rate, free = self._flow.look(now).rate, stats['disk_free']
        hours = max(0, free - limits.min_free_bytes) / rate / 3600.0 if rate else None
        queue = stats['queue_bytes'] / limits.queue_bytes
        values = {'queue_bytes': stats['queue_bytes'], 'queue_share': queue,
                  'bytes_per_second': rate, 'disk_free': free, 'hours_left': hours,
                  'last_flush_age_s': stats['last_flush_age']}
        return Part('disk', values, [
            at_most('share of the queue', queue, limits.warn_queue, limits.error_queue),
            at_least('room on the disk at this rate', hours, limits.warn_hours,
                     limits.error_hours, 'h')])
