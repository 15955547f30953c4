"""What a node says as it ends is heard on another host, however long it is on its way.

The end of a writer may overtake what it said: then that is dropped where it arrives. As a script
this is the node that speaks: False again and again, True in the end.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
import rclpy
from rclpy.node import Node
from robot_rl.ros.main import LAST_WORDS, run
from robot_rl.ros.qos import COMMAND
from std_msgs.msg import Bool

HERE = Path(__file__)
sys.path[:0] = [str(HERE.parents[1] / 'ros'), str(HERE.parents[2] / 'benchmarks')]
from isolation import claim_domain  # noqa: E402, I100
from namespaces import Quality, two_hosts  # noqa: E402, I100

PATIENCE = 30.0     # s
SLOW = 0.6          # s that the last word is on its way
OVERTAKEN = 0.2     # s from the last word to the end of who said it


class Speaker(Node):
    """Says a last word."""

    def __init__(self):
        super().__init__('speaker')
        self._publisher = self.create_publisher(Bool, 'word', COMMAND)
        self.create_timer(0.05, lambda: self._publisher.publish(Bool(data=False)))

    def close(self) -> None:
        self._publisher.publish(Bool(data=True))
        print('said', flush=True)
        time.sleep(OVERTAKEN)


class Listener:
    """Hears a speaker that is on another host."""

    def __init__(self, host, cable):
        self.cable, self.heard = cable, []
        self._node = Node('listener')
        self._node.create_subscription(
            Bool, 'word', lambda message: self.heard.append(message.data), COMMAND)
        self.speaker = subprocess.Popen([*host.prefix, sys.executable, HERE],
                                        stdout=subprocess.PIPE)

    def hears(self, word: bool, seconds: float = PATIENCE) -> bool:
        deadline = time.monotonic() + seconds
        while word not in self.heard and time.monotonic() < deadline:
            rclpy.spin_once(self._node, timeout_sec=0.1)
        return word in self.heard

    def end(self, last: Quality) -> None:
        """Interrupt the speaker; its last word travels on a cable of that quality."""
        self.cable.quality = last
        self.speaker.send_signal(signal.SIGINT)
        assert self.speaker.stdout.readline() == b'said\n'

    def close(self) -> None:
        self.speaker.kill()
        self.speaker.communicate()
        self._node.destroy_node()


@pytest.fixture
def listener():
    with contextlib.ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        stack.enter_context(claim_domain())
        environment.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
        try:
            host, here, cable = stack.enter_context(two_hosts())
        except OSError as error:
            pytest.skip(f'no second host on this machine: {error}')
        stack.enter_context(here.entered())
        rclpy.init()
        stack.callback(rclpy.shutdown)
        listener = Listener(host, cable)
        stack.callback(listener.close)
        assert listener.hears(False)
        yield listener


def test_a_last_word_that_the_end_would_overtake_is_heard(listener):
    listener.end(Quality(delay=SLOW))
    listener.cable.quality = Quality()
    assert listener.hears(True, 5.0)
    assert listener.speaker.wait(PATIENCE) == 0


def test_whom_it_does_not_reach_is_not_waited_for_long(listener):
    listener.end(Quality(up=False))
    began = time.monotonic()
    assert listener.speaker.wait(LAST_WORDS + PATIENCE) == 0
    assert time.monotonic() - began >= LAST_WORDS
    assert not listener.hears(True, 0.5)


if __name__ == '__main__':
    sys.exit(run(Speaker, None))
