"""data_recorder: raw messages in, one bag per episode on disk, then its transitions out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import sys

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from robot_rl.contract import load_contract
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.recorder import EpisodeRecord, EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.steps import STEPS_TYPE
from robot_rl.ros.codecs import bytes_message, interface_class
from robot_rl.ros.health import ERROR, EventPublisher, Health, HealthReporter, OK, WARN
from robot_rl.ros.main import run
from robot_rl.ros.params import parameter, Parameters
from robot_rl.ros.qos import EVENTS, STREAM
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

EVENTS_TYPE = 'diagnostic_msgs/msg/DiagnosticArray'
TROUBLE = ('disk_full', 'dropped', 'write_error', 'bad_step', 'unreadable', 'abandoned')


@dataclass(frozen=True)
class Settings:
    """Parameters of data_recorder."""

    contract: str = parameter('', 'Contract file, or the name of a shipped contract')
    bag_root: str = parameter('bags', 'Folder of the bags, one per episode; one per session')
    flush_period: float = parameter(0.5, 'Longest time a message waits in memory, s',
                                    low=0.01, high=60.0)
    fsync_period: float = parameter(5.0, 'Longest time it waits for the disk, s',
                                    low=0.1, high=600.0)
    queue_bytes: int = parameter(256 << 20, 'Bytes waiting to be written before messages drop',
                                 low=1 << 16, high=(1 << 31) - 1)
    min_free_bytes: int = parameter(200_000_000, 'Free disk below which no episode starts, bytes',
                                    low=0, high=(1 << 31) - 1)


class DataRecorder(Node):
    """Feeds raw CDR with its stamps to the recorder's thread."""

    def __init__(self):
        super().__init__('data_recorder')
        self.settings = settings = Parameters(self, Settings).settings
        self.contract = load_contract(settings.contract)
        self._transitions = self.create_publisher(UInt8MultiArray, 'transitions', STREAM)
        self._event = EventPublisher(self)
        self._lost = 0
        self._sim_time = self.get_parameter('use_sim_time').value
        action = self.contract.action
        inputs = [(entry.topic, entry.type, STREAM) for entry in self.contract.observations]
        inputs += [(action.topic, action.type, STREAM), ('steps', STEPS_TYPE, STREAM),
                   ('events', EVENTS_TYPE, EVENTS)]
        topics = [Topic(self._resolved(name), kind) for name, kind, _ in inputs]
        self._recorder = EpisodeRecorder(
            Path(settings.bag_root), self.contract, topics,
            RecorderSettings(settings.flush_period, settings.fsync_period, settings.queue_bytes,
                             settings.min_free_bytes),
            steps_topic=self._resolved('steps'), on_episode=self._on_episode,
            on_event=self._on_event)
        for index, (name, kind, qos) in enumerate(inputs):
            self.create_subscription(
                interface_class(kind), name,
                lambda data, info, index=index: self._on_message(index, data, info), qos,
                raw=True, event_callbacks=SubscriptionEventCallbacks(message_lost=self._on_lost))
        recorder = self._recorder
        for service, kind, call in (
                ('~/start_episode', Trigger, lambda request: recorder.start_episode()),
                ('~/end_episode', SetBool, lambda request: recorder.end_episode(request.data)),
                ('~/discard_episode', Trigger, lambda request: recorder.discard_episode()),
                ('~/republish', Trigger, lambda request: recorder.republish())):
            self.create_service(kind, service, lambda request, response, call=call: _answer(
                response, *call(request)))
        self._health = HealthReporter(self, self._describe)

    def _resolved(self, name: str) -> str:
        return self.resolve_topic_name(name)

    def _on_message(self, index: int, data: bytes, info: dict) -> None:
        """Queue a message with when it arrived and when it was sent."""
        received = (self.get_clock().now().nanoseconds if self._sim_time
                    else info['received_timestamp'])
        self._recorder.put(index, data, received, info['source_timestamp'])

    def _on_lost(self, info) -> None:
        self._lost += info.total_count_change

    def _on_episode(self, record: EpisodeRecord) -> None:
        """Send transitions that are on disk; called from the recorder's thread."""
        self._transitions.publish(bytes_message(encode_episode(record, self.contract)))

    def _on_event(self, kind: str, values: dict) -> None:
        self._event(kind, WARN if kind in TROUBLE else OK, **values)

    def _describe(self) -> Health:
        stats = self._recorder.stats()
        dropped = stats.pop('dropped')
        values = {**stats, 'last_flush_age': f'{stats["last_flush_age"]:.2f} s',
                  'lost_by_middleware': self._lost,
                  **{f'dropped {topic}': count for topic, count in dropped.items()}}
        text = f'recording {stats["bag"]}' if stats['bag'] else 'waiting for an episode'
        if not stats['alive'] or stats['disk_full']:
            problem = 'disk is nearly full' if stats['disk_full'] else 'the writer ended'
            return Health(problem, values, ERROR)
        return Health(text, values, WARN if dropped or self._lost else OK)

    def close(self) -> None:
        """Write what is queued and complete the open bag."""
        self._recorder.close()


def _answer(response, success: bool, message: str):
    response.success, response.message = success, message
    return response


def main() -> int:
    """Entry point."""
    return run(DataRecorder)


if __name__ == '__main__':
    sys.exit(main())
