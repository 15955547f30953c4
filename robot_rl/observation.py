"""The latest message of every observed topic, held until the next tick reads one vector.

Where the contract's reward is a topic it is one more entry, behind those of the vector: what is
newest when an observation is taken is the reward of the transition that leads there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot_rl.contract import Contract
from robot_rl.fields import BadMessage, REWARD_TYPES, stamp_of
from robot_rl.inputs import Observation

MAX_AHEAD = 1.0     # s; a stamp further ahead or back is of another clock, or of one set back


@dataclass(frozen=True)
class Reading:
    """One observation vector and whether it may be acted on."""

    values: np.ndarray      # (n,) float64; NaN where nothing has arrived
    stamp: int              # ns, of the newest entry
    stale: str              # why it must not be acted on, or ''
    reward: float | None = None     # of a topic, in force now; None without one
    reward_stale: str = ''  # why the topic that the contract names gives none


@dataclass
class _Held:
    values: Sequence[float]
    stamped: bool           # its type has a header
    stamp: int = 0          # ns, header stamp where there is one, else the time of arrival
    fresh: bool = False     # arrived since the last `take`


class Assembler:
    """Holds the last good value per entry (alignment `hold`), and knows how old it is."""

    def __init__(self, contract: Contract):
        self._entries = contract.inputs
        self._held = [_Held([np.nan] * len(entry.selection.components),
                            REWARD_TYPES[entry.type].stamped) for entry in self._entries]
        both, size = list(zip(self._entries, self._held)), len(contract.observations)
        self._observed, self._reward = both[:size], both[size:]
        observed = self._held[:size]
        stamped = [held for held in observed if held.stamped]
        self._dated = stamped or observed       # times of arrival are of another clock
        self._taken = 0                     # ns, newest stamp already acted on
        self.refused: dict[str, str] = {}   # entry -> why its last message was refused

    def update(self, index: int, message, received: int) -> bool:
        """Take a message of entry `index` that arrived at `received` ns; keep the last if bad.

        Return whether its time began again: the simulator that gives it was restarted.
        """
        selection = self._entries[index].selection
        try:
            values = selection.finish(selection.pick(message))
        except BadMessage as error:
            self.refuse(index, str(error))
            return False
        return self.hold(index, values, stamp_of(message) or received)

    def refuse(self, index: int, reason: str) -> None:
        """Remember why the last message of entry `index` was refused."""
        self.refused[self._entries[index].name] = reason

    def hold(self, index: int, values: Sequence[float], stamp: int) -> bool:
        """Do what `update` does with what was read from a message, and its stamp in ns."""
        held = self._held[index]
        if self.refused:
            self.refused.pop(self._entries[index].name, None)
        again = False
        if stamp < held.stamp:
            again = (held.stamp - stamp) * 1e-9 > MAX_AHEAD
            if again:
                self._taken = 0
            elif held.stamped:          # overtaken on the way: the newer one holds
                return False
        held.values, held.stamp, held.fresh = values, stamp, True
        return again

    @property
    def newest(self) -> int:
        """The newest stamp held, ns; times of arrival count only where no entry has stamps."""
        return max([held.stamp for held in self._dated])

    def complete(self) -> bool:
        """Whether every entry has arrived since the last tick and all are of one instant.

        A lockstep simulator stamps all topics of a step alike and waits for the action, so this
        is when to act. A step that was sent again carries a stamp already taken. The reward is
        waited for as well; with a stamp, that of the observation, it is surely of this step.
        """
        newest = self.newest
        return newest > self._taken and all(
            held.fresh and (held.stamp == newest or not held.stamped) for held in self._held)

    def take(self, now: int) -> Reading:
        """Read the vector at time `now` ns, to act on it."""
        for held in self._held:
            held.fresh = False
        self._taken = self.newest
        return self.look(now)

    def look(self, now: int) -> Reading:
        """Read the vector at time `now` ns, and leave it to be acted on."""
        values: list[float] = []
        for _, held in self._observed:
            values += held.values
        stale, reward_stale = self._stale(self._observed, now), self._stale(self._reward, now)
        reward = self._reward[0][1].values[0] if self._reward and not reward_stale else None
        return Reading(np.array(values), self.newest, stale, reward, reward_stale)

    def ages(self, now: int) -> list[float]:
        """Return how old each entry is at time `now` ns, in s, the reward's last."""
        return [(now - held.stamp) * 1e-9 for held in self._held]

    def stale(self, now: int) -> str:
        """Return why not to act at time `now` ns, or ''."""
        return self._stale([*self._observed, *self._reward], now)

    def _stale(self, entries: Sequence[tuple[Observation, _Held]], now: int) -> str:
        reasons = []
        for entry, held in entries:
            age = (now - held.stamp) * 1e-9
            if not held.stamp:
                reasons.append(f'{entry.name} never arrived on {entry.topic}')
            elif age > entry.max_age:
                reasons.append(f'{entry.name} on {entry.topic} is {age:.2f} s old, max_age '
                               f'{entry.max_age:g} s')
            elif age < -MAX_AHEAD:
                reasons.append(f'{entry.name} on {entry.topic} is stamped {-age:.2f} s ahead of '
                               'the clock')
            else:
                continue
            if entry.name in self.refused:
                reasons.append(self.refused[entry.name])
        return '; '.join(reasons)
