"""A robot that runs in its own thread and context, for what looks at a live graph."""

from __future__ import annotations

import threading

from geometry_msgs.msg import PointStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from robot_rl.ros.qos import DRIVER
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

ACTION = 'arm_controller/commands'


class Robot:
    """The robot of contract `reach`, whose parts tests replace before it starts."""

    def __init__(self):
        self._context = Context()
        self._context.init(args=[])
        self.node = Node('robot', context=self._context, use_global_arguments=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._others: list[Node] = []
        self._thread = threading.Thread(target=self._executor.spin)

    def joints(self, rate: float = 50.0, qos=DRIVER, names=('elbow', 'finger', 'shoulder'),
               late: float = 0.0, value: float = 0.1, clock: int = 0) -> None:
        """Publish joint states `late` s after their stamp, or of the instant `clock` in ns."""
        def make(now: int) -> JointState:
            message = JointState(name=list(names), position=[value] * len(names),
                                 velocity=[0.0] * len(names))
            message.header.stamp = Time(nanoseconds=clock or now - int(late * 1e9)).to_msg()
            return message
        self.every(rate, JointState, 'joint_states', make, qos)

    def tip(self) -> None:
        def make(now: int) -> PointStamped:
            message = PointStamped()
            message.header.stamp = Time(nanoseconds=now).to_msg()
            return message
        self.every(50.0, PointStamped, 'tip', make)

    def every(self, rate: float, kind: type, topic: str, make, qos=DRIVER) -> None:
        """Publish what `make(now in ns)` gives."""
        publisher = self.node.create_publisher(kind, topic, qos)
        self.node.create_timer(1.0 / rate, lambda: publisher.publish(
            make(self.node.get_clock().now().nanoseconds)))

    def controller(self, kind: type = Float64MultiArray, qos=DRIVER,
                   joints=('shoulder', 'elbow')) -> None:
        self.node.declare_parameter('joints', list(joints))
        self.node.create_subscription(kind, ACTION, lambda _: None, qos)

    def reset(self, kind: type = Trigger) -> None:
        self.node.create_service(kind, 'sim_bridge/reset', lambda _, response: response)

    def beside(self, name: str) -> Node:
        """Return another node, that the same thread spins."""
        self._others.append(Node(name, context=self._context, use_global_arguments=False))
        self._executor.add_node(self._others[-1])
        return self._others[-1]

    def start(self, *without: str, **replaced) -> None:
        """Add all parts but those named, or the replaced ones; then let it run."""
        for name in ('joints', 'tip', 'controller', 'reset'):
            if name not in without:
                replaced.get(name, getattr(self, name))()
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        if self._thread.ident:
            self._thread.join()
        for node in (self.node, *self._others):
            node.destroy_node()
        self._context.try_shutdown()
