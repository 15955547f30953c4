"""What trains lets the control loop go first, on a computer that has no core to spare for it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
import threading
import time

NICENESS = 5                # 1 of 4 shares beside one that is not nice
AUTOGROUP = Path('/proc/self/autogroup')
TRIES, PAUSE = 20, 0.1      # s: the kernel takes one such wish per 0.1 s, of all processes


def lower_priority() -> None:
    """Lower the priority of the calling thread and of those that it starts.

    Where Linux has autogroups, sessions share the processors first, and niceness counts within
    one only (sched(7)). So a process that leads a session lowers that, too; the session of a
    terminal or of `ros2 launch` stays as it is, for the control loop is in it.
    """
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread,
                   min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):      # no autogroups here
            _lower_session()


def _lower_session() -> None:
    for _ in range(TRIES):
        with contextlib.suppress(BlockingIOError):
            AUTOGROUP.write_text(str(NICENESS))
            return
        time.sleep(PAUSE)
