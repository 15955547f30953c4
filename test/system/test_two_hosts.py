"""The tests of two_hosts.py."""

from __future__ import annotations

from alone import run_with_second_host
import pytest


@pytest.mark.timeout(420)
def test_robot_and_learner_on_two_hosts():
    run_with_second_host('two_hosts.py', 400.0)
