"""The simulated graph in real time, and a hand on everything in it that may break.

The benchmark stands where the robot's drivers and the people stand: what the twin observes passes
through `Surroundings`, which may hold it back, spoil it or shift its time, and which hears what
is sent. Faults are in fault_kinds.py, what is made of it in faults.py.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import dataclass, replace
from functools import partial
import os
from pathlib import Path
import signal
import threading
import time

from fault_account import Seen
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from robot_rl.bringup import command, graph, NodeSpec
from robot_rl.bundle import unpack
from robot_rl.contract import Contract, load_contract
from robot_rl.data.bag import bag_steps, bag_transitions, find_bags, read_info
from robot_rl.data.steps import BadStep, Step, step_from_message
from robot_rl.errors import UserError
from robot_rl.fields import BadMessage
from robot_rl.paths import contract_path
from robot_rl.processes import Exit, Patience, Supervisor
from robot_rl.ros.codecs import action_values, interface_class, status_values
from robot_rl.ros.operator import Operator
from robot_rl.ros.qos import DRIVER, EVENTS, STEPS, STREAM
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, Float64MultiArray
import yaml

START, RECOVERY, SETTLE = 60.0, 30.0, 60.0      # s
PULSE = 0.05            # s between messages of the e-stop and the dead-man's handle
TIMEOUT = 0.3           # s, of both
MAX_AGE = 0.22          # s, of observations: a busy machine holds one up for longer than a robot
SHIFT = 10_000 * 10**9  # ns from the twin's time to the graph's: time may jump back as well
LEAST = 4               # steps in a row that show that the robot acts again
ASK_AGAIN = 0.3         # s between requests to run
LAST_WORDS = 0.1        # s in which the last messages of a killed node arrive
AT_ONCE = Patience(first_delay=0.1, longest_delay=0.1, restarts=10_000)
SETTINGS = {
    'policy_server': {'mode': 'random', 'reset_timeout': 2.0},
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


@dataclass(frozen=True)
class Event:
    """What a node told: the reason of a stop, else the kind of event."""

    at: int         # ns, system time
    node: str
    stop: bool
    word: str


class Surroundings(Node):
    """Drivers, people and a witness, in a thread of their own; lists only grow."""

    def __init__(self, contract: Contract, nodes: tuple[str, ...]):
        super().__init__('surroundings')
        self.contract = contract
        self.spoil: dict[str, Callable] = {}    # observation -> its message to another, or None
        self.spoiled: dict[str, int] = {}       # observation -> ns, its first one sent so
        self.passed: dict[str, int] = {}        # observation -> ns, the twin's last good one
        self.last: dict[str, object] = {}       # observation -> newest message passed on
        self.shift, self.shifted = SHIFT, 0     # ns; when a new shift was first sent, ns
        # What people say over and over; None: nothing.
        self.said: dict[str, bool | None] = {'e_stop': False, 'dead_man': True}
        self.said_at = {'e_stop': 0, 'dead_man': 0}     # ns
        self.steps: list[Seen] = []
        self.actions: list[tuple[int, np.ndarray]] = []     # (ns, values)
        self.outside = 0                        # actions that the contract does not allow
        self.events: list[Event] = []
        self._shift_sent = SHIFT
        self.senders = {}
        for entry in contract.observations:
            self._relay(entry.name, interface_class(entry.type), entry.topic)
        self._relay('clock', Clock, '/clock')
        self._people = {role: self.create_publisher(Bool, role, DRIVER) for role in self.said}
        self.create_timer(PULSE, self._pulse)
        self.create_subscription(Float64MultiArray, 'policy_server/steps', self._on_step, STEPS)
        self.create_subscription(interface_class(contract.action.type), contract.action.topic,
                                 self._on_action, STREAM)
        for name in nodes:
            self.create_subscription(
                interface_class('diagnostic_msgs/msg/DiagnosticArray'), f'{name}/events',
                partial(self._on_events, name), EVENTS)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._spin, name='surroundings', daemon=True)
        self._thread.start()

    def say(self, role: str, value: bool | None) -> int:
        """Have a person press, hold, let go or fall silent; return when, ns."""
        self.said[role] = value
        now = time.time_ns()
        self._pulse()
        return now

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _relay(self, name: str, kind: type, topic: str) -> None:
        self.senders[name] = self.create_publisher(kind, topic, DRIVER)
        self.create_subscription(kind, at_the_twin(topic), partial(self._pass_on, name), DRIVER)

    def _pass_on(self, name: str, message, info: dict) -> None:
        if self.shift != self._shift_sent:
            self._shift_sent, self.shifted = self.shift, time.time_ns()
        stamp = message.clock if name == 'clock' else message.header.stamp
        stamp.sec, stamp.nanosec = divmod(
            stamp.sec * 10**9 + stamp.nanosec + self.shift, 10**9)
        spoil = self.spoil.get(name)
        if spoil:
            message = spoil(message)
            self.spoiled.setdefault(name, time.time_ns())
        else:
            self.passed[name] = info['source_timestamp']
            self.last[name] = message
        if message is not None:
            self.senders[name].publish(message)

    def _pulse(self) -> None:
        for role, publisher in self._people.items():
            value = self.said[role]
            if value is not None:
                publisher.publish(Bool(data=value))
                self.said_at[role] = time.time_ns()

    def _on_step(self, message) -> None:
        sizes = len(self.contract.layout), len(self.contract.action.layout)
        with contextlib.suppress(BadStep):      # our own, as a fault
            self.steps.append(Seen(time.time_ns(), step_from_message(message, *sizes)))

    def _on_action(self, message, info: dict) -> None:
        action = self.contract.action
        try:
            values = action_values(action, message)
        except BadMessage:
            self.outside += 1
            return
        self.outside += not ((values >= action.low) & (values <= action.high)).all()
        self.actions.append((info['received_timestamp'], values))

    def _on_events(self, node: str, message) -> None:
        for _, kind, values in status_values(message):
            word = values.get('reason', '') if kind in ('stop', 'end') else kind
            self.events.append(Event(time.time_ns(), node, kind == 'stop', word))

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.destroy_node()


def at_the_twin(topic: str) -> str:
    """Return the name that the twin publishes a topic under."""
    return f'/twin{topic}' if topic.startswith('/') else f'twin/{topic}'


class FaultyGraph:
    """The nodes of kind `sim`, an operator who clears stops, and the surroundings."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.bags = folder, folder / 'bags'
        self.checkpoints = folder / 'checkpoints'
        folder.mkdir(parents=True, exist_ok=True)
        self.contract = write_contract(folder / 'contract.yaml')
        self.exits: list[Exit] = []
        self.cleared = 0                # ns, when a stop was first cleared in `recover`
        self._asked = 0.0
        self._killed: dict[str, int] = {}               # node -> process id
        self._actor = b''
        self._read: dict[str, tuple[list[Step], int]] = {}  # bag -> its steps and transitions
        specs = graph('sim', contract=str(self.contract.file), run_dir=str(folder), seed=seed,
                      overrides=SETTINGS)
        self.nodes = tuple(spec.name for spec in specs)
        with contextlib.ExitStack() as stack:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self.operator = Operator(lambda kind, values: None)
            stack.callback(self.operator.close)
            self.around = Surroundings(self.contract, self.nodes)
            stack.callback(self.around.close)
            self.supervisor = stack.enter_context(Supervisor(
                {spec.name: command(self._behind(spec)) for spec in specs}, folder / 'logs',
                respawn=True, patience=AT_ONCE,
                on_exit=self._on_exit))
            self.must(lambda: len(self.operator.status) == len(specs), START)
            self._cleanup = stack.pop_all()

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
            texts = {name: status['text'] for name, status in self.operator.status.items()}
            raise UserError(f'not there after {seconds:g} s: {texts}; ended: '
                            f'{[(end.name, end.code) for end in self.exits[-5:]]}; '
                            f'logs in {self.folder / "logs"}')

    def says(self, node: str, text: str) -> bool:
        return text in self.operator.status.get(node, {}).get('text', '')

    def recover(self) -> bool:
        """Clear stops and run again, until the robot acts and every node is well."""
        begun, self.cleared = len(self.around.steps), 0

        def works() -> bool:
            new = self.around.steps[begun:]
            return (len(new) >= LEAST and new[-1].step.index >= LEAST - 1
                    and set(self.supervisor.pids()) == set(self.nodes) == set(self.operator.status)
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
        return now

    def revived(self) -> None:
        """Wait until all that was killed runs again."""
        self.must(lambda: all(self.supervisor.pids().get(name, pid) != pid
                              for name, pid in self._killed.items()))

    @contextlib.contextmanager
    def hung(self, name: str):
        """Stop a node's process for as long as the block lasts; gives when, ns."""
        pid, now = self.supervisor.pids()[name], time.time_ns()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield now
        finally:
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
        return {'bags': [steps for steps, _ in self._read.values()],
                'recorded': sum(count for _, count in self._read.values()),
                'received': self.operator.number('sac_learner', 'transitions_received')}

    def _settled(self) -> bool:
        """Read what is new; tell whether bags, recorder and learner agree."""
        if self.operator.status.get('data_recorder', {}).get('bag', '?'):
            return False
        found = {bag.name: bag for bag in find_bags(self.bags)}
        for name in set(self._read) - set(found):       # an original whose copy is there now
            del self._read[name]
        for name in set(found) - set(self._read):
            bag = found[name]
            whole = read_info(bag).complete     # else killed before anything was on the disk
            self._read[name] = (bag_steps(bag, self.contract) if whole else [],
                                len(bag_transitions(bag, self.contract)) if whole else 0)
        number, bags = self.operator.number, self._read.values()
        return (number('sac_learner', 'missing') == 0
                and number('sac_learner', 'transitions_received') == sum(n for _, n in bags)
                and number('data_recorder', 'published') == sum(n > 0 for _, n in bags))

    def close(self) -> None:
        self._cleanup.close()
