"""Why episodes ended and what stopped the robot, counted by the kind of reason.

A reason is a name and, often, what tells of this one time: `observation_stale: arm on joint_states
is 0.31 s old, max_age 0.15 s`. The name is what is counted, the first one as a whole an example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
import re

from robot_rl.report.bags import Details

UNKNOWN = 'not recorded'
WHY_UNKNOWN = 'no bag has its end: policy_server or data_recorder died'
_NAME = re.compile(r'([A-Za-z_]\w*)(:\s|$)', re.ASCII)
_FIGURE = re.compile(r'(?<![\w.])-?\d+(\.\d+)?(e[+-]?\d+)?(?![\w.]*\w)', re.ASCII)


def kind(reason: str) -> str:
    """Return a reason without what is different each time.

    That is its name where it begins with one, else its text without figures.
    """
    name = _NAME.match(reason)
    return name[1] if name else _FIGURE.sub('#', reason)


def ends_by_reason(found: Iterable[Details]) -> dict[str, int]:
    """Count the episodes by what ended them."""
    return _counts(kind(details.ended) or UNKNOWN for details in found)


def stops_by_reason(found: Iterable[Details]) -> dict[str, int]:
    """Count the stops by node and reason; an event that is in two bags counts once."""
    return _counts(f'{node}: {kind(reason)}' for _, node, reason in _stops(found))


def examples(found: Iterable[Details]) -> dict[str, str]:
    """Return the first reason as it was told, by the kind of those that tell more than it."""
    found = list(found)
    told = [*(details.ended for details in found), *(reason for *_, reason in _stops(found))]
    shown = {} if all(details.ended for details in found) else {UNKNOWN: WHY_UNKNOWN}
    for reason in told:
        if kind(reason) != reason:
            shown.setdefault(kind(reason), reason)
    return shown


def _stops(found: Iterable[Details]) -> list[tuple[int, str, str]]:
    """Return each stop once, oldest first."""
    return sorted({stop for details in found for stop in details.stops})


def _counts(keys: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(keys).items(), key=lambda item: (-item[1], item[0])))
