from __future__ import annotations

import os
from pathlib import Path
import sys

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'ros'))      # graphs.py, isolation.py

from isolation import claim_domain  # noqa: E402, I100

pytest.importorskip('rclpy', reason='make setup installs it')
LOCK = claim_domain()       # before any context is made
LOCKS_OF_DEMOS = []


@pytest.fixture
def own_domain(monkeypatch):
    """Give a demo a domain that no test has used: a killed node stays in one for 20 s."""
    monkeypatch.setenv('ROS_DOMAIN_ID', os.environ['ROS_DOMAIN_ID'])    # and back afterwards
    LOCKS_OF_DEMOS.append(claim_domain())
