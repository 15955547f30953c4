"""A disk that is really full, or really read-only: a file system of its own for one process."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

ON_IT = 'mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@"'
FREE_AGAIN = 'ballast'


def run_on_small_disk(folder: Path, size: str, script: Path, *arguments) -> str:
    """Run a script with a new file system of `size` on the folder; return what it printed.

    Skips where a user may not have mounts of his own. Nobody else sees the file system, and it
    ends with the script.
    """
    folder.mkdir()
    own = ['unshare', '-rm', 'sh', '-c', ON_IT, size, str(folder)]
    try:
        allowed = subprocess.run([*own, 'true'], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip('needs unshare and mounts of its own')
    done = subprocess.run([*own, sys.executable, str(script), str(folder), *arguments],
                          capture_output=True, text=True, timeout=100,
                          env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fill(folder: Path) -> Path:
    """Take all the room there is; return the file whose end gives it back."""
    ballast = folder / FREE_AGAIN
    with open(ballast, 'wb', buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return ballast
