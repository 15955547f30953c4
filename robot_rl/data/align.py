"""Recorded messages -> step records at the control rate, through the Assembler that runs live.

A robot's cycle is observation, command, observation. A tick lies a quarter of a period after the
moment at which everything had arrived, and its action is the command that is in effect half a
period later: messages that jitter by less than a quarter stay in their cycle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from robot_rl.contract import Contract, MAX_HORIZON
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.fields import BadMessage, OBSERVATION_TYPES
from robot_rl.observation import Assembler, MAX_AHEAD, Reading

COMMAND = -1                        # in place of the index of an input
COMMAND_AGE = 500_000_000           # ns that a command of velocity is taken to last
MAX_REASONS = 20                    # different ones that are counted by name
MAX_TEXT = 300                      # characters of a reason
_JUMP = round(MAX_AHEAD * 1e9)      # ns


def count(dropped: Counter[str], reason: str, times: int = 1) -> None:
    """Count a reason; hostile data cannot make more than MAX_REASONS of them."""
    reason = reason if len(reason) <= MAX_TEXT else f'{reason[:MAX_TEXT]}...'
    known = reason in dropped or len(dropped) < MAX_REASONS
    dropped[reason if known else 'other reasons'] += times


class Aligner:
    """Takes one recording's messages in file order; `cut` gives the steps since the last cut."""

    def __init__(self, contract: Contract, dropped: Counter[str]):
        """Begin; what cannot be used is counted in `dropped` by its reason."""
        self._contract, self._dropped = contract, dropped
        self._period = max(1, round(1e9 / contract.control_rate))
        self._measured = [contract.layout.slots[name] for name in contract.action.measured]
        self._holds = contract.action.on_stop == 'hold'
        self._restart()
        self._begin()

    def take(self, entries: Sequence[int], found: Sequence[Sequence[float] | BadMessage],
             stamp: int, time: int) -> None:
        """Take a message: for each of some entries what was read from it, or why that failed.

        An entry is the index of one of the contract's inputs, or COMMAND. The message arrived at
        `time` ns; its stamp in ns is 0 where it has none.
        """
        for entry, values in zip(entries, found):
            refused = isinstance(values, BadMessage)
            if entry == COMMAND and refused:
                self.drop(str(values))
                continue
            if time != self._now:
                self._advance(time)
            if entry == COMMAND:
                self._command, self._commanded = values, self._now
                continue
            if refused:
                self._assembler.refuse(entry, str(values))
                self.drop(str(values))
            elif self._assembler.hold(entry, values, stamp or self._now):
                self._break('time going back')
            if self._anchor is None and not self._assembler.stale(self._now):
                self._anchor, self._halves = self._now + self._period // 4, 0
                self._due = self._anchor

    def drop(self, reason: str) -> None:
        """Count something that could not be used."""
        count(self._dropped, reason)

    def cut(self) -> list[Step]:
        """End the episode; return its steps, the last of which was not acted on."""
        self._run(self._now + self._period // 4 + 1)
        if self._reading:
            self._append(self._reading, None)
        steps = self._finish()
        self._begin()
        return steps

    def _begin(self) -> None:
        self._ticks: list[tuple[Reading, int, Sequence[float] | None]] = []     # becomes the steps
        self._index = 0
        self._anchor: int | None = None     # ns of tick 0 of this run of ticks
        self._due = 0                       # ns of what comes next: a tick, or its command
        self._reading: Reading | None = None    # waits for its command

    def _restart(self) -> None:
        self._assembler = Assembler(self._contract)
        self._now = 0
        self._command, self._commanded = None, 0

    def _advance(self, time: int) -> None:
        """Let time come to a message."""
        if self._now - time > _JUMP:
            self._run(self._now + self._period // 4 + 1)
            self._break('time going back')
            self._restart()
        if time > self._now:
            self._now = time
            if self._due < time:
                self._run(time)

    def _run(self, until: int) -> None:
        """Run the ticks that lie before `until` ns."""
        while self._anchor is not None and (due := self._due) < until:
            self._halves += 1
            self._due = self._anchor + self._halves * self._period // 2
            if self._halves % 2:
                self._observed(self._assembler.take(due))
            elif self._contract.demonstrated == 'topic':
                self._act(due)

    def _observed(self, reading: Reading) -> None:
        stale = reading.stale or reading.reward_stale
        if stale:
            self._break(f'gap: {_entry(stale)}')
            return
        if self._contract.demonstrated == 'measured':
            self._append(reading, reading.values[self._measured])
            return
        if self._contract.demonstrated == 'next' and self._reading:
            self._append(self._reading, reading.values[self._measured])
        self._reading = reading

    def _act(self, now: int) -> None:
        reading, self._reading = self._reading, None
        if self._command is not None and (self._holds or now - self._commanded < COMMAND_AGE):
            self._append(reading, self._command)
        elif self._ticks:
            self._reading = reading
            self._break('gap: no command')
        else:
            self.drop('before the first command')

    def _break(self, reason: str) -> None:
        """Let the next step not follow on the last: no transition is made across."""
        if self._anchor is not None:
            self.drop(reason)
        if self._reading:       # what the last action led to is still known
            self._append(self._reading, None)
        self._reading, self._anchor = None, None
        self._index += 1

    def _append(self, reading: Reading, values: Sequence[float] | None) -> None:
        """Add a step; `values` None: nothing was done, the episode or its run of ticks ends."""
        if len(self._ticks) > MAX_HORIZON:
            self.drop(f'beyond {MAX_HORIZON} steps')
            return
        self._ticks.append((reading, self._index, values))
        self._index += 1

    def _finish(self) -> list[Step]:
        """Return the steps, their actions brought within the limits all at once."""
        if not self._ticks:
            return []
        action = self._contract.action
        nothing = np.zeros(len(action.layout))
        requested = np.array([nothing if values is None else values
                              for _, _, values in self._ticks])
        executed = np.minimum(np.maximum(requested, action.low), action.high)
        clipped = (executed != requested).any(axis=1)
        times = sum(was and values is not None
                    for was, (_, _, values) in zip(clipped.tolist(), self._ticks))
        if times:
            count(self._dropped, 'action outside its limits, clipped', times)
        by_person = (Status.RUNNING, Source.HUMAN, Mode.DEMONSTRATE, -1, False)
        return [Step(reading.stamp, 0, index, *by_person, reading.values, asked, done,
                     reading.reward)
                for (reading, index, _), asked, done in zip(self._ticks, requested, executed)]


class Clock:
    """The time of messages: when they arrived, or their stamps where those are of another clock.

    A simulation that is recorded in wall time stamps its messages in simulated time. What has no
    stamp is then as old as the last message that has one.
    """

    def __init__(self, contract: Contract):
        self.decided = not any(OBSERVATION_TYPES[entry.type].stamped
                               for entry in contract.observations)
        self._stamps, self._last = False, 0

    def __call__(self, stamp: int, log_time: int) -> int:
        """Return the time of a message in ns; `decided` tells whether it is final.

        Its stamp in ns is 0 where it has none.
        """
        if self.decided and not self._stamps:
            return log_time
        if stamp and not self.decided:
            self.decided, self._stamps = True, abs(stamp - log_time) > _JUMP
        if not self._stamps:
            return log_time
        self._last = stamp or self._last
        return self._last


def _entry(stale: str) -> str:
    """Return the entry and the kind of staleness without its figures, so that equal ones count."""
    name = stale.partition(' ')[0]
    kind = 'stamped ahead of the clock' if 'ahead' in stale.partition(';')[0] else 'over max_age'
    return f'{name} {kind}'
