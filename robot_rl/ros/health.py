"""A node's figures, once a second: latched on ~/status, and on /diagnostics for every tool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from robot_rl.ros.codecs import status_message
from robot_rl.ros.qos import EVENTS, LATCHED, STREAM

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Health:
    """How a node is, in one line and a few figures."""

    text: str
    values: dict = field(default_factory=dict)
    level: bytes = OK


class HealthReporter:
    """Asks the node how it is and publishes the answer; wall time, so a stopped clock shows."""

    def __init__(self, node: Node, ask: Callable[[], Health], period: float = 1.0):
        self._node = node
        self._ask = ask
        self._status = node.create_publisher(DiagnosticArray, '~/status', LATCHED)
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', STREAM)
        self._timer = node.create_timer(period, self.publish,
                                        clock=Clock(clock_type=ClockType.STEADY_TIME))

    def publish(self) -> None:
        """Publish now; also called at every change that a user waits for."""
        health = self._ask()
        message = status_message(self._node.get_clock().now(), f'{self._node.get_name()}: status',
                                 health.text, health.values, health.level)
        self._status.publish(message)
        self._diagnostics.publish(message)


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
