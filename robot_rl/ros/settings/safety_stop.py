"""The parameters of safety_stop."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.ros.settings import limit, parameter


@dataclass(frozen=True)
class Settings:
    """Stops the robot when policy_server is dead, hung or cut off."""

    contract: str = parameter('', 'Contract file, or the name of a shipped contract')
    timeout: float = parameter(
        0.1, 'Silence of the heartbeat in wall time that stops the robot, s', low=0.02, high=60.0)
    repeat: float = parameter(0.0, 'Stop actions per second of silence; 0: at the control rate',
                              low=0.0, high=1000.0)
    warn_gap: float = limit(0.8, 'Longest silence of the heartbeat in a minute above which '
                            'diagnostics warn, as share of timeout')
