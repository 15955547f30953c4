"""The room that is left where the bags go."""

from __future__ import annotations

from pathlib import Path
import shutil
import time

PERIOD = 1.0        # s between two looks


class Disk:
    """Whether a folder's disk has less than `least` bytes free; looked at once a second."""

    def __init__(self, folder: Path, least: int):
        self._folder, self._least = folder, least
        self.free, self.full, self._looked_at = 0, False, 0.0       # before the first look

    def look(self) -> bool:
        """Look now; return whether it has become full since the last look."""
        self._looked_at, was_full = time.monotonic(), self.full
        self.free = shutil.disk_usage(self._folder).free
        self.full = self.free < self._least
        return self.full and not was_full

    def due(self, now: float) -> bool:
        """Return whether it is time to look again."""
        return now - self._looked_at >= PERIOD

    def holds(self, size: int) -> bool:
        """Return whether so many bytes more would now leave it the least."""
        return shutil.disk_usage(self._folder).free - size >= self._least

    def __str__(self) -> str:
        return f'the disk is nearly full, {self.free} bytes are free'
