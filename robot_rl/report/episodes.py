"""The episodes of a run, and how often those succeeded that came to an end of their own.

One that was stopped or cut off could no longer succeed, and one that a person helped with does not
measure a policy: they are left out of every rate, and counted beside it. The nodes count alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from robot_rl.data.episode import SOURCES
from robot_rl.data.steps import Mode
from robot_rl.intervals import wilson
from robot_rl.learning.base_success import JUDGED
from robot_rl.report.bags import Details
from robot_rl.run_folder import BAGS

STOPPED, HELPED = 'stopped', 'helped'       # why an episode is left out
GREEDY = tuple(mode.name.lower() for mode in Mode if mode.greedy)


@dataclass(frozen=True)
class Episode:
    """One recorded episode, as its bag describes it."""

    name: str
    mode: str
    policy_version: int
    outcome: str
    steps: int
    dropped: int
    folder: str = BAGS          # one of FOLDERS
    details: Details | None = None

    @property
    def learned_from(self) -> bool:
        """Whether the learner took it for experience."""
        return self.folder == BAGS and self.mode in SOURCES

    @property
    def success(self) -> bool:
        """Whether the task was solved."""
        return self.outcome == 'success'

    @property
    def left_out(self) -> str:
        """Why it counts neither as a success nor as a failure, '' where it counts."""
        if self.outcome not in JUDGED:
            return STOPPED
        helped = self.mode in GREEDY and self.details is not None and self.details.human > 0
        return HELPED if helped else ''


def counted(episodes: Iterable[Episode]) -> list[Episode]:
    """Return those that count as a success or a failure."""
    return [one for one in episodes if not one.left_out]


def left_out(episodes: Iterable[Episode]) -> dict[str, int]:
    """Count the others, by why."""
    counts = Counter(one.left_out for one in episodes)
    return {why: counts[why] for why in (STOPPED, HELPED)}


def share(episodes: Iterable[Episode]) -> float | None:
    """Return the share that succeeded of those that count, None of none."""
    found = counted(episodes)
    return sum(one.success for one in found) / len(found) if found else None


def by_mode(episodes: Iterable[Episode]) -> dict[str, dict]:
    """Return success with its 95 % interval, return and length, by who acted.

    All three are of the episodes that count; where there is none they are None.
    """
    groups: dict[str, list[Episode]] = {}
    for one in episodes:
        groups.setdefault(one.mode or 'unknown', []).append(one)
    return {mode: {'episodes': len(group), **left_out(group), **_figures(counted(group))}
            for mode, group in groups.items()}


def evaluations(episodes: Sequence[Episode], count: int) -> tuple[list[Episode], list[Episode]]:
    """Return evaluation episodes before learning, and the last ones of the last policy.

    Of each at most `count` that count, and those that are left out among them.
    """
    evaluated = [one for one in episodes if one.mode == 'evaluate']
    first = [one for one in evaluated if one.policy_version == 0]
    # The newest, not the highest: a kept sim-optimal policy counts the simulator's updates.
    last = evaluated[-1].policy_version if evaluated else 0
    final = [one for one in evaluated if one.policy_version == last > 0]
    return _until(first, count), _until(final[::-1], count)[::-1]


def _until(episodes: list[Episode], count: int) -> list[Episode]:
    """Return the beginning of a list, up to so many that count."""
    found: list[Episode] = []
    for one in episodes:
        if len(counted(found)) == count:
            break
        found.append(one)
    return found


def _figures(group: list[Episode]) -> dict[str, float | int | None]:
    won, count = sum(one.success for one in group), len(group)
    low, high = wilson(won, count)
    means = {'success': won, 'return': sum(one.details.reward for one in group),
             'length': sum(one.details.actions for one in group)}
    return {'counted': count, 'successes': won, 'success_low': low, 'success_high': high,
            **{name: total / count if count else None for name, total in means.items()}}
