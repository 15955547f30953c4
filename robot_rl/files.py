"""Files: a crash at any moment leaves the old one or the new one; what is read is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import tempfile

from robot_rl.errors import FULL, UserError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write new, fsync, rename, fsync the folder; raise OSError and leave nothing new behind."""
    temporary = path.with_name(path.name + '.tmp')
    try:
        with open(temporary, 'wb') as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)       # the room on a full disk is somebody else's
    sync_folder(path.parent)


def refuse_unwritable(folder: Path) -> None:
    """Make a folder, and a file in it that is gone at once; raise UserError where neither can be.

    A full disk is no reason: room may come back.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if error.errno not in FULL:
            raise UserError(f'{folder}: {error.strerror}; name a folder that can be written'
                            ) from None


def read_up_to(path: Path, most: int) -> bytes:
    """Return the bytes of a file, at most one more than `most`: whoever decodes them refuses that.

    Raises UserError naming a file that cannot be read.
    """
    try:
        with open(path, 'rb') as file:
            return file.read(most + 1)
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror}') from None


def sync_folder(folder: Path) -> None:
    """Make a rename inside the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def new_path(path: Path) -> Iterator[Path]:
    """Give a place beside `path` for a file or folder, which has that name once it is complete.

    What fails in between leaves nothing; what a crash left is begun anew. Raises UserError where
    the path exists.
    """
    if path.exists():
        raise UserError(f'{path}: exists already, recordings are never overwritten; '
                        f'name a new {"folder" if path.is_dir() else "file"}')
    unfinished = path.with_name(f'.{path.name}.unfinished')
    _remove(unfinished)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield unfinished
        for part in [*unfinished.rglob('*'), unfinished]:
            sync_folder(part)           # a file's bytes as well
        os.rename(unfinished, path)
    finally:
        _remove(unfinished)
    sync_folder(path.absolute().parent)


def _remove(unfinished: Path) -> None:
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    else:
        unfinished.unlink(missing_ok=True)
