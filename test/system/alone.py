"""A file of tests in a process of its own: the middleware looks for network devices only once."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest


def run_alone(name: str, seconds: float) -> subprocess.CompletedProcess:
    """Run the tests of a file of this folder; its output says why some were skipped."""
    return subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-rs', '-p', 'no:cacheprovider',
         Path(__file__).with_name(name)], capture_output=True, text=True, timeout=seconds)


def run_with_second_host(name: str, seconds: float) -> None:
    """Run the tests of a file of this folder; skip where this machine can have no second host."""
    result = run_alone(name, seconds)
    if result.returncode == 0 and ' passed' not in result.stdout:
        pytest.skip(result.stdout[-500:])
    assert result.returncode == 0, result.stdout
