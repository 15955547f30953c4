"""How the recorder treats memory, disk and patience."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RecorderSettings:
    """When data becomes durable, and the bounds of memory, disk and patience."""

    flush_period: float = 0.5               # s, what a killed process may lose
    fsync_period: float = 5.0               # s, what a power cut may lose
    queue_bytes: int = 256 << 20            # memory; beyond it messages are dropped and counted
    min_free_bytes: int = 200_000_000       # disk; below it episodes end and none begins
    settle: float = 0.05                    # s after the last step, for trailing messages
    final_step_timeout: float = 2.0         # s to wait for the last step after a human's verdict
    idle_timeout: float = 10.0              # s without a step until an episode is given up
