"""A topic that is recorded as it is, whenever it begins and whatever its publishers offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice

from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind, QoSProfile
from robot_rl.ros.codecs import interface_class
from robot_rl.ros.qos import ANY

TURN = 64       # messages at most, before the other topics, timers and services have their turn


class RecordedTopic:
    """A raw subscription; where a publisher offers less than it asks for, it asks for the least.

    A `strict` one only tells of that publisher, and never asks for less.

    `on_message(data, info)`, `on_lost(count)` and `on_mismatch(topic, policy)` are called by the
    executor. Before rclpy's middleware tells of a mismatch nothing of that publisher is received.
    """

    def __init__(self, node: Node, name: str, kind: str, qos: QoSProfile,
                 on_message: Callable[[bytes, dict], None], on_lost: Callable[[int], None],
                 on_mismatch: Callable[[str, str], None], strict: bool = False):
        self._node, self._kind = node, kind
        self.name = node.resolve_topic_name(name)
        self.seen = False               # anything came
        self.mismatches = 0             # publishers that offered less
        self._on_message, self._on_lost, self._on_mismatch = on_message, on_lost, on_mismatch
        self._strict = strict           # or it asks for the least already
        self._subscribe(qos)

    def _subscribe(self, qos: QoSProfile) -> None:
        self._subscription = self._node.create_subscription(
            interface_class(self._kind), self.name, self._receive, qos, raw=True,
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=lambda info: self._on_lost(info.total_count_change),
                incompatible_qos=self._on_incompatible))

    def _receive(self, data: bytes, info: dict) -> None:
        """Take what came and what else is there: between messages the executor waits too long."""
        self.seen = True
        self._on_message(data, info)
        for more in islice(self._waiting(), TURN - 1):
            self._on_message(*more)

    def _waiting(self) -> Iterator[tuple[bytes, dict]]:
        subscription = self._subscription
        with suppress(InvalidHandle):           # destroyed meanwhile
            while True:
                with subscription.handle:       # as rclpy's executors take a message
                    found = subscription.handle.take_message(subscription.msg_type, True)
                if found is None:
                    return
                yield found

    def _on_incompatible(self, info) -> None:
        self.mismatches += info.total_count_change
        self._on_mismatch(self.name, qos_policy_name_from_kind(info.last_policy_kind))
        if self._strict:
            return
        self._strict = True

        def again() -> None:        # not in the callback of what it destroys
            self._node.destroy_timer(timer)
            self._node.destroy_subscription(self._subscription)
            self._subscribe(ANY)

        timer = self._node.create_timer(0.0, again, clock=Clock(clock_type=ClockType.STEADY_TIME))
