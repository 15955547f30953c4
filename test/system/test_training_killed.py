from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import dataclass, replace
import os
from pathlib import Path
import signal
import time

from made_bags import write_demonstrations
import numpy as np
import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions
from robot_rl.bringup import command, graph
from robot_rl.contract import load_contract
from robot_rl.fit_demonstrator import fit_demonstrator
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.nodes import demo_ingest, sim_bridge
from robot_rl.processes import Exit, Patience, Supervisor
from robot_rl.ros.operator import Operator
from robot_rl.ros.qos import LATCHED
from robot_rl.sim.train_explorers import train_explorers
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

REACH = load_contract('reach')
EXPLORE = {'explorers': 3, 'sim_steps': 6300, 'sim_updates': 280, 'worlds': 9, 'train_workers': 1}
FIT = {'chunk': 2, 'replan': 1, 'members': 2, 'fit_updates': 1500, 'fit_threads': 1}
KILLS = 2               # of each training
PATIENCE = 60.0         # s


@dataclass(frozen=True)
class Case:
    """A node that has something trained by a child."""

    node: str
    graph: str
    service: str
    word: str                   # its status tells of the training under this key
    topics: tuple[str, ...]
    parameters: dict
    root: str                   # the parameter that names the folder of its runs


@dataclass(frozen=True)
class Undisturbed:
    """What comes of a case that nobody disturbs, and the seconds that it takes."""

    case: Case
    artifacts: dict[str, bytes]
    seconds: float


@pytest.fixture(scope='module')
def explorers(tmp_path_factory) -> Undisturbed:
    use_threads(1)
    folder = tmp_path_factory.mktemp('undisturbed')
    settings, began = replace(sim_bridge.Settings(), **EXPLORE).training(), time.monotonic()
    found = train_explorers(REACH, settings, [].append, lambda: False, folder)
    case = Case('sim_bridge', 'sim', 'train_explorers', 'training', ('explorers', 'sim_optimal'),
                EXPLORE, 'explorers_dir')
    return Undisturbed(case, {'explorers': found.explorers, 'sim_optimal': found.sim_optimal},
                       time.monotonic() - began)


@pytest.fixture(scope='module')
def demonstrator(tmp_path_factory) -> Undisturbed:
    bags = write_demonstrations(tmp_path_factory.mktemp('bags'), REACH, 4)
    parameters = {**FIT, 'bags': [str(bags)]}
    order = replace(demo_ingest.Settings(), **{**FIT, 'bags': (str(bags),)}).order()
    folder, began = tmp_path_factory.mktemp('fits') / 'request', time.monotonic()
    found = fit_demonstrator(REACH, order.settings, order.bags, lambda *_, **__: None,
                             lambda: False, folder)
    case = Case('demo_ingest', 'ingest', 'fit', 'fit', ('demonstrator',), parameters, 'fit_dir')
    return Undisturbed(case, {'demonstrator': found.artifact}, time.monotonic() - began)


class Running:
    """The node as a process that is started again when it dies, and what it publishes."""

    def __init__(self, case: Case, root: Path):
        self.case, name = case, case.node
        parameters = {case.root: str(root / 'runs'), **case.parameters}
        spec = next(spec for spec in graph(case.graph, contract='reach',
                                           overrides={name: parameters}) if spec.name == name)
        self.exits: list[Exit] = []
        self.artifacts: dict[str, bytes] = {}
        with contextlib.ExitStack() as stack:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self.operator = Operator(lambda *_: None)
            stack.callback(self.operator.close)
            for topic in case.topics:
                self.operator.create_subscription(
                    UInt8MultiArray, topic, lambda message, topic=topic: self.artifacts.update(
                        {topic: bytes(message.data)}), LATCHED)
            self.supervisor = stack.enter_context(Supervisor(
                {name: command(spec)}, root / 'logs', respawn=True,
                on_exit=self.exits.append, patience=Patience(first_delay=0.1)))
            self.train = self.operator.create_client(Trigger, f'{name}/{case.service}')
            self.until(lambda: self.status and self.train.service_is_ready())
            self.close = stack.pop_all().close

    @property
    def status(self) -> dict[str, str]:
        return self.operator.status.get(self.case.node, {})

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; fail with what was last said."""
        assert self.operator.until(condition, PATIENCE), (self.status, self.exits)

    def wait(self, seconds: float) -> None:
        """Let a drawn time pass, or less where the training is done before."""
        self.operator.until(self.done, seconds)

    def done(self) -> bool:
        return self.status.get(self.case.word) == 'done'

    def children(self) -> list[int]:
        """Return the ids of the node's own children: the training process."""
        pid = self.supervisor.pids().get(self.case.node, 0)
        try:
            text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
        except OSError:
            return []
        return [int(word) for word in text.split()]

    def victim(self, name: str) -> int | None:
        """Return the process id of the child or of the node, None where it does not run."""
        found = self.children() if name == 'child' else [
            self.supervisor.pids().get(self.case.node)]
        return found[0] if found else None


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='needs Linux to find the child')
@pytest.mark.parametrize('seed', range(int(os.environ.get('ROBOT_RL_KILL_SEEDS', '1'))))
@pytest.mark.parametrize('name', ['child', 'node'])
@pytest.mark.parametrize('trained', ['explorers', 'demonstrator'])
def test_a_training_is_completed_to_the_same_bits_whoever_is_killed(request, tmp_path, trained,
                                                                    name, seed):
    undisturbed = request.getfixturevalue(trained)
    rng, killed = np.random.default_rng((seed, len(name))), 0
    with contextlib.closing(Running(undisturbed.case, tmp_path)) as running:
        asked = running.train.call_async(Trigger.Request())
        running.until(asked.done)
        assert asked.result().success
        for _ in range(KILLS):
            running.wait(rng.uniform(0.0, undisturbed.seconds / KILLS))
            victim = running.victim(name)
            if victim is None or running.done():
                continue
            os.kill(victim, signal.SIGKILL)
            killed += 1
            if name == 'node':
                running.operator.status.clear()
                running.artifacts.clear()
            running.until(lambda: running.victim(name) not in (None, victim) or running.done())
        running.until(lambda: running.done() and
                      len(running.artifacts) == len(undisturbed.artifacts))
        codes = [report.code for report in running.exits]
    assert killed > 0
    assert running.artifacts == undisturbed.artifacts
    for topic, artifact in undisturbed.artifacts.items():
        [path] = tmp_path.rglob(f'{topic}.safetensors')
        assert path.read_bytes() == artifact
    assert codes == ([-signal.SIGKILL] * killed if name == 'node' else [])
