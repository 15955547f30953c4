"""A node's figures, once a second: latched on ~/status, and on /diagnostics for every tool.

The first status of a message, `node: status`, is how the node is. The others, `node: part`, hold
figures against their limits; what is beyond one is told in the first one's value `limits` too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
import socket
import sys

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.serialization import serialize_message
from robot_rl.ros.codecs import status_entry, status_message
from robot_rl.ros.neighbours import Neighbours
from robot_rl.ros.qos import EVENTS, LATCHED, STREAM
from robot_rl.vitals.limits import Finding, Part, short, worst

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
LEVELS = (OK, WARN, ERROR)      # by the level of a finding
# Generated code makes a new text for each field of a message that it reads. CPython's cache of
# attributes keeps up to 4096 of these: 0.2 MB, within an hour of a status a second.
FORGET = getattr(sys, '_clear_internal_caches', None) or sys._clear_type_cache    # 3.13: first


@dataclass(frozen=True)
class Health:
    """How a node is, in one line and a few figures."""

    text: str
    values: dict = field(default_factory=dict)
    level: bytes = OK


class HealthReporter:
    """Asks the node how it is and publishes the answer; wall time, so a stopped clock shows.

    `task` is the contract's: with the host's name it is the hardware that the node works for.
    `parts` is asked for the figures that have limits. A node that others must not call themselves,
    or command beside (`command_topic`), is told of first.
    """

    def __init__(self, node: Node, ask: Callable[[], Health], task: str,
                 parts: Callable[[], Iterable[Part]], command_topic: str = '',
                 period: float = 1.0):
        self._node = node
        self._ask, self._parts = ask, parts
        self._name = node.get_fully_qualified_name().lstrip('/')    # two robots are told apart
        self._hardware = f'{task}@{socket.gethostname()}'
        self._status = node.create_publisher(DiagnosticArray, '~/status', LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', STREAM)
        self._neighbours, self._trouble = Neighbours(node, command_topic), Finding()
        self._timer = node.create_timer(period, self._look,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _look(self) -> None:
        self._trouble = self._neighbours.look()
        self.publish()

    def publish(self) -> None:
        """Publish now; also called at every change that a user waits for."""
        health, trouble = self._ask(), self._trouble
        if trouble.reason:
            health = replace(health, text=f'{trouble.reason}; {health.text}',
                             level=max(health.level, LEVELS[trouble.level]))
        found = [(part, worst(part.findings)) for part in self._parts()]
        values = {**health.values, 'limits': '; '.join(
            f'{part.name}: {finding.reason}' for part, finding in found if finding.level)}
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.status = [self._entry('status', health.text, values, health.level)] + [
            self._entry(part.name, finding.reason or 'within limits', _shown(part.values),
                        LEVELS[finding.level]) for part, finding in found]
        data = serialize_message(message)       # once for both
        self._status.publish(data)
        self._diagnostics.publish(data)
        FORGET()

    def _entry(self, part: str, text: str, values: dict, level: bytes) -> DiagnosticStatus:
        return status_entry(f'{self._name}: {part}', text, values, level, self._hardware)


def _shown(values: dict) -> dict:
    return {key: short(value, 4) if isinstance(value, float) else value
            for key, value in values.items()}


class EventPublisher:
    """Sparse events on ~/events: what happened, with its figures, stamped by the node's clock."""

    def __init__(self, node: Node):
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '~/events', EVENTS)

    def __call__(self, kind: str, level: bytes = OK, **values) -> None:
        """Publish one event and log it."""
        self._publisher.publish(status_message(self._node.get_clock().now(),
                                               self._node.get_name(), kind, values, level))
        text = ' '.join([kind, *(f'{key}={value}' for key, value in values.items())])
        log = self._node.get_logger()
        if level == OK:         # two statements: rclpy raises where one changes its severity
            log.info(text)
        else:
            log.warning(text)
