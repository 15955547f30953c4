"""A real node in the test's own thread, and a probe node that plays its neighbours.

The test spins both while it waits, so nothing happens behind its back and nothing needs a sleep.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import gc
import time

from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from robot_rl.bringup import command, NodeSpec, REMAPPINGS
from robot_rl.ros.codecs import interface_class, status_values
from robot_rl.ros.qos import EVENTS, LATCHED, STREAM

PATIENCE = 20.0         # s, far more than anything here takes


class Bench:
    """One node under test, with the remappings that bringup.py gives it if none are named."""

    _litter = False

    def __init__(self, kind: type, remappings: tuple | None = None, **parameters):
        self.name = kind.__module__.rpartition('.')[2]
        joined = REMAPPINGS[self.name] if remappings is None else remappings
        spec = NodeSpec(self.name, self.name, '', parameters, joined, '')
        rclpy.init(args=command(spec), signal_handler_options=SignalHandlerOptions.NO)
        with contextlib.ExitStack() as stack:
            stack.callback(rclpy.try_shutdown)
            self.probe = Node('probe', use_global_arguments=False)
            stack.callback(self.probe.destroy_node)
            self.node = self._make(kind)
            stack.callback(self.node.destroy_node)
            self.executor = SingleThreadedExecutor()
            stack.callback(self.executor.shutdown)      # before the nodes: it holds their handles
            stack.callback(self.node.close)
            self._cleanup = stack.pop_all()
        self.executor.add_node(self.node)
        self.executor.add_node(self.probe)
        self.events: list[tuple[str, dict[str, str]]] = []
        self.status: dict[str, str] = {}
        message = 'diagnostic_msgs/msg/DiagnosticArray'
        self.listen(message, f'{self.name}/events', EVENTS, self._on_event)
        self.listen(message, f'{self.name}/status', LATCHED, self._on_status)

    @classmethod
    def _make(cls, kind: type):
        """Construct a node after the last one has really left the graph.

        One that refused to start, or a lifecycle node with its services, stays in it until it is
        collected: two of one name would answer, and its late end would silence our /rosout.
        """
        if cls._litter:
            gc.collect()
        cls._litter = True
        node = kind()
        cls._litter = isinstance(node, LifecycleNode)
        return node

    def _on_event(self, message) -> None:
        self.events += [(kind, values) for _, kind, values in status_values(message)]

    def _on_status(self, message) -> None:
        for _, text, values in status_values(message)[:1]:     # not its parts
            self.status = {**values, 'text': text}

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE):
        """Spin until the condition holds; return its value."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f'never came true; status {self.status}'
            self.executor.spin_once(timeout_sec=0.02)
        return value

    def settle(self, rounds: int = 10) -> None:
        """Let everything run that is due now."""
        for _ in range(rounds):
            self.executor.spin_once(timeout_sec=0.0)

    def listen(self, kind: str, topic: str, qos=STREAM, callback=None) -> list:
        """Subscribe the probe; return the list that its messages are appended to."""
        received: list = []
        self.probe.create_subscription(interface_class(kind), topic,
                                       callback or received.append, qos)
        return received

    def publisher(self, kind: type, topic: str, qos=STREAM):
        """Return a publisher of the probe that the node under test listens to."""
        publisher = self.probe.create_publisher(kind, topic, qos)
        self.until(publisher.get_subscription_count)
        return publisher

    def call(self, kind: type, service: str, **values):
        """Call a service and return its response."""
        client = self.probe.create_client(kind, service)
        try:
            self.until(client.service_is_ready)
            future = client.call_async(kind.Request(**values))
            self.until(future.done)
            return future.result()
        finally:
            self.probe.destroy_client(client)

    def set(self, **values):
        """Set parameters of the node under test; return the results in that order."""
        return self.call(SetParameters, f'{self.name}/set_parameters', parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]).results

    def event(self, kind: str) -> dict[str, str]:
        """Wait for an event of that kind; return its newest values."""
        return self.until(lambda: [values for name, values in self.events if name == kind])[-1]

    def says(self, **values: str) -> dict[str, str]:
        """Wait until the status holds these values; return it."""
        self.until(lambda: all(self.status.get(key) == str(value)
                               for key, value in values.items()))
        return self.status

    def close(self) -> None:
        """Close the node as robot_rl.ros.main does, then leave ROS."""
        self._cleanup.close()
        self.node = None
