"""How sac_learner does: whether it keeps up, what it last heard and saved, its losses."""

from __future__ import annotations

from pathlib import Path
import time

from robot_rl.learning.checkpoint import PATTERN
from robot_rl.vitals.limits import at_most, finite, Part


class LearningVitals:
    """Asked once a second with the trainer's progress; times are of a monotonic clock, s."""

    def __init__(self, folder: Path):
        self._folder = folder               # of the checkpoints
        self._received, self._heard_at = 0, None
        self._learning_since: float | None = None

    def parts(self, limits, now: float, progress) -> list[Part]:
        """Return the figures, held against the limits of the node's settings."""
        if progress.transitions_received > self._received:
            self._received, self._heard_at = progress.transitions_received, now
        heard = None if self._heard_at is None else now - self._heard_at
        rate, robot = progress.updates_per_second, progress.transitions_trained_on
        behind = progress.owed / rate if rate else None
        saved, age = self._checkpoint()
        unsaved = self._unsaved(now, progress.updates, saved, age)
        values = {'updates_per_second': rate, 'updates': progress.updates,
                  'updates_per_transition': progress.updates / robot if robot else None,
                  'owed': progress.owed, 'behind_s': behind, 'newest_transition_age_s': heard,
                  'checkpoint_age_s': age, 'checkpoint_updates': saved,
                  **dict(progress.metrics)}
        return [Part('training', values, [
            at_most('behind', behind, limits.warn_behind, limits.error_behind, 's'),
            at_most('age of the newest transition', heard, limits.warn_transition_age, unit='s'),
            at_most('updates not in a checkpoint for', unsaved, limits.warn_unsaved, unit='s'),
            *(finite(name, value) for name, value in progress.metrics)])]

    def _checkpoint(self) -> tuple[int | None, float | None]:
        """Return updates and age (s of wall time) of the newest checkpoint, None without one."""
        try:
            path = max(self._folder.glob(PATTERN), default=None)
            if path is None:
                return None, None
            return int(path.stem.partition('_')[2]), max(0.0, time.time() - path.stat().st_mtime)
        except (OSError, ValueError):       # removed meanwhile, or a stranger's
            return None, None

    def _unsaved(self, now: float, updates: int, saved: int | None, age: float | None
                 ) -> float | None:
        """Return how long there have been updates that no checkpoint has, s."""
        if not updates or updates == saved:
            self._learning_since = None
            return None
        if self._learning_since is None:
            self._learning_since = now
        since = now - self._learning_since
        return since if age is None else min(age, since)
