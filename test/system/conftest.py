from __future__ import annotations

from pathlib import Path
import sys

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'ros'))      # graphs.py, isolation.py

from isolation import claim_domain  # noqa: E402, I100

pytest.importorskip('rclpy', reason='make setup installs it')
LOCK = claim_domain()       # before any context is made
