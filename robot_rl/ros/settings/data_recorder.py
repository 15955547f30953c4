"""The parameters of data_recorder."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.ros.settings import limit, parameter


@dataclass(frozen=True)
class Settings:
    """Writes one rosbag2 MCAP bag per episode and sends its transitions once it is on disk."""

    contract: str = parameter('', 'Contract file, or the name of a shipped contract')
    bag_root: str = parameter('bags', 'Folder of the bags, one per episode; one per session')
    flush_period: float = parameter(0.5, 'Longest time a message waits in memory, s',
                                    low=0.01, high=60.0)
    fsync_period: float = parameter(5.0, 'Longest time it waits for the disk, s',
                                    low=0.1, high=600.0)
    queue_bytes: int = parameter(256 << 20, 'Bytes waiting to be written before messages drop',
                                 low=1 << 16, high=(1 << 31) - 1)
    min_free_bytes: int = parameter(200_000_000, 'Free disk below which no episode starts, bytes',
                                    low=0, high=(1 << 31) - 1)
    warn_rate: float = limit(0.9, 'Rate of an observed topic below which diagnostics warn, as '
                             'share of what the contract needs')
    error_rate: float = limit(0.5, 'The same for an error')
    warn_gap: float = limit(1.0, 'Longest silence of an observed topic in a minute above which '
                            'they warn, as share of its max_age')
    warn_queue: float = limit(0.25, 'Share of queue_bytes in use above which they warn')
    error_queue: float = limit(0.75, 'The same for an error')
    warn_hours: float = limit(2.0, 'Hours until the disk has only min_free_bytes left, at the '
                              'present rate, below which they warn')
    error_hours: float = limit(0.25, 'The same for an error')
