"""Look at the graph and listen to it, as a node that only ever reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, ExitStack
import time

import numpy as np
from rcl_interfaces.srv import GetParameters
from rclpy.clock import Clock as RosClock
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import qos_check_compatible, QoSCompatibility, QoSProfile, ReliabilityPolicy
from robot_rl.contract import Contract, RESET_TYPES
from robot_rl.errors import UserError
from robot_rl.fields import BadMessage, stamp_of
from robot_rl.inputs import Observation
from robot_rl.live_check import Arrivals, Endpoint, LiveGraph, Topic, topic_keys
from robot_rl.ros.codecs import interface_class
from robot_rl.ros.neighbours import owner
from robot_rl.ros.operator import NODES
from robot_rl.ros.qos import COMMAND, SENSOR
from rosgraph_msgs.msg import Clock

DISCOVERY = 3.0         # s until who is there is surely known
ANSWER_TIMEOUT = 1.0    # s, of a controller that is asked for its joints
NEVER = 10 ** 18        # ns
NAME = 'robot_rl_look'
OURS = (*(name for name in NODES if name != 'sim_bridge'), NAME)    # that one may play the robot


class Ear(Node):
    """A node with an executor of its own; it publishes nothing on any topic of a robot."""

    def __init__(self, namespace: str, context: Context):
        super().__init__(NAME, namespace=namespace, context=context, enable_rosout=False,
                         start_parameter_services=False, use_global_arguments=False)
        self.executor_of_it = SingleThreadedExecutor(context=context)
        self.executor_of_it.add_node(self)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Spin until the condition holds; return whether it did within `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0.0:
                return False
            self.executor_of_it.spin_once(timeout_sec=min(left, 0.1))
        return True

    def publishers(self, topic: str) -> tuple[Endpoint, ...]:
        """Return who publishes a topic; the mismatch is with what our nodes ask for."""
        return tuple(_endpoint(info, _asked(info.qos_profile), SENSOR)
                     for info in self.get_publishers_info_by_topic(topic))

    def subscribers(self, topic: str) -> tuple[Endpoint, ...]:
        """Return who listens to a topic; the mismatch is with what our nodes offer."""
        return tuple(_endpoint(info, COMMAND, _asked(info.qos_profile),
                               self.joints_of(info))
                     for info in self.get_subscriptions_info_by_topic(topic))

    def served(self, service: str) -> tuple[str, ...] | None:
        """Return the types of a service, None where nobody serves it."""
        name = self.resolve_service_name(service) if service else ''
        if not name or not self.count_services(name):   # a client alone gives it a name as well
            return None
        types = dict(self.get_service_names_and_types()).get(name)
        return tuple(types) if types else None

    def offered(self, kinds: Collection[str], without: Sequence[str] = ()) -> dict[str, str]:
        """Return the type of every service of these types, but of nodes of these names."""
        found = {}
        for name, namespace in self.get_node_names_and_namespaces():
            if name in without:
                continue
            try:
                served = self.get_service_names_and_types_by_node(name, namespace)
            except NodeNameNonExistentError:        # it has just left
                continue
            found |= {service: kind for service, (kind, *_) in served if kind in kinds}
        return found

    def published(self) -> dict[str, tuple[str, ...]]:
        """Return the types of every topic that somebody publishes."""
        return {name: tuple(types) for name, types in self.get_topic_names_and_types()
                if self.count_publishers(name)}

    def awaited(self) -> dict[str, tuple[str, ...]]:
        """Return the types of every topic that somebody else listens to."""
        return {name: tuple(types) for name, types in self.get_topic_names_and_types()
                if any(info.node_name != NAME
                       for info in self.get_subscriptions_info_by_topic(name))}

    def joints_of(self, info) -> tuple[str, ...]:
        """Return the parameter `joints` of a node, as controllers of ros2_control have it."""
        client = self.create_client(GetParameters, f'{owner(info)}/get_parameters')
        try:
            if not self.until(client.service_is_ready, ANSWER_TIMEOUT):
                return ()
            future = client.call_async(GetParameters.Request(names=['joints']))
            if not self.until(future.done, ANSWER_TIMEOUT):
                return ()
            return tuple(joint for value in future.result().values
                         for joint in value.string_array_value)
        finally:
            self.destroy_client(client)


@contextmanager
def listening(namespace: str = '') -> Iterator[Ear]:
    """Join the graph, in a context of its own, and leave it; raise UserError where it cannot."""
    context = Context()
    with ExitStack() as stack:
        stack.callback(context.try_shutdown)
        try:
            context.init(args=[])
            ear = Ear(namespace, context)
        except RuntimeError as error:       # rclpy's own classes of it are private
            raise UserError(f'the live graph: {" ".join(str(error).split())}') from None
        stack.callback(ear.destroy_node)
        stack.callback(ear.executor_of_it.shutdown)
        yield ear


def observe(contract: Contract, seconds: float, namespace: str = '') -> LiveGraph:
    """Listen for `seconds` to all that a contract names, relative to `namespace`.

    Before, it waits until somebody is there for each, at most DISCOVERY s.
    """
    with listening(namespace) as ear:
        times = _Times(ear)
        entries = topic_keys(contract)
        logs = {key: _Log(ear, entry, times) for key, entry in entries.items() if key != 'action'}
        ear.until(lambda: _complete(ear, contract, entries), DISCOVERY)
        ear.until(lambda: False, seconds)
        ended = times.now()
        topics = {}
        for key, entry in entries.items():
            name = ear.resolve_topic_name(entry.topic)
            topics[key] = (Topic(ear.publishers(name), ear.subscribers(name)) if key == 'action'
                           else Topic(ear.publishers(name), (), logs[key].arrivals(ended)))
        reset = ear.served(contract.episode.reset_service)
        clocks = tuple(owner(info) for info in ear.get_publishers_info_by_topic('/clock'))
        named = {ear.resolve_topic_name(entry.topic) for entry in entries.values()}
        return LiveGraph(
            seconds, topics, _others(ear.published(), ear.get_publishers_info_by_topic, named),
            _others(ear.awaited(), ear.get_subscriptions_info_by_topic, named), reset, clocks,
            ear.offered(RESET_TYPES, OURS))


def _others(topics: dict[str, tuple[str, ...]], ends: Callable, named: set[str]
            ) -> dict[str, tuple[str, ...]]:
    """Return the topics that a contract may have meant: not those it names, none of only ours."""
    return {name: types for name, types in topics.items() if name not in named
            and any(info.node_name not in OURS for info in ends(name))}


def _complete(ear: Ear, contract: Contract, entries: dict) -> bool:
    """Tell whether somebody is there for all that the contract names."""
    service = contract.episode.reset_service
    return (not service or ear.served(service) is not None) and all(
        (ear.count_subscribers if key == 'action' else ear.count_publishers)(
            ear.resolve_topic_name(entry.topic)) for key, entry in entries.items())


def _asked(profile: QoSProfile) -> QoSProfile:
    """Return what decides whether ends meet; "no deadline", as DDS tells it, passes for one."""
    deadline = profile.deadline if profile.deadline.nanoseconds < NEVER else Duration()
    return QoSProfile(depth=1, reliability=profile.reliability, durability=profile.durability,
                      deadline=deadline)


def _endpoint(info, offered, asked, joints: tuple[str, ...] = ()) -> Endpoint:
    compatible, reason = qos_check_compatible(offered, asked)
    return Endpoint(owner(info), info.topic_type,
                    reason.rstrip(';') if compatible == QoSCompatibility.ERROR else '',
                    info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT, joints)


class _Times:
    """The instants of arrivals: of a clock that is not set, of the system, and simulated."""

    def __init__(self, ear: Ear):
        self._system = RosClock()
        self.simulated = 0          # ns, 0 until somebody tells
        ear.create_subscription(Clock, '/clock', self._on_clock, SENSOR)

    def _on_clock(self, message: Clock) -> None:
        self.simulated = message.clock.sec * 1_000_000_000 + message.clock.nanosec

    def now(self) -> tuple[float, int]:
        """Return (s of a clock that is not set, ns by which stamps are dated)."""
        return time.monotonic(), self.simulated or self._system.now().nanoseconds


class _Log:
    """What came on one topic."""

    def __init__(self, ear: Ear, entry, times: _Times):
        self._times = times
        self._read = entry.selection.read if isinstance(entry, Observation) else lambda _: None
        self._came: list[tuple[float, int, int]] = []   # s, ns of our clock, ns of the stamp
        self._refused, self._reason = 0, ''
        self._header = self._simulated = False
        ear.create_subscription(interface_class(entry.type), entry.topic, self._hear, SENSOR)

    def _hear(self, message) -> None:
        try:
            self._read(message)
        except BadMessage as error:
            self._refused, self._reason = self._refused + 1, str(error)
            return
        self._header = hasattr(message, 'header')
        if self._times.simulated and not self._simulated:   # those before are of another clock
            self._simulated = True
            self._came.clear()
        self._came.append((*self._times.now(), stamp_of(message)))

    def arrivals(self, ended: tuple[float, int]) -> Arrivals:
        """Return the figures, at the end of listening."""
        if not self._came:
            return Arrivals(refused=self._refused, reason=self._reason)
        instants, clock, stamps = map(np.array, zip(*self._came, (*ended, 0)))
        stamped = bool(stamps[-2])
        stamps = np.where(stamps > 0, stamps, clock)[:-1]
        gaps, ages = np.diff(instants), (clock[1:] - stamps) * 1e-9     # of what was held
        span = float(instants[-2] - instants[0])
        return Arrivals(
            len(gaps), self._refused, self._reason,
            (len(gaps) - 1) / span if span > 0.0 else None, float(gaps.max()),
            float(np.median(clock[:-1] - stamps)) * 1e-9 if stamped else None,
            float(ages.max()), self._header and not stamped)
