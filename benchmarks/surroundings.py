"""The robot's drivers, its people and a witness, between the twin and the graph.

What the twin observes passes through here, where it may be held back, spoiled or shifted in time;
people press and let go; and all that the graph sends is heard.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import dataclass
from functools import partial
import threading
import time

from fault_account import Seen
import numpy as np
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from robot_rl.contract import Contract
from robot_rl.data.steps import BadStep, step_from_message
from robot_rl.fields import BadMessage
from robot_rl.ros.codecs import action_values, interface_class, status_values
from robot_rl.ros.qos import DRIVER, EVENTS, STEPS, STREAM
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, Float64MultiArray

PULSE = 0.05            # s between messages of the e-stop and the dead-man's handle
SHIFT = 10_000 * 10**9  # ns from the twin's time to the graph's: time may jump back as well


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
        self.fell = 0                           # ns, when the twin's time was first seen to fall
        self._stamps: dict[str, int] = {}       # observation -> ns, the twin's newest
        # What people say over and over; None: nothing.
        self.said: dict[str, bool | None] = {'e_stop': False, 'dead_man': True}
        self.said_at = {'e_stop': 0, 'dead_man': 0}     # ns
        self.steps: list[Seen] = []
        self.actions: list[tuple[int, np.ndarray]] = []     # (ns, values)
        self.outside = 0                        # actions that the contract does not allow
        self.events: list[Event] = []
        self.recorded = ''              # which of policy_server's episodes is being recorded
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
        now = stamp.sec * 10**9 + stamp.nanosec
        if now < self._stamps.get(name, 0):
            self.fell = self.fell or time.time_ns()
        self._stamps[name] = now
        stamp.sec, stamp.nanosec = divmod(now + self.shift, 10**9)
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
            if (node, kind) == ('data_recorder', 'start'):
                self.recorded = values.get('server_episode', '')

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.destroy_node()


def at_the_twin(topic: str) -> str:
    """Return the name that the twin publishes a topic under."""
    return f'/twin{topic}' if topic.startswith('/') else f'twin/{topic}'
