"""What the tests of recording share: steps as bytes, and waiting for a condition."""

from __future__ import annotations

from collections.abc import Callable
import queue
import time

import numpy as np
from robot_rl.data import cdr
from robot_rl.data.bag import BagWriter, read_info
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.steps import Mode, Source, Status, Step, STEPS_TYPE
from robot_rl.data.transitions import COLUMNS

STEPS = '/policy_server/steps'
TOPICS = [Topic('/joint_states', 'sensor_msgs/msg/JointState'),
          Topic('/events', 'std_msgs/msg/String'), Topic(STEPS, STEPS_TYPE)]
JOINTS, EVENTS, STEP = range(3)
START = 1_700_000_000_000_000_000       # ns
PERIOD = 50_000_000                     # ns


def make_step(index: int, status: Status = Status.RUNNING, episode: int = 0, position=None,
              success: bool = False, mode: Mode = Mode.LEARN, requested: float = 0.5) -> Step:
    position = index / 100 if position is None else position
    return Step(START + index * PERIOD, episode, index, status, Source.POLICY, mode, 7, success,
                np.array([position, 0.1]), np.array([requested]), np.array([0.25 + index / 7]))


def step_message(step: Step):
    segments = step.segments()
    dims = [cdr.new('std_msgs/msg/MultiArrayDimension', label=label, size=values.size, stride=0)
            for label, values in segments]
    return cdr.new(STEPS_TYPE,
                   layout=cdr.new('std_msgs/msg/MultiArrayLayout', dim=dims, data_offset=0),
                   data=np.concatenate([values for _, values in segments]))


def step_bytes(step: Step) -> bytes:
    return cdr.encode(STEPS_TYPE, step_message(step))


def episode_steps(count: int, last: Status = Status.TRUNCATED, episode: int = 0,
                  **values) -> list[Step]:
    """Return the count + 1 records of an episode of `count` actions."""
    return [make_step(index, episode=episode, **values) for index in range(count)] + [
        make_step(count, last, episode=episode, **values)]


def text_bytes(text: str) -> bytes:
    return cdr.encode('std_msgs/msg/String', cdr.new('std_msgs/msg/String', data=text))


def write_episode(folder, steps: list[Step], **custom_data: str) -> None:
    """Write a complete bag of these steps."""
    writer = BagWriter(folder, custom_data)
    topic = writer.add_topic(STEPS, STEPS_TYPE)
    for step in steps:
        writer.write(topic, step_bytes(step), step.stamp, step.stamp)
    writer.close(custom_data)


def wait_until(condition: Callable[[], object], seconds: float = 20.0):
    """Return the condition's first true value; fail where it stays false."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, 'the condition stayed false'
        time.sleep(0.002)
    return value


def same_bits(first, second) -> bool:
    """Tell whether transitions are the same to the bit."""
    return all(getattr(first, name).tobytes() == getattr(second, name).tobytes()
               for name in COLUMNS)


def custom(folder) -> dict[str, str]:
    """Return what a bag says of itself."""
    return read_info(folder).custom_data


class Recording:
    """A recorder under test: its published episodes and events are queues to wait on."""

    def __init__(self, root, contract, extra=None, steps_topic=STEPS, **settings):
        self.root = root
        self.episodes: queue.Queue = queue.Queue()
        self.events: list[tuple[str, dict]] = []
        self.recorder = EpisodeRecorder(
            root, contract, [*TOPICS[:STEP], Topic(steps_topic, STEPS_TYPE)],
            RecorderSettings(**{'settle': 0.0, **settings}), steps_topic,
            self.episodes.put, lambda kind, values: self.events.append((kind, values)), extra)

    def send(self, steps: list[Step], published: list[int] | None = None) -> list[int]:
        """Put step records; return when each was published, ns, by default now."""
        published = published or [time.time_ns() for _ in steps]
        for step, when in zip(steps, published, strict=True):
            assert self.recorder.put(STEP, step_bytes(step), step.stamp, when)
        return published

    def next_episode(self):
        return self.episodes.get(timeout=20.0)

    def wait_event(self, kind: str) -> dict:
        return wait_until(lambda: [values for name, values in self.events if name == kind])[-1]

    def wait_handled(self) -> None:
        """Wait until everything sent so far went through the writer thread."""
        wait_until(lambda: self.recorder.stats()['queue_bytes'] == 0)
