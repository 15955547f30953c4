"""One episode while it is recorded: its open bag, its steps, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from robot_rl.contract import Contract, MAX_HORIZON
from robot_rl.data.bag import BagWriter
from robot_rl.data.step_stream import Arrived
from robot_rl.data.steps import Status, Step
from robot_rl.data.transitions import derive_transitions, label_transitions, Transitions

_STOPPED = (Status.ABORTED, Status.BROKEN)

# What the learner keeps an episode as, by its mode. What evaluates a policy teaches nothing; what
# a scripted person does reaches the learner as a person's demonstrations do, by demo_bags.
SOURCES = {'random': 'online', 'learn': 'online', 'demonstrate': 'online', 'explore': 'explorers'}


@dataclass(frozen=True)
class Topic:
    """A topic to record; `qos` is rosbag2's YAML list of the offered profiles."""

    name: str
    type: str
    qos: str = ''


@dataclass(frozen=True)
class EpisodeRecord:
    """A published episode, as the learner needs it."""

    name: str                   # of its bag
    sequence: int               # counts all episodes ever published in the session, from 1
    total: int                  # published episodes of the session now, with this one
    transitions: Transitions
    outcome: str                # success, failure, truncated, aborted, abandoned or incomplete
    label: str                  # a human's verdict, success or failure, or empty
    session: str
    stamp: int                  # ns, of the last step
    mode: str                   # of the policy server, as in `Mode`, lower case
    policy_version: int

    @property
    def key(self) -> str:
        """Session and name."""
        return f'{self.session}/{self.name}'


def episode_record(name: str, custom_data: dict[str, str], steps: list[Step],
                   transitions: Transitions, total: int) -> EpisodeRecord:
    """Return the record of a complete bag that has transitions."""
    return EpisodeRecord(
        name, int(custom_data['sequence']), total, transitions, custom_data.get('outcome', ''),
        custom_data.get('label', ''), custom_data['session'], steps[-1].stamp,
        steps[0].mode.name.lower(), steps[0].policy_version)


class OpenEpisode:
    """Owned by the writer thread; `now` is a monotonic clock in seconds."""

    def __init__(self, folder: Path, topics: Iterable[Topic], custom_data: dict[str, str],
                 by_operator: bool, now: float):
        self.folder = folder
        self.custom_data = custom_data
        self.by_operator = by_operator          # opened by the service, not by a step
        self.steps: list[Step] = []
        self.label = ''                         # a human's verdict: success or failure
        self.discarded = False
        self.close_at: float | None = None      # when to close, once the end is known
        self.stepped_at = self.flushed_at = self.synced_at = now
        self.writer = BagWriter(folder, custom_data)
        self._channels = [self.writer.add_topic(topic.name, topic.type, topic.qos)
                          for topic in topics]

    @property
    def name(self) -> str:
        """Name of the bag."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether the policy's episode came to its end."""
        return bool(self.steps) and self.steps[-1].status is not Status.RUNNING

    @property
    def running(self) -> bool:
        """Whether a policy's episode is under way."""
        return bool(self.steps) and not self.finished

    def takes(self, step: Step) -> bool:
        """Whether a step belongs here: a bag holds at most one episode of the policy."""
        return not self.steps or (
            self.running and step.episode == self.steps[-1].episode and step.index > 0
            and len(self.steps) <= MAX_HORIZON)

    def write(self, topic_id: int, data: bytes, log_time: int, publish_time: int) -> None:
        """Append one message."""
        self.writer.write(self._channels[topic_id], data, log_time, publish_time)

    def precede(self, topic_id: int, before: Arrived, log_time: int) -> None:
        """Begin with the step that led to the first one, though another bag ends with it."""
        self.steps.append(before.step)
        self.write(topic_id, before.data, log_time, before.published)

    def transitions(self, contract: Contract) -> Transitions:
        """Return what the steps so far teach; raise UserError where the reward fails."""
        return label_transitions(derive_transitions(self.steps, contract), self.label)

    def outcome(self, cut_short: str) -> str:
        """Return how the episode ended; `cut_short` is why, where nothing else ended it."""
        if self.discarded or self.label or not self.finished:
            return 'discarded' if self.discarded else self.label or cut_short
        last = self.steps[-1]
        if last.status in _STOPPED:
            return 'aborted'
        if last.success:
            return 'success'
        return 'truncated' if last.status is Status.TRUNCATED else 'failure'

    def mark(self, label: str = '', discarded: bool = False) -> None:
        """Put a human's verdict on the disk now: it must outlive a crash before the close."""
        self.label = label
        self.discarded = self.discarded or discarded        # a discard is not taken back
        self.writer.update({**self.custom_data, 'label': label,
                            'outcome': self.outcome('incomplete')})

    def close(self, **custom_data: str) -> dict[str, str]:
        """Complete the bag on disk and return all its custom data."""
        if self.steps:
            custom_data['mode'] = self.steps[0].mode.name.lower()
            custom_data['policy_version'] = str(self.steps[0].policy_version)
        custom_data = {**self.custom_data, **custom_data, 'label': self.label,
                       'steps': str(len(self.steps))}
        self.writer.close(custom_data)
        return custom_data
