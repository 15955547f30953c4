"""The neighbours of a recorder under test."""

from __future__ import annotations

from episodes import make_steps
from robot_rl.data.episode_message import decode_episode
from robot_rl.ros.codecs import step_message
from robot_rl.ros.qos import STEPS, STREAM
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger


class Listener:
    """Sends steps as the policy server does, and receives as the learner does."""

    def __init__(self, bench, contract, root):
        self.bench, self.contract, self.root = bench, contract, root
        self.records, self.complete = [], []    # complete: the bag was, when its data arrived
        self.steps = bench.publisher(Float64MultiArray, 'policy_server/steps', STEPS)
        bench.listen('std_msgs/msg/UInt8MultiArray', 'transitions', STREAM, self._on_transitions)
        bench.until(lambda: bench.node.count_subscribers('transitions'))

    def _on_transitions(self, message) -> None:
        record = decode_episode(bytes(message.data), self.contract, 'transitions')
        self.complete.append((self.root / record.name / 'metadata.yaml').is_file())
        self.records.append(record)

    def send(self, steps) -> None:
        for step in steps:
            self.steps.publish(step_message(step))

    def record(self, number: int, **options):
        """Send a whole episode and wait for its transitions."""
        before = len(self.records)
        self.send(make_steps(self.contract, number, **options))
        self.bench.until(lambda: len(self.records) > before)
        return self.records[-1]

    def call(self, service: str, kind=Trigger, **values):
        return self.bench.call(kind, f'data_recorder/{service}', **values)


def level(bench):
    """Return the level of the newest status."""
    return bench.levels[-1].status[0].level if bench.levels else None
