"""The step record: what was seen, asked and done in one control tick, as labelled numbers.

On the wire it is a std_msgs/Float64MultiArray with one `layout.dim` per segment: label and size.
The segment `reward` is there where the contract's reward is a topic.
An episode of n actions has n + 1 records; the last carries the final observation and an end
status, and its action was never executed. Steps alone tell the whole episode, whatever order
other topics arrive in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

STEPS_TYPE = 'std_msgs/msg/Float64MultiArray'
EVENTS_TYPE = 'diagnostic_msgs/msg/DiagnosticArray'      # what happened beside them
MAX_VALUES = 10_000
LARGEST = np.finfo(np.float32).max      # of a number that is learned from


class Status(IntEnum):
    """Where the episode stands at a record."""

    RUNNING = 0
    TERMINATED = 1      # the task ended: no value beyond this state
    TRUNCATED = 2       # time limit: the state has a future, bootstrap from it
    ABORTED = 3         # stopped from outside (operator, gate): the state has a future too
    BROKEN = 4          # the observation is not to be trusted: no transition leads here


class Source(IntEnum):
    """Who chose the executed action."""

    POLICY = 0
    HUMAN = 1
    SAFETY = 2
    RANDOM = 3


class Mode(IntEnum):
    """Who acted in the episode; of the server's mode `mixed` each episode is one of these."""

    RANDOM = 0
    LEARN = 1           # the learner's policy, sampled; at random until it has learned
    EVALUATE = 2        # the learner's policy, greedy
    EXPLORE = 3         # a frozen explorer, sampled, with or without a random tail
    TRANSFER = 4        # the policy that is optimal in the simulator, greedy
    DEMONSTRATE = 5     # a demonstrator: a person, or what was fitted to them, sampled
    SCRIPTED = 6        # the task's scripted person, with Source.HUMAN: whom it stands for

    @property
    def greedy(self) -> bool:
        """Whether the episode measures a policy: it acts by its mode, not by samples."""
        return self in (Mode.EVALUATE, Mode.TRANSFER)


class BadStep(Exception):
    """A step record whose segments are not those of the contract."""


@dataclass(frozen=True)
class Step:
    """One control tick."""

    stamp: int                  # ns, of the newest observation used
    episode: int                # counts up within one run of the policy server
    index: int                  # control step within the episode, from 0
    status: Status
    source: Source
    mode: Mode
    policy_version: int
    success: bool
    observation: np.ndarray     # (n,) float64
    requested: np.ndarray       # (m,) float64, what the policy asked for
    executed: np.ndarray        # (m,) float64, what was sent
    reward: float | None = None     # of a topic, for what led here; None without one in force

    def segments(self) -> list[tuple[str, np.ndarray]]:
        """Return (label, values) in wire order."""
        head = {'stamp': divmod(self.stamp, 1_000_000_000), 'episode': (self.episode,),
                'index': (self.index,), 'status': (self.status,), 'source': (self.source,),
                'mode': (self.mode,), 'policy_version': (self.policy_version,),
                'success': (self.success,), 'observation': self.observation,
                'requested': self.requested, 'executed': self.executed}
        if self.reward is not None:
            head['reward'] = (self.reward,)
        return [(label, np.asarray(values, np.float64)) for label, values in head.items()]


def step_from_message(message, observation_size: int, action_size: int) -> Step:
    """Decode a Float64MultiArray-like object, matching segments by label; raise BadStep."""
    sizes = {'stamp': 2, 'episode': 1, 'index': 1, 'status': 1, 'source': 1, 'mode': 1,
             'policy_version': 1, 'success': 1, 'observation': observation_size,
             'requested': action_size, 'executed': action_size}
    data = np.asarray(message.data, np.float64)
    found = {dim.label: dim.size for dim in message.layout.dim}
    if 'reward' in found:
        sizes['reward'] = 1
    if (found != sizes or len(message.layout.dim) != len(sizes)     # a label given twice
            or len(data) != sum(sizes.values()) or len(data) > MAX_VALUES):
        raise BadStep(f'step record has segments {found} and {len(data)} values, '
                      f'the contract needs {sizes}')
    parts, start = {}, 0
    for dim in message.layout.dim:
        parts[dim.label] = data[start:start + dim.size]
        start += dim.size
    if not (np.abs(data) <= LARGEST).all():     # or NaN
        for label, values in parts.items():     # what a policy requested may be anything: kept
            if label != 'requested' and not (np.abs(values) <= LARGEST).all():
                raise BadStep(f'step record: {label} is not finite in float32')
    try:
        return Step(
            stamp=int(parts['stamp'][0]) * 1_000_000_000 + int(parts['stamp'][1]),
            episode=int(parts['episode'][0]), index=int(parts['index'][0]),
            status=Status(int(parts['status'][0])), source=Source(int(parts['source'][0])),
            mode=Mode(int(parts['mode'][0])), policy_version=int(parts['policy_version'][0]),
            success=bool(parts['success'][0]), observation=parts['observation'],
            requested=parts['requested'], executed=parts['executed'],
            reward=float(parts['reward'][0]) if 'reward' in parts else None)
    except ValueError as error:
        raise BadStep(f'step record: {error}') from None
