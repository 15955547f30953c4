from __future__ import annotations

import os
from pathlib import Path
import signal
import time

from every_node import folders, NODES
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from robot_rl.bringup import command, NodeSpec
from robot_rl.processes import Supervisor
from robot_rl.ros.codecs import interface_class
from robot_rl.ros.qos import LATCHED


@pytest.fixture(scope='module')
def running(tmp_path_factory):
    """Start every node alone, each in its own process; return their supervisors and ends."""
    root = tmp_path_factory.mktemp('nodes')
    commands = {name: command(NodeSpec(name, name, '', {
        'contract': 'reach', **folders(name, root)}, (), '')) for name in NODES}
    exits: dict = {}
    heard: set[str] = set()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    probe, executor = Node('probe'), SingleThreadedExecutor()
    executor.add_node(probe)
    for name in NODES:
        probe.create_subscription(interface_class('diagnostic_msgs/msg/DiagnosticArray'),
                                  f'{name}/status', lambda _, name=name: heard.add(name), LATCHED)
    try:
        with Supervisor(commands, root / 'logs',
                        on_exit=lambda report: exits.update({report.name: report})) as supervisor:
            deadline = time.monotonic() + 60.0
            while heard != set(NODES):
                assert time.monotonic() < deadline, (heard, exits)
                executor.spin_once(timeout_sec=0.1)
            yield supervisor, exits, Path(root / 'logs')
    finally:
        executor.shutdown()
        probe.destroy_node()
        rclpy.try_shutdown()


@pytest.mark.parametrize('name', NODES)
def test_ctrl_c_ends_a_node_with_0_and_no_traceback(running, name):
    supervisor, exits, logs = running
    os.kill(supervisor.pids()[name], signal.SIGINT)
    deadline = time.monotonic() + 10.0
    while name not in exits:
        assert time.monotonic() < deadline, 'it does not end'
        time.sleep(0.02)
    assert exits[name].code == 0
    assert 'Traceback' not in (logs / f'{name}.log').read_text()
