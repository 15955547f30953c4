"""Anybody's recordings -> the demonstrations of a contract, and per episode what became of it.

A bag of our recorder holds step records, which tell the whole episode. A bag of `ros2 bag record`
holds raw topics, which are aligned (align.py). Either gives steps, and steps give transitions by
the one code path. One bad recording never stops the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
import json
from pathlib import Path

import numpy as np

from robot_rl.contract import Contract, MAX_HORIZON
from robot_rl.data import cdr
from robot_rl.data.align import Aligner, Clock, COMMAND, count
from robot_rl.data.align_action import compile_action
from robot_rl.data.ingest_decode import StepDecoder, TopicReader
from robot_rl.data.ingest_read import find_recordings, Recording
from robot_rl.data.steps import BadStep, EVENTS_TYPE, Status, Step, STEPS_TYPE
from robot_rl.data.transitions import (COLUMNS, derive_transitions, label_transitions,
                                       Transitions)
from robot_rl.errors import InvalidFile, Problem, UserError
from robot_rl.fields import BadMessage, Selection

OUTCOMES = ('all', 'successes')
_VERDICTS = {'success': 'success', 'failure': 'failure', 'discard': 'discarded', 'end': ''}


@dataclass(frozen=True)
class IngestSettings:
    """What counts as an episode, and which episodes are taken."""

    outcomes: str = 'all'           # or successes
    episode_gap: float = 0.0        # s of silence that begin a new episode; 0: never
    min_steps: int = 5              # actions; a shorter episode is dropped


@dataclass(frozen=True)
class Demonstration:
    """One episode as it was read."""

    recording: str
    number: int                     # within the recording, from 0
    outcome: str                    # success, failure, discarded, or as recorded; '' if unknown
    steps: tuple[Step, ...]
    transitions: Transitions
    refused: str = ''               # why it is not taken, or ''


@dataclass
class Reading:
    """What one recording gave; complete once its episodes have been iterated over."""

    recording: str
    episodes: list[dict] = field(default_factory=list)  # a summary of each
    dropped: Counter[str] = field(default_factory=Counter)      # reason -> times
    damage: list[str] = field(default_factory=list)     # where and why a file ended early
    refused: str = ''               # why nothing was read, or ''


class Ingest:
    """Iterate once over the taken demonstrations; `readings` tells of all, also the dropped.

    Memory is bounded by one episode (MAX_HORIZON steps) and a few records of at most 256 MiB.
    `stop` is asked before each recording.
    """

    def __init__(self, roots: Iterable[Path], contract: Contract,
                 settings: IngestSettings = IngestSettings(),
                 stop: Callable[[], bool] = lambda: False):
        self._roots, self._contract, self._settings = list(roots), contract, settings
        self._stop = stop
        self._readers: dict[tuple, TopicReader] = {}    # see _aligned
        self.readings: list[Reading] = []

    def __iter__(self) -> Iterator[Demonstration]:
        for root in self._roots:
            try:
                recordings = find_recordings(root)
            except (UserError, OSError) as error:
                self.readings.append(Reading(str(root), refused=str(error)))
                continue
            for recording in recordings:
                if self._stop():
                    return
                yield from self._read(recording)

    def _read(self, recording: Recording) -> Iterator[Demonstration]:
        reading = Reading(recording.name)
        self.readings.append(reading)
        try:
            for number, (steps, outcome) in enumerate(
                    _episodes(recording, self._contract, self._settings, reading.dropped,
                              self._readers)):
                found = _judge(Demonstration(recording.name, number, outcome, tuple(steps), None),
                               self._contract, self._settings)
                reading.episodes.append(_summary(found, self._contract))
                if not found.refused:
                    yield found
        except (UserError, OSError) as error:
            reading.refused = '; '.join([str(error), *recording.damage])
        except Exception as error:  # noqa: B902, hostile bytes fail in ways nobody has declared
            reading.refused = f'{recording.name}: {type(error).__name__}: {error}'
        reading.damage = list(recording.damage)
        if not reading.episodes and not reading.refused:
            reasons = [*reading.damage, *reading.dropped] or ['it has no message of the contract']
            reading.refused = f'{recording.name}: no episode: ' + '; '.join(reasons)


def match_topic(name: str, type_name: str, topics: dict[str, str]) -> str:
    """Return the recorded topic of a contract's name: itself, or the only one that ends so.

    Raises UserError with what the recording has instead.
    """
    exact = f'/{name.removeprefix("~").strip("/")}'
    if exact in topics and topics[exact] != type_name:
        raise UserError(f'type mismatch: {exact}: expected {type_name}, found {topics[exact]}')
    if exact in topics:
        return exact
    near = sorted(topic for topic, kind in topics.items()
                  if topic.endswith(exact) and kind == type_name)
    if len(near) == 1:
        return near[0]
    if near:
        raise UserError(f'missing topic {exact}: one of {", ".join(near[:5])} may be meant; '
                        'name it in full in the contract')
    there = ', '.join(sorted(topics)[:20]) or 'none'
    raise UserError(f'missing topic {exact} of type {type_name}; the recording has: {there}')


def _episodes(recording: Recording, contract: Contract, settings: IngestSettings,
              dropped: Counter, readers: dict) -> Iterator[tuple[list[Step], str]]:
    """Yield (steps, outcome) of every episode in a recording."""
    topics, custom_data = recording.describe()
    if 'interface' in custom_data:
        contract.check_interface(_interface(recording, custom_data), source=recording.name)
    outcome = custom_data.get('label') or custom_data.get('outcome', '')
    outcome = '' if outcome == 'incomplete' else outcome
    wanted = custom_data.get('steps_topic', '')
    steps_topic = wanted if wanted in topics else next(
        (name for name, kind in topics.items()
         if kind == STEPS_TYPE and name.rpartition('/')[2] == 'steps'), '')
    found = False
    if steps_topic and contract.demonstrated == 'topic':
        for steps in _recorded(recording, steps_topic, contract, dropped):
            found = True
            yield steps, outcome
    if not found:
        for steps, verdict in _aligned(recording, topics, contract, settings, dropped,
                                       readers):
            yield steps, verdict or outcome


def _interface(recording: Recording, custom_data: dict[str, str]) -> dict:
    try:
        return json.loads(custom_data['interface'])
    except (ValueError, RecursionError) as error:
        raise InvalidFile(recording.name, [Problem('custom_data.interface', 'JSON', str(error))]
                          ) from None


def _recorded(recording: Recording, topic: str, contract: Contract, dropped: Counter
              ) -> Iterator[list[Step]]:
    """Yield the step records of every episode that a policy server ran."""
    steps: list[Step] = []
    decode_step = StepDecoder(contract)
    for _, _, data, _, _ in recording.messages([topic]):
        try:
            step = decode_step(data)
        except (BadMessage, BadStep) as error:
            count(dropped, str(error))
            continue
        if steps and (step.episode != steps[-1].episode or step.index <= steps[-1].index
                      or len(steps) > MAX_HORIZON):
            yield steps
            steps = []
        steps.append(step)
    if steps:
        yield steps


def _aligned(recording: Recording, topics: dict[str, str], contract: Contract,
             settings: IngestSettings, dropped: Counter, known: dict
             ) -> Iterator[tuple[list[Step], str]]:
    """Yield (steps, verdict) of every episode in raw topics, aligned at the control rate.

    Recordings are much alike: what reads their topics is kept in `known`, by the entries.
    """
    entries, readers = _match_topics(topics, contract, known)
    events = [name for name, kind in topics.items()
              if kind == EVENTS_TYPE and name.rpartition('/')[2] == 'events']
    aligner, marks = Aligner(contract, dropped), _Marks(dropped)
    clock, early = Clock(contract), {}
    gap, seen = settings.episode_gap * 1e9, 0
    for topic, kind, data, log_time, _ in recording.messages([*readers, *events]):
        reader = readers.get(topic)
        if not reader:
            for event in _event_kinds(data):
                if event == 'start' or event in _VERDICTS:
                    yield from marks.close(aligner.cut(), event)
            continue
        try:
            if kind != reader.type:
                raise BadMessage(f'type mismatch: {topic}: expected {reader.type}, found {kind}')
            stamp, found = reader(data)
        except BadMessage as error:
            aligner.drop(str(error))
            continue
        time = clock(stamp, log_time)
        if not clock.decided:           # held back: nothing is whole before the first stamp
            early[topic] = found
            continue
        if early:
            for place, held in early.items():
                aligner.take(entries[place], held, 0, time)
            early = {}
        if gap and seen and time - seen > gap:
            yield from marks.close(aligner.cut(), '')
        seen = time
        aligner.take(entries[topic], found, stamp, time)
    yield from marks.close(aligner.cut(), '')


def _match_topics(topics: dict[str, str], contract: Contract, known: dict
                  ) -> tuple[dict[str, list[int]], dict[str, TopicReader]]:
    """Return by topic which entries of the contract are read from it, and what reads them."""
    needed = [(index, entry.topic, entry.type, entry.selection)
              for index, entry in enumerate(contract.inputs)]
    if contract.demonstrated == 'topic':
        action = contract.action
        needed.append((COMMAND, action.topic, action.type, compile_action(action)))
    entries: dict[str, list[int]] = {}
    selections: dict[str, list[Selection]] = {}
    for index, name, type_name, selection in needed:
        topic = match_topic(name, type_name, topics)
        entries.setdefault(topic, []).append(index)
        selections.setdefault(topic, []).append(selection)
    readers = {}
    for topic, indices in entries.items():
        key = (topics[topic], *indices)
        readers[topic] = known.setdefault(key, TopicReader(topics[topic], selections[topic]))
        readers[topic].begin()
    return entries, readers


class _Marks:
    """Episodes by events: a start begins one, a verdict ends it; without events all is one."""

    def __init__(self, dropped: Counter):
        self._dropped = dropped
        self._started = False       # a start was seen: what lies outside of start and end is none
        self._open = True

    def close(self, steps: list[Step], event: str) -> Iterator[tuple[list[Step], str]]:
        """Yield the steps before an event with its verdict, where they are an episode."""
        outside = not self._open or (event == 'start' and not self._started)
        if event == 'start':
            self._started = self._open = True
        elif event and self._started:
            self._open = False
        if len(steps) > 1 and outside:
            count(self._dropped, 'before the start of an episode')
        elif len(steps) > 1:
            yield steps, _VERDICTS.get(event, '')


def _event_kinds(data: bytes) -> list[str]:
    try:
        return [str(status.message) for status in cdr.decode(EVENTS_TYPE, data).status]
    except BadMessage:
        return []


def _judge(found: Demonstration, contract: Contract, settings: IngestSettings) -> Demonstration:
    """Return the demonstration up to its success, with its transitions, or why it is dropped."""
    steps = list(found.steps)
    if steps[-1].status is Status.RUNNING:      # aligned, or a recording that was cut short
        steps = _ended(steps, contract)
    outcome = found.outcome or ('success' if steps[-1].success else '')
    with np.errstate(over='ignore'):
        transitions = label_transitions(derive_transitions(steps, contract), outcome)
    refused = ''
    if not all(np.isfinite(getattr(transitions, column)).all() for column in COLUMNS):
        refused = 'a value is too large for float32'
    elif outcome == 'discarded':
        refused = 'discarded'
    elif len(transitions) < settings.min_steps:
        refused = f'too short: {len(transitions)} actions, at least {settings.min_steps}'
    elif settings.outcomes == 'successes' and outcome != 'success':
        refused = f'not a success: {outcome or "unknown outcome"}'
    return replace(found, steps=tuple(steps), outcome=outcome, transitions=transitions,
                   refused=refused)


def _ended(steps: list[Step], contract: Contract) -> list[Step]:
    """Return the steps up to the first success, the last of which is the end of the episode."""
    try:
        success = contract.is_success(np.array([step.observation for step in steps]))
    except Exception as error:  # noqa: B902, user code may raise anything
        raise UserError(f'{contract.success_name}: {type(error).__name__}: {error}') from error
    solved = bool(success.any())
    last = int(np.argmax(success)) if solved else len(steps) - 1
    status = Status.TERMINATED if solved else Status.TRUNCATED
    return [*steps[:last], replace(steps[last], status=status, success=solved)]


def _summary(found: Demonstration, contract: Contract) -> dict:
    """Return one row of the report."""
    return {'episode': found.number, 'outcome': found.outcome or 'unknown',
            'actions': len(found.transitions),
            'seconds': round(len(found.transitions) / contract.control_rate, 3),
            'taken': not found.refused, 'reason': found.refused}
