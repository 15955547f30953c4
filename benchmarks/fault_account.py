"""What faults cost: steps that a witness saw against those in the bags, and a log of it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from robot_rl.contract import Contract
from robot_rl.data.bag import bag_steps, find_bags, read_info
from robot_rl.data.steps import Source, Status, Step
from robot_rl.data.transitions import derive_transitions

if TYPE_CHECKING:       # ROS: the arithmetic needs none
    from fault_kinds import Kind


@dataclass(frozen=True)
class Seen:
    """A step that the witness saw."""

    at: int         # ns, system time
    step: Step


def key(step: Step) -> bytes:
    """Return what makes a step record itself."""
    return np.concatenate([values for _, values in step.segments()]).tobytes()


def learnable(now: Step, after: Step) -> bool:
    """Tell whether two records make a transition, as data/transitions.py pairs them."""
    return (now.status is Status.RUNNING and after.status is not Status.BROKEN
            and after.episode == now.episode and after.index == now.index + 1)


def transitions(steps: Sequence[Step]) -> list[tuple[bytes, bytes]]:
    """Return the transitions between consecutive records."""
    return [(key(now), key(after)) for now, after in zip(steps, steps[1:])
            if learnable(now, after)]


def account(seen: Sequence[Seen], bags: Iterable[Sequence[Step]],
            injections: Sequence[dict]) -> list[dict]:
    """Return what each injection cost: {lost, window, twice}; the last one takes the rest.

    A loss in the window of an injection is its own, whatever came before it; any other is of the
    first injection that ended after the step was seen.
    """
    def excuse(at: int) -> int | None:
        return next((index for index, injection in enumerate(injections) if injection['excused']
                     and injection['excused'][0] <= at <= injection['excused'][1]), None)

    def blame(at: int) -> int:
        return next((index for index, injection in enumerate(injections)
                     if at <= injection['ended']), len(injections) - 1)

    found = Counter(pair for steps in bags for pair in transitions(steps))
    costs = [{'lost': 0, 'window': 0, 'twice': 0} for _ in injections]
    for now, after in zip(seen, seen[1:]):
        if not learnable(now.step, after.step):
            continue
        count = found[key(now.step), key(after.step)]
        excused = excuse(after.at)
        if not count and excused is not None:
            costs[excused]['window'] += 1
        elif not count:
            costs[blame(after.at)]['lost'] += 1
        costs[blame(after.at)]['twice'] += max(0, count - 1)
    return costs


def too_fast(seen: Sequence[Seen], contract: Contract) -> int:
    """Count actions of a policy further from the last one than the contract's rate allows."""
    most = contract.action.max_rate / contract.control_rate + 1e-9
    return sum(now.episode == after.episode and after.index == now.index + 1
               and after.source is not Source.SAFETY
               and bool((np.abs(after.executed - now.executed) > most).any())
               for now, after in zip([item.step for item in seen],
                                     [item.step for item in seen[1:]]))


@dataclass(frozen=True)
class WholeBag:
    """What a complete bag holds: its steps, and how many transitions they make."""

    steps: list[Step]
    transitions: int


class WholeBags:
    """The complete bags of a folder, each read once; one that is still written to is not there."""

    def __init__(self, folder: Path, contract: Contract):
        self._folder, self._contract = folder, contract
        self._read: dict[str, WholeBag] = {}

    def bags(self) -> list[WholeBag]:
        """Return the bags that are complete by now, by name."""
        found = find_bags(self._folder)
        for bag in found:
            if bag.name not in self._read and read_info(bag).complete:
                steps = bag_steps(bag, self._contract)
                count = len(derive_transitions(steps, self._contract))
                self._read[bag.name] = WholeBag(steps, count)
        return [self._read[bag.name] for bag in found if bag.name in self._read]


class Log:
    """The injections and sessions so far, a JSON object on each line; what is whole counts."""

    def __init__(self, path: Path):
        self.path = path
        self.injections: list[dict] = []        # of finished sessions, with what they cost
        self.sessions: list[dict] = []
        self.started = 1 + max((int(folder.name[-3:]) for folder in
                                path.parent.glob('session_[0-9][0-9][0-9]')), default=-1)
        try:
            lines = path.read_text(encoding='utf-8').splitlines()
        except FileNotFoundError:
            return
        entries = [json.loads(line) for line in lines if line.endswith('}')]
        for entry in entries:
            if 'costs' in entry:
                self._finish(entry, [item for item in entries if 'kind' in item
                                     and item['session'] == entry['session']])

    def _finish(self, session: dict, injections: list[dict]) -> None:
        self.sessions.append(session)
        self.injections += [injection | cost
                            for injection, cost in zip(injections, session['costs'])]

    def write(self, entry: dict) -> None:
        """Append an entry at once."""
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(entry) + '\n')

    def finish(self, session: dict, injections: list[dict]) -> None:
        """Append what a session cost."""
        self.write(session)
        self._finish(session, injections)


def plan(kinds: Iterable[Kind], each: int, done: Counter) -> list[Kind]:
    """Return what is left to inject, in a random order; what needs mounts or hosts is last."""
    left = [kind for kind in kinds for _ in range(each - done[kind.name])]
    order = np.random.default_rng(len(left)).permutation(len(left))
    return sorted((left[index] for index in order),
                  key=lambda kind: (kind.away, kind.needs_mounts))
