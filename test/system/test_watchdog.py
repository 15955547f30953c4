"""The tests of watchdog.py."""

from __future__ import annotations

from alone import run_alone
import pytest


@pytest.mark.timeout(300)
def test_a_dead_or_hung_policy_server_stops_the_robot():
    result = run_alone('watchdog.py', 280.0)
    assert result.returncode == 0, result.stdout
    assert ' passed' in result.stdout
