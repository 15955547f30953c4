"""What a recording is, for a person: how its episode went, and what each topic did.

Of a whole bag metadata.yaml tells, which is quick; topics in time, and bags that were interrupted,
cost reading every message. Any rosbag2 will do, also one that another tool recorded.

Rates and gaps are of the times at which messages were sent: what waited in a queue, as where a
bag begins on a busy computer, arrives at once. Where the clock is simulated, or the time of
sending is not stored, they are of the times of recording.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from robot_rl.data.bag import is_empty, NOTHING
from robot_rl.data.bag_metadata import read_metadata
from robot_rl.data.ingest_read import Recording
from robot_rl.errors import UserError
from robot_rl.locks import is_held

STATES = ('complete', 'open', 'interrupted', 'empty', 'unreadable')
MAX_DIGITS = 18
REAL_TIME, LATEST = 10 ** 18, 1 << 63       # ns; a clock that shows less than 2001 is simulated


@dataclass(frozen=True)
class TopicSummary:
    """The messages of a topic; `first`, `last` and `backwards` are of the times of recording."""

    name: str
    type: str
    messages: int
    rate: float | None = None       # Hz, by the median time between two
    gap: float | None = None        # s, the longest time between two
    first: float | None = None      # s since the first message of the bag was recorded
    last: float | None = None       # s
    backwards: int = 0              # times that the clock went back between two


@dataclass(frozen=True)
class BagSummary:
    """One bag. What it does not tell is None, or empty."""

    name: str
    state: str                          # one of STATES; open: somebody writes it
    outcome: str = ''
    label: str = ''                     # a human's verdict
    mode: str = ''
    policy_version: int | None = None
    steps: int | None = None            # step records
    transitions: int | None = None
    messages: int = 0
    duration: float | None = None       # s, from the first to the last message
    dropped: int | None = None          # messages, for want of memory
    lost: int | None = None             # messages, by the middleware
    missing_steps: int | None = None    # step records that never came
    reason: str = ''                    # why it is cut short, interrupted, empty or unreadable
    topics: tuple[TopicSummary, ...] | None = None      # None where they were not asked for


def summarize(name: str, recording: Recording, topics: bool) -> BagSummary:
    """Return what is in a recording, with its topics where they are asked for."""
    try:
        read = _whole if recording.folder else _interrupted
        return read(name, recording, topics)
    except (OSError, OverflowError, UserError) as error:
        return BagSummary(name, 'unreadable', reason=str(error))


def summarize_topic(name: str, type_name: str, times: np.ndarray, sent: np.ndarray, start: int
                    ) -> TopicSummary:
    """Return what a topic did; all times are int64 ns.

    times   (n,) when its messages were recorded, in this order
    sent    (n,) when they were sent, 0 where that is not stored
    start   when the bag's first message was recorded
    """
    if not len(times):
        return TopicSummary(name, type_name, 0)
    first, last = float(times.min() - start) / 1e9, float(times.max() - start) / 1e9
    if len(times) == 1:
        return TopicSummary(name, type_name, 1, first=first, last=last)
    known = min(times.min(), sent.min()) > REAL_TIME
    between = np.diff(np.sort(sent) if known else times) / 1e9      # sent in order, whatever came
    median = float(np.median(between))
    return TopicSummary(name, type_name, len(times), 1.0 / median if median > 0.0 else None,
                        float(between.max()), first, last, int((np.diff(times) < 0).sum()))


def _whole(name: str, recording: Recording, topics: bool) -> BagSummary:
    info = read_metadata(recording.folder)
    if not recording.files:
        raise UserError(f'{recording.folder}: its files are missing')
    counts = {topic: found.count for topic, found in info.topics.items()}
    found = None
    if topics:
        found = _read(recording, {topic: found.type for topic, found in info.topics.items()})
        if recording.damage and not any(topic.messages for topic in found):
            raise UserError('; '.join(recording.damage))
    return BagSummary(name, 'complete', messages=info.message_count, duration=info.duration / 1e9,
                      **_told(info.custom_data, counts, recording.damage), topics=found)


def _interrupted(name: str, recording: Recording, topics: bool) -> BagSummary:
    types, custom_data = recording.describe()
    found = _read(recording, types)
    counts = {topic.name: topic.messages for topic in found}
    working = any(map(is_held, recording.files))
    if not working and not any(counts.values()):
        if is_empty(recording.files):
            return BagSummary(name, 'empty', **_told(custom_data, counts, [NOTHING]))
        raise UserError('; '.join(recording.damage) or 'no message is readable')
    return BagSummary(
        name, 'open' if working else 'interrupted', messages=sum(counts.values()),
        duration=max((topic.last for topic in found if topic.messages), default=0.0),
        **_told(custom_data, counts, [] if working else recording.damage),
        topics=found if topics else None)


def _told(custom_data: dict[str, str], counts: dict[str, int], damage: list[str]) -> dict:
    """Return what the recorder says of an episode, and what reading met."""
    numbers = {key: _number(custom_data.get(key, '')) for key in (
        'policy_version', 'steps', 'transitions', 'dropped', 'lost', 'missing_steps')}
    if numbers['steps'] is None:
        numbers['steps'] = counts.get(custom_data.get('steps_topic', ''))
    texts = {key: custom_data.get(key, '') for key in ('outcome', 'label', 'mode')}
    return {**texts, **numbers, 'reason': '; '.join(filter(None, [custom_data.get('cut', ''),
                                                                  *damage]))}


def _number(text: str) -> int | None:
    digits = text.removeprefix('-')
    return int(text) if digits.isdecimal() and len(digits) <= MAX_DIGITS else None


def _read(recording: Recording, types: dict[str, str]) -> tuple[TopicSummary, ...]:
    """Read every message, and keep its times."""
    found = {topic: array('q') for topic in types}
    for topic, _, _, log_time, publish_time in recording.messages(types):
        found[topic].extend((log_time, publish_time if publish_time < LATEST else 0))
    times = {topic: np.frombuffer(pairs, np.int64).reshape(-1, 2).T
             for topic, pairs in found.items()}
    start = min((logged.min() for logged, _ in times.values() if len(logged)), default=0)
    return tuple(summarize_topic(topic, kind, *times[topic], start)
                 for topic, kind in types.items())
