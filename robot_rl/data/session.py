"""The folder of a robot's episodes: who records into it, and names that are never used twice."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import fcntl
import os
from pathlib import Path
import re
import time
from typing import IO
import uuid

from robot_rl.contract import Contract
from robot_rl.data.bag import (bag_steps, bag_transitions, DISCARDED, find_bags, read_info,
                               RECOVERED, set_custom_data)
from robot_rl.data.episode import episode_record, EpisodeRecord
from robot_rl.data.recover import recover, recover_bag, Recovered
from robot_rl.data.transitions import derive_transitions, label_transitions
from robot_rl.errors import InvalidFile, Problem, UserError
from robot_rl.files import sync_folder, write_atomic
from robot_rl.schema import load_yaml
import yaml

ADVICE = 'remove the file to begin a new session'
_EPISODE = re.compile(r'\.?episode_(\d{6,12})(_recovered)?')


class Session:
    """Holds the folder's lock, the session's id and beginning, and the numbers of episodes.

    `sequence` counts the episodes that were ever published, without gaps; each is stored in its
    bag. `published` is how many of them are in the folder.
    """

    def __init__(self, root: Path, contract: Contract, on_event: Callable[[str, dict], None]):
        self.root, self._contract, self._on_event = root, contract, on_event
        self._lock = _lock(root)
        try:
            self.id, self.began = _session(root / 'session.yaml')
            for found in recover(root):
                self._tell(found)
            self.sequence = self.published = 0
            self._number_bags()
            self._last_name = max((_number(path) for folder in (root, root / DISCARDED)
                                   if folder.is_dir() for path in folder.iterdir()), default=0)
        except OSError as error:
            self._lock.close()
            raise UserError(f'{root}: {error}') from None
        except UserError:
            self._lock.close()
            raise

    def next_name(self) -> str:
        """Return the name of a new episode."""
        self._last_name += 1
        return f'episode_{self._last_name:06d}'

    def discard(self, folder: Path) -> Path:
        """Move a closed bag, and the original of a recovered one, away; return where it is.

        The original goes first: left alone by a kill it would be recovered anew at the next start.
        """
        (self.root / DISCARDED).mkdir(exist_ok=True)
        for name in (folder.name.removesuffix(RECOVERED), folder.name):
            if (self.root / name).exists():
                os.rename(self.root / name, self.root / DISCARDED / name)
        sync_folder(self.root)
        return self.root / DISCARDED / folder.name

    def mend(self, folder: Path, reason: str) -> EpisodeRecord | None:
        """Complete a copy of a bag that was cut short; return what it teaches, if anything."""
        found = recover_bag(folder, reason)
        self._tell(found)
        if not found.folder:
            return None
        try:
            if read_info(found.folder).custom_data.get('outcome') == 'discarded':
                self.discard(found.folder)
                return None
            self._give_number(found.folder)
            return self.read(found.folder)
        except (OSError, UserError) as error:
            self._on_event('unreadable', {'bag': str(folder), 'reason': str(error)})
            return None

    def read(self, folder: Path) -> EpisodeRecord | None:
        """Return a published episode from its bag, None if it is not one; raise UserError."""
        info = read_info(folder)
        if not info.complete or not self._owns(info.custom_data):
            return None
        steps = bag_steps(folder, self._contract)
        transitions = label_transitions(derive_transitions(steps, self._contract),
                                        info.custom_data.get('label', ''))
        if not transitions:
            return None
        return episode_record(folder.name, info.custom_data, steps, transitions, self.published)

    def close(self) -> None:
        """Let another recorder have the folder."""
        self._lock.close()

    def _owns(self, custom_data: dict[str, str]) -> bool:
        return (custom_data.get('session') == self.id
                and custom_data.get('sequence', '').isdecimal())

    def _tell(self, found: Recovered) -> None:
        if found.empty:     # out of the way, told once: there is nothing that could count
            self._on_event('empty', {'bag': str(self.discard(found.original)),
                                     'reason': found.reason})
            return
        self._on_event('recovered' if found.folder else 'unreadable', {
            'bag': str(found.original), 'messages': str(found.messages), 'reason': found.reason})

    def _number_bags(self) -> None:
        """Count the published bags, and number what was recovered or copied into the folder."""
        waiting = []
        for folder in find_bags(self.root):
            try:
                info = read_info(folder)
            except UserError as error:
                self._on_event('unreadable', {'bag': str(folder), 'reason': str(error)})
                continue
            if info.custom_data.get('outcome') == 'discarded':      # killed before the move
                self.discard(folder)
            elif self._owns(info.custom_data):
                self.sequence = max(self.sequence, int(info.custom_data['sequence']))
                self.published += 1
            elif info.complete and info.custom_data.get('transitions') != '0':
                waiting.append(folder)
        for folder in waiting:
            try:
                self._give_number(folder)
            except UserError as error:
                self._on_event('unreadable', {'bag': str(folder), 'reason': str(error)})

    def _give_number(self, folder: Path) -> None:
        count = len(bag_transitions(folder, self._contract))
        if count:
            set_custom_data(folder, session=self.id, sequence=str(self.sequence + 1),
                            transitions=str(count))
            self.sequence += 1
            self.published += 1


def _lock(root: Path) -> IO[str]:
    """Return the lock of a folder that nobody else records into, with our process id in it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = open(root / '.lock', 'a+')
    except OSError as error:
        raise UserError(f'{root}: {error.strerror}; name a folder that can be written') from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with lock:
            lock.seek(0)
            holder = lock.read(32).strip()
        other = f', process {holder},' if holder.isdecimal() else ''
        raise UserError(f'{root}: another recorder{other} writes into this folder; stop it, or '
                        'name another folder') from None
    with contextlib.suppress(OSError):      # a full disk: the lock holds without it
        lock.truncate(0)
        os.write(lock.fileno(), str(os.getpid()).encode())
    return lock


def _session(path: Path) -> tuple[str, int]:
    """Return the session's id and when it began, ns; 0 where an older version did not write it."""
    if not path.exists():
        write_atomic(path, yaml.safe_dump({'session': str(uuid.uuid4()), 'began': time.time_ns()}))
    document = load_yaml(path)
    found, began = document.get('session'), document.get('began', 0)
    if not isinstance(began, int):
        raise InvalidFile(path, [Problem('began', 'nanoseconds', repr(began), ADVICE)])
    try:
        return str(uuid.UUID(found)), began
    except (AttributeError, TypeError, ValueError):
        raise InvalidFile(path, [Problem('session', 'a uuid', repr(found), ADVICE)]) from None


def _number(path: Path) -> int:
    match = _EPISODE.fullmatch(path.name)
    return int(match[1]) if match else 0
