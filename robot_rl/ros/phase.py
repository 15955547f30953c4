"""What policy_server is doing, as its status says it."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """One after the other, from idle to idle; or inactive."""

    INACTIVE = 'inactive'
    IDLE = 'idle'
    RESETTING = 'resetting the world'
    WAITING = 'waiting for fresh observations'
    RUNNING = 'running'
    SETTLING = 'settling'
