from __future__ import annotations

import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from robot_rl.ros.qos import STREAM
from robot_rl.ros.recorded import RecordedTopic, TURN
from std_msgs.msg import Int32

PATIENCE = 20.0     # s


class Recording:
    """Two topics, `a` before `b`, and all that is taken of them."""

    def __init__(self, context: Context):
        self.recorder, self.robot = (Node(name, context=context) for name in ('recorder', 'robot'))
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.recorder)
        self._publishers = {name: self.robot.create_publisher(Int32, name, STREAM)
                            for name in 'ab'}
        self.taken: list[tuple[str, int]] = []
        self.infos: list[dict] = []
        self.lost: list[int] = []
        self.topics = [RecordedTopic(
            self.recorder, name, 'std_msgs/msg/Int32', STREAM,
            lambda data, info, name=name: self.take(name, data, info), self.lost.append,
            lambda topic, policy: None) for name in 'ab']
        self.until(lambda: all(publisher.get_subscription_count()
                               for publisher in self._publishers.values()))

    def take(self, name: str, data: bytes, info: dict) -> None:
        self.taken.append((name, deserialize_message(data, Int32).data))
        self.infos.append(info)

    def send(self, name: str, count: int) -> None:
        """Send 0, 1, ...; return when all of them wait to be taken."""
        for number in range(count):
            self._publishers[name].publish(Int32(data=number))
        assert self._publishers[name].wait_for_all_acked(Duration(seconds=PATIENCE))

    def until(self, condition) -> None:
        """Spin the recorder until the condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.taken
            self._executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self._executor.shutdown()
        for node in (self.recorder, self.robot):
            node.destroy_node()


@pytest.fixture
def recording():
    context = Context()
    rclpy.init(context=context)
    found = Recording(context)
    yield found
    found.close()
    rclpy.shutdown(context=context)


def test_a_burst_of_more_than_a_turn_is_taken_whole_and_in_order(recording):
    recording.send('a', 3 * TURN + 8)
    recording.until(lambda: len(recording.taken) >= 3 * TURN + 8)
    assert recording.taken == [('a', number) for number in range(3 * TURN + 8)]
    assert recording.lost == []


def test_each_message_of_a_burst_has_its_own_times(recording):
    before = time.time_ns()
    recording.send('a', 2 * TURN)
    recording.until(lambda: len(recording.taken) == 2 * TURN)
    sent = [info['source_timestamp'] for info in recording.infos]
    received = [info['received_timestamp'] for info in recording.infos]
    assert sent == sorted(sent) and len(set(sent)) > TURN
    assert received == sorted(received)
    assert before <= sent[0] and received[-1] <= time.time_ns()


def test_a_turn_takes_64_messages_and_then_the_next_topic_has_its_own(recording):
    recording.send('b', 2)
    recording.send('a', 2 * TURN + 8)
    recording.until(lambda: len(recording.taken) == 2 * TURN + 10)
    names = ''.join(name for name, _ in recording.taken)
    assert names == TURN * 'a' + 'bb' + (TURN + 8) * 'a'


def test_a_subscription_that_ends_in_its_own_turn_takes_no_more(recording):
    def end(data: bytes, info: dict) -> None:
        recording.taken.append(('a', 0))
        recording.recorder.destroy_subscription(recording.topics[0]._subscription)
    recording.topics[0]._on_message = end
    recording.send('a', 5)
    recording.send('b', 1)
    recording.until(lambda: ('b', 0) in recording.taken)
    assert recording.taken == [('a', 0), ('b', 0)]
