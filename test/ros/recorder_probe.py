"""The recorder of a learner under test."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.time import Time
from robot_rl.data.episode_message import encode_episode
from robot_rl.learning.policy import decode_policy
from robot_rl.ros.codecs import bytes_message, status_message
from robot_rl.ros.qos import LATCHED, STREAM
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger


class Recorder:
    """The probe as the recorder: sends episodes, and all of them again when asked."""

    def __init__(self, bench, contract, sent=()):
        self.bench, self.contract, self.asked = bench, contract, 0
        self.sent = list(sent)              # what a request sends
        self.actors = bench.listen('std_msgs/msg/UInt8MultiArray', 'actor', LATCHED)
        self.transitions = bench.publisher(UInt8MultiArray, 'transitions', STREAM)
        self.levels = bench.listen('diagnostic_msgs/msg/DiagnosticArray', 'sac_learner/status',
                                   LATCHED)
        bench.probe.create_service(Trigger, 'data_recorder/republish', self._on_republish)

    def _on_republish(self, request, response):
        self.asked += 1
        for record in self.sent:
            self.send(record)
        response.success = True
        return response

    def send(self, record) -> None:
        self.transitions.publish(bytes_message(encode_episode(record, self.contract)))

    def say(self, **values) -> None:
        """Publish a status, as the recorder does once a second."""
        self.status = self.bench.probe.create_publisher(
            DiagnosticArray, 'data_recorder/status', LATCHED)
        self.status.publish(status_message(Time(), 'data_recorder: status', 'well', values))

    def latch(self, topic: str, data: bytes):
        """Publish an artifact as sim_bridge does: latched, whoever listens."""
        publisher = self.bench.probe.create_publisher(UInt8MultiArray, topic, LATCHED)
        publisher.publish(bytes_message(data))
        return publisher

    def warns(self, text: str) -> dict[str, str]:
        """Wait until the status says that, at level WARN; return its figures."""
        self.bench.until(lambda: self.levels and text in self.levels[-1].status[0].message)
        assert self.levels[-1].status[0].level == DiagnosticStatus.WARN
        self.bench.until(lambda: text in self.bench.status.get('text', ''))
        return self.bench.status

    @property
    def progress(self):
        return self.bench.node._trainer.progress

    def until(self, **values):
        """Wait until the trainer says these figures of itself."""
        self.bench.until(lambda: all(getattr(self.progress, name) == value
                                     for name, value in values.items()))


def versions(recorder) -> list[int]:
    return [decode_policy(bytes(message.data), recorder.contract, 'actor').version
            for message in recorder.actors]
