"""A node that waits for few middleware events: each costs time in every wait of rclpy's executor.

By default rclpy waits for two at every publisher and subscription: for peers whose QoS does not
fit, and for peers of another type, which Fast DDS never tells of. For the topics of the robot
`robot_rl check --live` tells of both.
"""

from __future__ import annotations

from functools import partial

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import (DurabilityPolicy, qos_policy_name_from_kind, QoSProfile,
                       ReliabilityPolicy)


class FewEvents(Node):
    """Warns where a publisher may offer less than is asked for; who asks more of it warns itself.

    Events that are given as `event_callbacks` are the only ones then.
    """

    def create_publisher(self, msg_type: type, topic: str, qos_profile: QoSProfile | int,
                         **options):
        """Create a publisher that waits for no event."""
        options.setdefault('event_callbacks',
                           PublisherEventCallbacks(use_default_callbacks=False))
        return super().create_publisher(msg_type, topic, qos_profile, **options)

    def create_subscription(self, msg_type: type, topic: str, callback,
                            qos_profile: QoSProfile | int, **options):
        """Create a subscription that waits for no event but a publisher that offers less."""
        options.setdefault('event_callbacks', SubscriptionEventCallbacks(
            incompatible_qos=(None if fits_every_publisher(qos_profile)
                              else partial(self._on_mismatch, topic)),
            use_default_callbacks=False))
        return super().create_subscription(msg_type, topic, callback, qos_profile, **options)

    def _on_mismatch(self, topic: str, info) -> None:
        name = self.resolve_topic_name(topic)
        self.get_logger().warning(
            f'{name}: nothing is received from a publisher that offers less than is asked for '
            f'({qos_policy_name_from_kind(info.last_policy_kind)}); '
            f'`ros2 topic info --verbose {name}` shows it')


def fits_every_publisher(asked: QoSProfile | int) -> bool:
    """Return whether a subscription asks for so little that it receives from any publisher."""
    return (isinstance(asked, QoSProfile)       # or a depth: the rest is rclpy's, reliable
            and asked.reliability == ReliabilityPolicy.BEST_EFFORT
            and asked.durability == DurabilityPolicy.VOLATILE)
