"""A training run on disk: which run a folder holds, who works in it, what was asked.

Each run has a folder of its own, named after everything that its result depends on: other
settings or another input are another folder, so nothing is ever overwritten, and asking for the
same again finds what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
import fcntl
import hashlib
import json
from pathlib import Path
import time

from robot_rl.errors import UserError
from robot_rl.files import write_atomic

REQUEST, LOCK = 'request.json', 'lock'
PHASES = ('training', 'cancelled', 'failed', 'done')
MAX_REQUEST = 1 << 20       # bytes
LOCK_WAIT = 10.0            # s for a process to end whose parent was killed; it takes far less


@dataclass(frozen=True)
class Request:
    """What became of a run that somebody asked for."""

    phase: str              # one of PHASES; training: it is to go on
    reason: str
    run: dict               # its identity


def run_folder(root: Path, identity: dict) -> Path:
    """Return the folder of a run."""
    text = json.dumps(identity, sort_keys=True)
    return root / hashlib.sha256(text.encode()).hexdigest()[:12]


def check_identity(expected: dict, found, path: Path) -> None:
    """Raise UserError naming the first difference, where a file is of another run."""
    found = found if isinstance(found, dict) else {}
    for key, value in expected.items():
        if found.get(key) != value:
            raise UserError(f'{path}: {key}: expected {value}, found {found.get(key)}; '
                            'train with the same again, or in another folder')


def write_request(folder: Path, request: Request) -> None:
    """Remember a request beyond the life of this process; raise OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / REQUEST, json.dumps(asdict(request), indent=1) + '\n')


def read_request(folder: Path) -> Request | None:
    """Return what was asked for in a folder, None for nothing; raise UserError."""
    path = folder / REQUEST
    if not path.is_file():
        return None
    try:
        with open(path, 'rb') as file:
            found = Request(**json.loads(file.read(MAX_REQUEST)))
        if found.phase not in PHASES:
            raise ValueError(f'phase {found.phase!r}')
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f'{path}: expected a request for training, found {error}; '
                        'move it away') from None
    return found


@contextmanager
def alone_in(folder: Path, patience: float = LOCK_WAIT) -> Iterator[None]:
    """Hold a folder, made if need be; raise UserError where another process holds it.

    The system gives it free when this process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with open(folder / LOCK, 'ab') as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(f'{folder}: another process trains in this folder; wait for '
                                    'its end, or cancel it') from None
                time.sleep(0.05)
        yield
