"""The executables of the nodes: they answer `--help` before they import what a node needs."""

from __future__ import annotations

from functools import partial
from importlib import import_module

from robot_rl.ros.help import asked_for_help, help_text
from robot_rl.ros.settings import settings_of


def start(name: str) -> int:
    """Run a node, or say what it does; return the exit code."""
    if asked_for_help():        # torch alone takes seconds
        print(help_text(settings_of(name)))
        return 0
    return import_module(f'robot_rl.nodes.{name}').main()


policy_server = partial(start, 'policy_server')
safety_stop = partial(start, 'safety_stop')
data_recorder = partial(start, 'data_recorder')
sac_learner = partial(start, 'sac_learner')
sim_bridge = partial(start, 'sim_bridge')
demo_ingest = partial(start, 'demo_ingest')
