"""A ROS domain that no other test process of this machine uses."""

from __future__ import annotations

import os
import socket

FIRST_PORT = 22_100     # a bound port is the lock: the system frees it however the process ends
HIGHEST_DOMAIN = 101    # above it DDS ports overlap with Linux's ephemeral ones


def claim_domain() -> socket.socket:
    """Set ROS_DOMAIN_ID for this process and its children; keep what is returned."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    for domain in range(HIGHEST_DOMAIN, 0, -1):
        lock = socket.socket()
        try:
            lock.bind(('127.0.0.1', FIRST_PORT + domain))
        except OSError:
            lock.close()
            continue
        os.environ['ROS_DOMAIN_ID'] = str(domain)
        return lock
    raise RuntimeError('every ROS domain of this machine is taken')
