"""The graph on the robot: act, record, learn; the robot's own drivers run elsewhere."""

from __future__ import annotations

from robot_rl.ros.launching import graph_description


def generate_launch_description():
    return graph_description('robot')
