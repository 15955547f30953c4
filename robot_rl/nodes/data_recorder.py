"""data_recorder: raw messages in, one bag per episode on disk, then its transitions out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
import sys
import time

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from robot_rl.data.bag import find_bags, read_info
from robot_rl.data.early import Early
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.intake import MISSES
from robot_rl.data.recorder import EpisodeRecord, EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.steps import EVENTS_TYPE, STEPS_TYPE
from robot_rl.errors import UserError
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.health import ERROR, EventPublisher, Health, HealthReporter, OK, WARN
from robot_rl.ros.main import run
from robot_rl.ros.params import node_contract, Parameters
from robot_rl.ros.qos import EVENTS, STEPS, STREAM
from robot_rl.ros.recorded import RecordedTopic
from robot_rl.ros.settings.data_recorder import Settings
from robot_rl.vitals.company import Company
from robot_rl.vitals.limits import Part
from robot_rl.vitals.recording import RecordingVitals
from robot_rl.vitals.topics import Needed, needed_rate
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

TROUBLE = ('disk_full', *MISSES, 'write_error', 'bad_step', 'unreadable', 'empty', 'abandoned',
           'qos_mismatch', 'other_contract')
NO_CLOCK = 'no time yet: use_sim_time is true, and nothing has come on /clock'
LOOK_PERIOD = 0.1       # s of wall time between looks whether simulated time has begun


class DataRecorder(Node):
    """Feeds raw CDR with its stamps to the recorder's thread."""

    def __init__(self):
        super().__init__('data_recorder')
        self._live = Parameters(self, Settings)
        self.settings = settings = self._live.settings
        self.contract = node_contract(self, settings.contract)
        self._transitions = self.create_publisher(UInt8MultiArray, 'transitions', STREAM)
        self._event = EventPublisher(self)
        self._sim_time = self.get_parameter('use_sim_time').value
        action, seen = self.contract.action, self.contract.inputs
        inputs = [(entry.topic, entry.type, STREAM) for entry in (
            *seen, action, *self.contract.safety.people)]
        inputs += [('steps', STEPS_TYPE, STEPS), ('events', EVENTS_TYPE, EVENTS),
                   ('safety_events', EVENTS_TYPE, EVENTS)]
        topics = {}     # each once: a Joy may be handle and controls
        for entry in inputs:
            topics.setdefault(self.resolve_topic_name(entry[0]), entry)
        self._recorder = EpisodeRecorder(
            Path(settings.bag_root), self.contract,
            [Topic(name, kind) for name, (_, kind, _) in topics.items()],
            RecorderSettings(settings.flush_period, settings.fsync_period, settings.queue_bytes,
                             settings.min_free_bytes),
            steps_topic=self.resolve_topic_name('steps'), on_episode=self._on_episode,
            on_event=self._on_event)
        recorder = self._recorder
        self._greet(Path(settings.bag_root))
        self._company = Company()       # of commands by step records
        self._action = self.resolve_topic_name(action.topic)
        self._steps = self.resolve_topic_name('steps')
        self._topics = [RecordedTopic(
            self, name, kind, qos, partial(self._on_message, index),
            partial(recorder.miss, 'lost', index), self._on_mismatch,
            strict=qos is STEPS)        # a stranger's cost none of ours
            for index, (name, kind, qos) in enumerate(topics.values())]
        self._timeless = self._sim_time     # until the clock has come
        self._early = Early(list(topics).index(self._steps))
        self._first_time = self.create_timer(LOOK_PERIOD, self._look,
                                             clock=Clock(clock_type=ClockType.STEADY_TIME))
        observed = {self.resolve_topic_name(entry.topic) for entry in seen}
        self._observed = [topic for topic in self._topics if topic.name in observed]
        needs = {self.resolve_topic_name(entry.topic): (
            needed_rate(entry, self.contract.control_rate), entry.max_age) for entry in seen}
        self._vitals = RecordingVitals([Needed(name, *needs.get(name, ())) for name in topics],
                                       self._sim_time)
        for service, kind, call in (
                ('~/start_episode', Trigger, lambda request: self._start()),
                ('~/end_episode', SetBool, lambda request: recorder.end_episode(request.data)),
                ('~/discard_episode', Trigger, lambda request: recorder.discard_episode()),
                ('~/republish', Trigger, lambda request: recorder.republish())):
            self.create_service(kind, service, lambda request, response, call=call: _answer(
                response, *call(request)))
        self._health = HealthReporter(self, self._describe, self.contract.task, self._parts)

    def _greet(self, root: Path) -> None:
        """Tell where it records, and whether another contract's episodes are there.

        The oldest and the newest bag are asked: a session may be long.
        """
        self.get_logger().info(f'bags in {root.absolute()}')
        bags = find_bags(root)
        for bag in dict.fromkeys(bags[:1] + bags[-1:]):
            try:
                found = read_info(bag).custom_data.get('contract_hash', self.contract.hash)
            except (OSError, UserError):        # the recorder has told of it
                continue
            if found != self.contract.hash:
                self._on_event('other_contract', {
                    'folder': root, 'reason': 'holds episodes of another contract',
                    'bag': bag.name, 'found': found, 'contract': self.contract.hash})
                return

    def _on_message(self, index: int, data: bytes, info: dict) -> None:
        """Queue a message with when it arrived and when it was sent."""
        received = (self.get_clock().now().nanoseconds if self._sim_time
                    else info['received_timestamp'])
        self._vitals.heard(index, len(data), received)
        if self._in_time(received):
            self._recorder.put(index, data, received, info['source_timestamp'])
        elif not self._early.hold(index, data, info['source_timestamp']):
            self._recorder.miss('dropped', index, 1)
        name = self._topics[index].name
        if name == self._steps:
            self._company = None        # one is enough: a stop is commanded without
        elif self._company and name == self._action:
            self._company.come(time.monotonic())

    def _in_time(self, now: int) -> bool:
        """Tell whether time has begun; where it just did, date with it what came before."""
        if self._timeless and now:
            self._timeless = False
            for index, data, sent in self._early.release():
                self._recorder.put(index, data, now, sent)
        return not self._timeless

    def _look(self) -> None:
        """Let no message wait for the next one, once time has begun."""
        if self._in_time(self.get_clock().now().nanoseconds):
            self.destroy_timer(self._first_time)

    def _start(self) -> tuple[bool, str]:
        return (False, NO_CLOCK) if self._timeless else self._recorder.start_episode()

    def _on_mismatch(self, topic: str, policy: str) -> None:
        self._on_event('qos_mismatch', {'topic': topic, 'policy': policy})

    def _on_episode(self, record: EpisodeRecord) -> None:
        """Send transitions that are on disk; called from the recorder's thread."""
        self._transitions.publish(bytes_message(encode_episode(record, self.contract)))

    def _on_event(self, kind: str, values: dict) -> None:
        self._event(kind, WARN if kind in TROUBLE else OK, **values)

    def _describe(self) -> Health:
        stats = self._recorder.stats()
        misses = {kind: stats.pop(kind) for kind in MISSES}
        silent = [topic.name for topic in self._observed if not topic.seen]
        mismatches = {topic.name: topic.mismatches for topic in self._topics if topic.mismatches}
        values = {**stats, 'last_flush_age': f'{stats["last_flush_age"]:.2f} s',
                  'silent': ', '.join(silent), 'qos_mismatches': sum(mismatches.values()),
                  'before_clock': self._early.came,
                  **{kind: sum(counts.values()) for kind, counts in misses.items()},
                  **{f'{kind} {topic}': count for kind, counts in misses.items()
                     for topic, count in counts.items()}}
        if problem := _problem(stats):
            return Health(problem, values, ERROR)
        if self._timeless:
            return Health(NO_CLOCK, values, WARN)
        alone = self._company and self._company.alone(time.monotonic())
        if alone and not stats['bag']:
            return Health(f'commands come, but no step records on {self._steps}: nothing is '
                          'recorded', values, WARN)
        text = f'recording {stats["bag"]}' if stats['bag'] else 'waiting for an episode'
        if silent and stats['bag']:
            text += f', nothing came yet on {values["silent"]}'
        worth_a_look = silent and stats['bag'] or mismatches or any(misses.values())
        return Health(text, values, WARN if worth_a_look else OK)

    def _parts(self) -> list[Part]:
        return self._vitals.parts(self._live.settings, time.monotonic(),
                                  self.get_clock().now().nanoseconds, self._recorder.stats())

    def close(self) -> None:
        """Write what is queued and complete the open bag."""
        self._recorder.close()


def _problem(stats: dict) -> str:
    """Return why nothing is recorded, '' where there is no reason."""
    if not stats['alive']:
        return 'the writer ended'
    if stats['disk_full']:
        return 'disk is nearly full'
    return f'cannot write: {stats["write_error"]}' if stats['write_error'] else ''


def _answer(response, success: bool, message: str):
    response.success, response.message = success, message
    return response


def main() -> int:
    """Entry point."""
    return run(DataRecorder, Settings)


if __name__ == '__main__':
    sys.exit(main())
