from __future__ import annotations

import pytest
from rcl_interfaces.msg import Log
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.ros.mismatches import FewEvents, fits_every_publisher
from robot_rl.ros.qos import ANY, COMMAND, EVENTS, LATCHED, SENSOR, STEPS, STREAM
from std_msgs.msg import Bool, UInt8MultiArray

RELIABILITIES = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
DURABILITIES = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL


class Quiet(FewEvents):
    """A node with nothing in it."""

    def __init__(self):
        super().__init__('policy_server')       # any name that the bench has remappings for

    def close(self) -> None:
        """Do what the bench calls."""


Quiet.__module__ = PolicyServer.__module__


@pytest.fixture
def quiet(start):
    """Start a node with nothing in it."""
    return start(Quiet)


def handlers(entity) -> int:
    return len(entity.event_handlers)


def warnings(bench, topic: str) -> list[str]:
    """Return the list that gets what the node warns of that topic from now on."""
    found: list[str] = []
    bench.probe.create_subscription(
        Log, '/rosout', lambda log: log.level == Log.WARN and log.msg.startswith(topic)
        and found.append(log.msg), STREAM)
    bench.until(lambda: bench.node.count_subscribers('/rosout'))
    return found


def test_policy_server_waits_for_no_event_of_a_publisher_or_an_observation(start):
    bench = start(PolicyServer, lockstep=True)
    bench.until(lambda: bench.status.get('text', '').endswith('idle'))
    waits = {subscription.topic_name for subscription in bench.node.subscriptions
             if handlers(subscription)}
    assert not any(handlers(publisher) for publisher in bench.node.publishers)
    assert not {'/joint_states', '/tip'} & waits
    assert {'/actor', '/safety_stop/stopped'} <= waits


def test_a_policy_whose_publisher_offers_too_little_is_warned_of(start):
    bench = start(PolicyServer, lockstep=True)
    bench.until(lambda: bench.status.get('text', '').endswith('idle'))
    found = warnings(bench, '/actor')
    bench.probe.create_publisher(UInt8MultiArray, 'actor', STREAM)
    bench.until(lambda: found)
    assert found[0].startswith('/actor: nothing is received from a publisher that offers less')
    assert '(DURABILITY)' in found[0]


@pytest.mark.parametrize('durability', DURABILITIES)
@pytest.mark.parametrize('reliability', RELIABILITIES)
def test_what_asks_for_the_least_receives_from_every_publisher(quiet, reliability, durability):
    received = []
    quiet.node.create_subscription(Bool, 'topic', received.append, SENSOR)
    publisher = quiet.publisher(Bool, 'topic', QoSProfile(
        depth=1, reliability=reliability, durability=durability))
    publisher.publish(Bool(data=True))
    quiet.until(lambda: received)
    assert received == [Bool(data=True)]


@pytest.mark.parametrize('asked', [SENSOR, ANY])
def test_the_least_fits_every_publisher(asked):
    assert fits_every_publisher(asked)


@pytest.mark.parametrize('asked', [COMMAND, STREAM, STEPS, LATCHED, EVENTS, 10])
def test_more_than_the_least_may_not_fit_a_publisher(asked):
    assert not fits_every_publisher(asked)


def test_events_that_are_asked_for_are_the_only_ones(quiet):
    given = SubscriptionEventCallbacks(message_lost=print, use_default_callbacks=False)
    subscription = quiet.node.create_subscription(Bool, 'topic', print, LATCHED,
                                                  event_callbacks=given)
    assert [handler.callback for handler in subscription.event_handlers] == [print]


def test_a_plain_node_waits_for_events_at_each_end(quiet):
    """Fails once rclpy itself waits for none: then this module is of no use."""
    assert handlers(quiet.probe.create_publisher(Bool, 'topic', COMMAND)) > 0
    assert handlers(quiet.probe.create_subscription(Bool, 'topic', print, SENSOR)) > 0
