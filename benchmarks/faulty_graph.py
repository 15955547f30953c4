"""The simulated graph in real time, and a hand on everything in it that may break.

The benchmark stands where the robot's drivers and the people stand: surroundings.py. Faults are in
fault_kinds.py, what is made of it in faults.py.

Where this machine can have two hosts (namespaces.py), the graph is on one of them, and nodes may
be away, on the other: nobody else hears it, and the middleware works as it does on a robot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
from dataclasses import replace
import os
from pathlib import Path
import signal
import time

from fault_account import WholeBags
from namespaces import Cable, two_hosts
import rclpy
from rclpy.signals import SignalHandlerOptions
from robot_rl.bringup import command, graph, NodeSpec
from robot_rl.bundle import unpack
from robot_rl.contract import Contract, load_contract
from robot_rl.errors import UserError
from robot_rl.paths import contract_path
from robot_rl.processes import Exit, Patience, Supervisor
from robot_rl.ros.operator import Operator
from surroundings import at_the_twin, Event, Surroundings
import yaml

START, RECOVERY, SETTLE = 60.0, 30.0, 60.0      # s
TIMEOUT = 0.3           # s, of the e-stop and the dead-man's handle
MAX_AGE = 0.22          # s, of observations: a busy machine holds one up for longer than a robot
LEAST = 4               # steps in a row that show that the robot acts again
ASK_AGAIN = 0.3         # s between requests to run
LAST_WORDS = 0.1        # s in which the last messages of a killed node arrive
AT_ONCE = Patience(first_delay=0.1, longest_delay=0.1, restarts=10_000)
SETTINGS = {
    'safety_stop': {'timeout': 0.1},        # as with a robot, not with a simulator
    'policy_server': {'mode': 'random', 'reset_timeout': 2.0, 'late_timeout': 0.0},
    'data_recorder': {'min_free_bytes': 1 << 20},
    'sac_learner': {'width': 16, 'batch': 32, 'start_transitions': 50, 'utd_ratio': 0.5,
                    'autotrain': True, 'checkpoint_period': 1_000_000},
}


def write_contract(path: Path) -> Contract:
    """Write contract `reach` with people and limits, and too far from the goal to succeed."""
    document = yaml.safe_load(contract_path('reach').read_text(encoding='utf-8'))
    for entry in document['observation']:
        entry['max_age'] = MAX_AGE
    document['action']['max_rate'] = [60.0, 60.0]       # rad/s per second: three per step
    document['episode']['horizon'] = 200
    document['simulation']['reset'] = {'shoulder': [-2.0, -1.8], 'elbow': [0.3, 0.8]}
    document['safety'] = {
        'limits': {'tip.point.x': [-0.45, 0.45]},
        **{role: {'topic': role, 'type': 'std_msgs/msg/Bool', 'timeout': TIMEOUT}
           for role in ('e_stop', 'dead_man')}}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding='utf-8')
    return load_contract(str(path))


class FaultyGraph:
    """The nodes of kind `sim`, an operator who clears stops, and the surroundings."""

    def __init__(self, folder: Path, seed: int, hosts: bool, away: tuple[str, ...] = ()):
        self.folder, self.bags = folder, folder / 'bags'
        self.checkpoints = folder / 'checkpoints'
        self._cable: Cable | None = None        # to the second host
        folder.mkdir(parents=True, exist_ok=True)
        self.contract = write_contract(folder / 'contract.yaml')
        self.exits: list[Exit] = []
        self.cleared = 0                # ns, when a stop was first cleared in `recover`
        self._asked = 0.0
        self._killed: dict[str, int] = {}               # node -> process id
        self._actor = b''
        self._whole = WholeBags(self.bags, self.contract)
        specs = graph('sim', contract=str(self.contract.file), run_dir=str(folder), seed=seed,
                      overrides=SETTINGS)
        self.nodes = tuple(spec.name for spec in specs)
        with contextlib.ExitStack() as stack:
            prefix = stack.enter_context(self._second_host()) if hosts else []
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self.operator = Operator(lambda kind, values: None)
            stack.callback(self.operator.close)
            self.around = Surroundings(self.contract, self.nodes)
            stack.callback(self.around.close)
            self.supervisor = stack.enter_context(Supervisor(
                {spec.name: prefix * (spec.name in away) + command(self._behind(spec))
                 for spec in specs}, folder / 'logs', respawn=True, patience=AT_ONCE,
                on_exit=self._on_exit))
            self.must(lambda: len(self.operator.status) == len(specs), START)
            self._cleanup = stack.pop_all()

    @contextlib.contextmanager
    def _second_host(self) -> Iterator[list[str]]:
        """Be on the first of two hosts; gives what begins the argv of processes on the second.

        Their subnet is this cable. LOCALHOST would make rmw_fastrtps use shared memory everywhere.
        """
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'SUBNET'
        with two_hosts() as (robot, other, self._cable), robot.entered():
            yield other.prefix

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[int]:
        """Cut the cable to the second host for as long as the block lasts; gives when, ns."""
        self._cable.quality.up = False
        try:
            yield time.time_ns()
        finally:
            self._cable.quality.up = True

    def _behind(self, spec: NodeSpec) -> NodeSpec:
        """Put the twin behind the surroundings."""
        if spec.name != 'sim_bridge':
            return spec
        topics = [entry.topic for entry in self.contract.observations] + ['/clock']
        return replace(spec, remappings=(*spec.remappings,
                                         *((topic, at_the_twin(topic)) for topic in topics)))

    def _on_exit(self, report: Exit) -> None:
        self.exits.append(report)
        self.note(report.name, f'exit {report.code}')

    def must(self, condition: Callable[[], object], seconds: float = RECOVERY) -> None:
        """Wait for a condition; raise UserError where it never holds."""
        if not self.operator.until(condition, seconds):
            raise UserError(f'not there after {seconds:g} s: {self.said()}; ended: '
                            f'{[(end.name, end.code) for end in self.exits[-5:]]}; '
                            f'logs in {self.folder / "logs"}')

    def said(self) -> dict[str, str]:
        """Return what the nodes last said of themselves."""
        return {name: status['text'] for name, status in self.operator.status.items()}

    def says(self, node: str, text: str) -> bool:
        return text in self.operator.status.get(node, {}).get('text', '')

    def recover(self) -> bool:
        """Clear stops and run again, until the robot acts, is watched, and all is recorded."""
        begun, self.cleared = len(self.around.steps), 0

        def works() -> bool:
            new = self.around.steps[begun:]
            return (len(new) >= LEAST and new[-1].step.index >= LEAST - 1
                    and set(self.supervisor.pids()) == set(self.nodes) == set(self.operator.status)
                    and self.operator.status['safety_stop']['armed'] == str(True)
                    and self.around.recorded == str(new[-1].step.episode)
                    and not any(self.says(name, 'stopped') for name in self.nodes))

        return self.operator.until(works, RECOVERY, self._attend)

    def _attend(self) -> None:
        for name in ('safety_stop', 'policy_server'):
            if self.says(name, 'call clear_stop'):
                with contextlib.suppress(UserError):    # refused while the cause lasts
                    self.operator.trigger(f'{name}/clear_stop')
                    self.cleared = self.cleared or time.time_ns()
        text = self.operator.status.get('policy_server', {}).get('text', '')
        held = self.says('safety_stop', 'stopped')
        if text.endswith('idle') and not held and time.monotonic() - self._asked > ASK_AGAIN:
            self._asked = time.monotonic()
            with contextlib.suppress(UserError):
                self.operator.switch('policy_server/run', True)

    def note(self, node: str, word: str) -> None:
        """Take down as an event what a node tells in another way."""
        self.around.events.append(Event(time.time_ns(), node, False, word))

    def told(self, since: int) -> list[Event]:
        """Return what the nodes told since an instant in ns, oldest first."""
        return [event for event in self.around.events[:] if event.at >= since]

    def actor(self) -> bytes:
        """Return the newest whole policy that was published."""
        with contextlib.suppress(UserError):        # ours, as a fault
            unpack(self.operator.actor, 'actor')
            self._actor = self.operator.actor
        return self._actor

    def kill(self, *names: str) -> int:
        """Kill nodes; return when, ns. A status is that of the next one from now on."""
        pids, now = self.supervisor.pids(), time.time_ns()
        for name in names:
            os.kill(pids[name], signal.SIGKILL)
        self._killed = {name: pids[name] for name in names}
        self.operator.until(lambda: False, LAST_WORDS)
        for name in names:
            self.operator.status.pop(name, None)
        if {'data_recorder', 'policy_server'} & set(names):
            self.around.recorded = ''
        return now

    def revived(self) -> None:
        """Wait until all that was killed runs again."""
        self.must(lambda: all(self.supervisor.pids().get(name, pid) != pid
                              for name, pid in self._killed.items()))

    @contextlib.contextmanager
    def hung(self, name: str) -> Iterator[int]:
        """Stop a node's process for as long as the block lasts; gives when, ns."""
        pid, now = self.supervisor.pids()[name], time.time_ns()
        os.kill(pid, signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, pid, os.WSTOPPED)       # from here on no thread of it runs
            yield now
        finally:
            if self.supervisor.pids().get(name) == pid:     # else it was killed meanwhile
                os.kill(pid, signal.SIGCONT)

    def first_stop(self, since: int) -> int | None:
        """Return when the first stop action after `since` came, ns; None where none came."""
        return next((at for at, values in self.around.actions
                     if at > since and not values.any()), None)

    def moved(self, since: int) -> int:
        """Count actions after a stop at `since` ns, before it was cleared, that were no stops."""
        until = self.cleared or time.time_ns()
        return sum(bool(since < at < until and values.any()) for at, values in self.around.actions)

    def settle(self) -> dict:
        """Stop the robot, wait until all is recorded and learned from, and count it."""
        self.operator.trigger('policy_server/stop')
        self.operator.until(self._settled, SETTLE)
        bags = self._whole.bags()
        return {'bags': [bag.steps for bag in bags],
                'recorded': sum(bag.transitions for bag in bags),
                'received': self.operator.number('sac_learner', 'transitions_received')}

    def _settled(self) -> bool:
        """Read what is new; tell whether bags, recorder and learner agree."""
        if self.operator.status.get('data_recorder', {}).get('bag', '?'):
            return False
        bags, number = self._whole.bags(), self.operator.number
        # A recorder that came back may not have found the server yet, which holds the rest for it.
        newest = self.around.steps[-1].step.stamp if self.around.steps else None
        ends = {bag.steps[-1].stamp for bag in bags if bag.steps}
        counts = [bag.transitions for bag in bags if bag.transitions]
        return ((newest is None or newest in ends)
                and number('sac_learner', 'missing') == 0
                and number('sac_learner', 'transitions_received') == sum(counts)
                and number('data_recorder', 'published') == len(counts))

    def close(self) -> None:
        self._cleanup.close()
