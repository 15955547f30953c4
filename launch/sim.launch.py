"""The whole graph with the MuJoCo twin in place of the robot."""

from __future__ import annotations

from robot_rl.ros.launching import graph_description


def generate_launch_description():
    return graph_description('sim')
