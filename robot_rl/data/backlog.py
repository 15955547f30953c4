"""Bags that wait for a quiet moment: to be published again, or to be mended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from robot_rl.data.bag import find_bags
from robot_rl.data.disk import Disk
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.session import Session
from robot_rl.errors import UserError


class Backlog:
    """Owned by the writer thread, which asks for one bag at a time; true while some are to send.

    A bag that was cut short is mended, copied to a complete one beside it, once the disk has room
    for it and no episode is open. That is tried once; else the next start recovers it.
    """

    def __init__(self, session: Session, disk: Disk, on_event: Callable[[str, dict], None]):
        self._session, self._disk, self._on_event = session, disk, on_event
        self._to_send: deque[Path] = deque()
        self._cut: deque[tuple[Path, str]] = deque()    # and why

    def __bool__(self) -> bool:
        return bool(self._to_send)

    @property
    def cut(self) -> int:
        """Number of bags that wait to be mended."""
        return len(self._cut)

    def send_all(self) -> None:
        """Have every bag of the session published again."""
        try:
            self._to_send = deque(find_bags(self._session.root))
        except (OSError, UserError) as error:
            self._on_event('unreadable', {'bag': str(self._session.root), 'reason': str(error)})

    def send(self) -> EpisodeRecord | None:
        """Return what the next bag teaches, None where it is none to publish."""
        folder = self._to_send.popleft()
        try:
            return self._session.read(folder)
        except (OSError, UserError) as error:
            self._on_event('unreadable', {'bag': str(folder), 'reason': str(error)})
            return None

    def add_cut(self, folder: Path, reason: str) -> None:
        """Have a bag mended that the disk did not let be completed."""
        self._cut.append((folder, reason))

    def mend(self) -> EpisodeRecord | None:
        """Return what the next bag to be mended teaches, None where nothing was to be done."""
        if not self._cut:
            return None
        folder, reason = self._cut[0]
        try:
            if not self._disk.holds(2 * sum(path.stat().st_size for path in folder.iterdir())):
                return None
        except OSError:     # somebody moved it: mending says so
            pass
        self._cut.popleft()
        return self._session.mend(folder, reason)
