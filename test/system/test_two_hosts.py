"""two_hosts.py in a process of its own: the middleware looks for network devices only once."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys

import pytest


@pytest.mark.timeout(420)
def test_robot_and_learner_on_two_hosts():
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-rs', '-p', 'no:cacheprovider',
         Path(__file__).with_name('two_hosts.py')], capture_output=True, text=True, timeout=400.0)
    if result.returncode == 0 and ' passed' not in result.stdout:
        pytest.skip(result.stdout[-500:])
    assert result.returncode == 0, result.stdout
