from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import replace
import os
from pathlib import Path
import signal
import time

import numpy as np
import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions
from robot_rl.bringup import command, graph
from robot_rl.contract import load_contract
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.nodes.sim_bridge import Settings
from robot_rl.processes import Exit, Patience, Supervisor
from robot_rl.ros.operator import Operator
from robot_rl.ros.qos import LATCHED
from robot_rl.sim.train_explorers import train_explorers
from robot_rl.sim.training_run import EXPLORERS, run_folder, run_identity, SIM_OPTIMAL
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

REACH = load_contract('reach')
SMALL = {'explorers': 3, 'sim_steps': 6300, 'sim_updates': 280, 'worlds': 9, 'train_workers': 1}
SETTINGS = replace(Settings(), **SMALL).training()
ARTIFACTS = {'explorers': EXPLORERS, 'sim_optimal': SIM_OPTIMAL}
KILLS = 2               # of each training
PATIENCE = 60.0         # s


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory) -> tuple[dict[str, bytes], float]:
    """Return the artifacts of a run that nobody disturbs, and the seconds that it takes."""
    use_threads(1)
    folder = tmp_path_factory.mktemp('undisturbed')
    began = time.monotonic()
    train_explorers(REACH, SETTINGS, [].append, lambda: False, folder)
    return {name: (folder / file).read_bytes() for name, file in ARTIFACTS.items()}, (
        time.monotonic() - began)


class Twin:
    """sim_bridge as a process that is started again when it dies, and what it publishes."""

    def __init__(self, root: Path):
        parameters = {'explorers_dir': str(root), **SMALL}
        spec = next(spec for spec in graph('sim', contract='reach',
                                           overrides={'sim_bridge': parameters})
                    if spec.name == 'sim_bridge')
        self.folder = run_folder(root, run_identity(REACH, SETTINGS))
        self.exits: list[Exit] = []
        self.artifacts: dict[str, bytes] = {}
        with contextlib.ExitStack() as stack:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self.operator = Operator(lambda *_: None)
            stack.callback(self.operator.close)
            for name in ARTIFACTS:
                self.operator.create_subscription(
                    UInt8MultiArray, name, lambda message, name=name: self.artifacts.update(
                        {name: bytes(message.data)}), LATCHED)
            self.supervisor = stack.enter_context(Supervisor(
                {'sim_bridge': command(spec)}, root / 'logs', respawn=True,
                on_exit=self.exits.append, patience=Patience(first_delay=0.1)))
            self.train = self.operator.create_client(Trigger, 'sim_bridge/train_explorers')
            self.until(lambda: self.status and self.train.service_is_ready())
            self.close = stack.pop_all().close

    @property
    def status(self) -> dict[str, str]:
        return self.operator.status.get('sim_bridge', {})

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; fail with what was last said."""
        assert self.operator.until(condition, PATIENCE), (self.status, self.exits)

    def wait(self, seconds: float) -> None:
        """Let a drawn time pass, or less where the training is done before."""
        self.operator.until(self.done, seconds)

    def done(self) -> bool:
        return self.status.get('training') == 'done'

    def children(self) -> list[int]:
        """Return the ids of the node's own children: the training process."""
        pid = self.supervisor.pids().get('sim_bridge', 0)
        try:
            text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
        except OSError:
            return []
        return [int(word) for word in text.split()]

    def victim(self, name: str) -> int | None:
        """Return the process id of the training or of the node, None where it does not run."""
        found = self.children() if name == 'training' else [
            self.supervisor.pids().get('sim_bridge')]
        return found[0] if found else None


@pytest.fixture
def twin(tmp_path):
    twin = Twin(tmp_path)
    yield twin
    twin.close()


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='needs Linux to find the child')
@pytest.mark.parametrize('seed', range(int(os.environ.get('ROBOT_RL_KILL_SEEDS', '1'))))
@pytest.mark.parametrize('name', ['training', 'sim_bridge'])
def test_a_training_is_completed_to_the_same_bits_whoever_is_killed(twin, undisturbed, name, seed):
    expected, seconds = undisturbed
    rng, killed = np.random.default_rng((seed, len(name))), 0
    asked = twin.train.call_async(Trigger.Request())
    twin.until(asked.done)
    assert asked.result().success
    for _ in range(KILLS):
        twin.wait(rng.uniform(0.0, seconds))
        victim = twin.victim(name)
        if victim is None or twin.done():
            continue
        os.kill(victim, signal.SIGKILL)
        killed += 1
        if name == 'sim_bridge':
            twin.operator.status.clear()
            twin.artifacts.clear()
        twin.until(lambda: twin.victim(name) not in (None, victim) or twin.done())
    twin.until(lambda: twin.done() and len(twin.artifacts) == len(ARTIFACTS))
    assert killed > 0
    assert twin.artifacts == expected
    assert expected == {name: (twin.folder / file).read_bytes()
                        for name, file in ARTIFACTS.items()}
    codes = [report.code for report in twin.exits]
    assert codes == ([-signal.SIGKILL] * killed if name == 'sim_bridge' else [])
