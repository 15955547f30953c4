"""watchdog.py in a process of its own: the middleware looks for network devices only once."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_a_dead_or_hung_policy_server_stops_the_robot():
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider',
         Path(__file__).with_name('watchdog.py')], capture_output=True, text=True, timeout=280.0)
    assert result.returncode == 0, result.stdout
    assert ' passed' in result.stdout
