"""What a report takes from one bag besides its transitions: events, people, times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

import numpy as np
from robot_rl.contract import Contract
from robot_rl.data import cdr
from robot_rl.data.bag import read_bag
from robot_rl.data.bag_metadata import BagInfo
from robot_rl.data.bag_summary import REAL_TIME
from robot_rl.data.steps import EVENTS_TYPE, STEPS_TYPE
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.fields import BadMessage
from robot_rl.learning.coverage import feature_names

LONGEST_NAME, LONGEST_REASON = 80, 240      # characters; what a bag says is anybody's text


@dataclass(frozen=True)
class Details:
    """What happened in one episode."""

    reward: float               # sum
    actions: int                # transitions
    human: int                  # actions that a person chose
    stretches: int              # times that a person took over
    ended: str                  # reason of its `end` event, '' where the bag has none
    stops: tuple[tuple[int, str, str], ...]     # stamp in ns, node and reason of `stop` events
    intervals: np.ndarray       # (k - 1,) s between the k step records as they were published
    latency: np.ndarray         # (k,) s from the newest observation to its step record; or (0,)
    features: np.ndarray        # (actions, d) float32, of the task, for the coverage map
    number: int | None = None   # of the episode, as policy_server counts them
    ends: dict[str, str] = field(default_factory=dict)      # reasons by number, of all its events


def read_details(info: BagInfo, transitions: Transitions, contract: Contract) -> Details:
    """Return the details of a bag; what cannot be read of its events is left out."""
    steps_topic, ended, stops, published, stamps = '', '', [], [], []
    number = None
    for topic, kind in info.topics.items():
        if kind.type == STEPS_TYPE and topic == info.custom_data.get('steps_topic', topic) and (
                topic.rpartition('/')[2] == 'steps' or 'steps_topic' in info.custom_data):
            steps_topic = topic
    wanted = {topic for topic, kind in info.topics.items() if kind.type == EVENTS_TYPE}
    ends: dict[str, str] = {}
    for message in read_bag(info.folder, wanted | {steps_topic}):
        if message.topic == steps_topic:
            head = _head(message.data)
            if head is not None:
                stamps.append(head[0])
                published.append(message.publish_time)
                number = head[1] if number is None else number
            continue
        for stamp, node, kind, values in _events(message.data):
            if kind == 'end' and 'reason' in values:
                ends[values.get('episode', '')] = values['reason']
            elif kind == 'stop' and 'reason' in values:
                stops.append((stamp, node, values['reason']))
    ended = ends.get(str(number), '')
    between = np.diff(published) / 1e9 if len(published) > 1 else np.zeros(0)
    real = bool(stamps) and min(stamps) > REAL_TIME
    latency = (np.subtract(published, stamps) / 1e9) if real else np.zeros(0)
    return Details(
        float(transitions.reward.sum()), len(transitions), int(transitions.human.sum()),
        int((np.diff(transitions.human, prepend=0.0) > 0.0).sum()), ended, tuple(stops),
        between, latency, _features(transitions, contract), number, ends)


def with_late_ends(found: Sequence[Details]) -> list[Details]:
    """Return details in the order of recording with the ends that came too late for their bag.

    Where the next episode begins at once, an end may be recorded after it has begun.
    """
    return [details if details.ended else replace(
        details, ended=following.ends.get(str(details.number), ''))
        for details, following in zip(found, found[1:])] + list(found[-1:])


def pooled(found: Iterable[Details], name: str) -> np.ndarray:
    """Return the `intervals` or the `latency` of all episodes, s."""
    return np.concatenate([np.zeros(0), *(getattr(details, name) for details in found)])


def quantiles(found: Iterable[Details], name: str) -> dict[str, float] | None:
    """Return count, median, 99 % quantile and largest of `intervals` or `latency`, in ms."""
    values = pooled(found, name)
    if not len(values):
        return None
    p50, p99, most = (round(1000.0 * float(np.quantile(values, share)), 3)
                      for share in (0.5, 0.99, 1.0))
    return {'count': len(values), 'p50': p50, 'p99': p99, 'max': most}


def _head(data: bytes) -> tuple[int, int] | None:
    """Return stamp in ns and episode of a step record; its segments begin so on the wire."""
    try:
        message = cdr.decode(STEPS_TYPE, data)
        if [dim.label for dim in message.layout.dim[:2]] != ['stamp', 'episode']:
            return None
        seconds, nanoseconds, episode = (float(value) for value in message.data[:3])
        if not all(map(isfinite, (seconds, nanoseconds, episode))):
            return None
        return int(seconds) * 10 ** 9 + int(nanoseconds), int(episode)
    except (BadMessage, ValueError):
        return None


def _events(data: bytes) -> list[tuple[int, str, str, dict[str, str]]]:
    """Return stamp, node, kind and values of the events in a message."""
    try:
        message = cdr.decode(EVENTS_TYPE, data)
    except (BadMessage, UserError):
        return []
    stamp = message.header.stamp
    stamp = stamp.sec * 10 ** 9 + stamp.nanosec
    return [(stamp, status.name[:LONGEST_NAME], status.message,
             {pair.key: pair.value[:LONGEST_REASON] for pair in status.values})
            for status in message.status]


def _features(transitions: Transitions, contract: Contract) -> np.ndarray:
    columns = [contract.layout.slots[name] for name in feature_names(contract)]
    return transitions.next_observation[:, columns]
