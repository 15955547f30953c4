"""Demonstration bags to a demonstrator policy."""

from __future__ import annotations

from robot_rl.ros.launching import graph_description


def generate_launch_description():
    return graph_description('ingest')
