"""What a figure is held against: how bad it is, and a text that names figure, value and limit.

A limit of 0 never applies, and a millionth beyond one is the noise of clocks. A figure of None is
not known yet and not judged; NaN is never well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

OK, WARN, ERROR = range(3)
NOISE = 1e-6        # relative


class Finding(NamedTuple):
    """What a figure was found to be."""

    level: int = OK
    reason: str = ''


@dataclass(frozen=True)
class Part:
    """Figures of one part of a node, and what came of holding them against their limits."""

    name: str
    values: dict
    findings: Iterable[Finding] = ()


def at_least(figure: str, found: float | None, warn: float, error: float = 0.0, unit: str = ''
             ) -> Finding:
    """Hold a figure against limits that it must reach."""
    return _judge(figure, found, warn, error, unit, 1.0, 'at least')


def at_most(figure: str, found: float | None, warn: float, error: float = 0.0, unit: str = ''
            ) -> Finding:
    """Hold a figure against limits that it must not exceed."""
    return _judge(figure, found, warn, error, unit, -1.0, 'at most')


def finite(figure: str, found: float) -> Finding:
    """Refuse NaN and infinity: nothing that is computed from them is of use."""
    return Finding() if isfinite(found) else Finding(ERROR, f'{figure}: {found}, a finite number '
                                                            'expected')


def worst(findings: Iterable[Finding]) -> Finding:
    """Return the highest level, and every reason: the worst ones first."""
    broken = sorted((finding for finding in findings if finding.level), key=lambda it: -it.level)
    return Finding(broken[0].level if broken else OK, '; '.join(it.reason for it in broken))


def _judge(figure: str, found: float | None, warn: float, error: float, unit: str, sign: float,
           word: str) -> Finding:
    if found is None:
        return Finding()
    for level, limit in ((ERROR, error), (WARN, warn)):
        within = sign * (found - limit) >= -NOISE * limit       # False for NaN
        if limit and not within:
            value, bound = _apart(found, limit)
            unit = unit and f' {unit}'
            return Finding(level, f'{figure}: {value}{unit}, {word} {bound} expected')
    return Finding()


def _apart(found: float, limit: float) -> tuple[str, str]:
    """Return both as text, with no more digits than it takes to tell them apart."""
    for digits in (3, 6, 9):
        value, bound = short(found, digits), short(limit, digits)
        if value != bound:
            break
    return value, bound


def short(value: float, digits: int = 3) -> str:
    """Return a number with so many digits, and all those before the point: 12345, not 1.23e+04."""
    return f'{value:.0f}' if 10 ** digits <= abs(value) < 1e15 else f'{value:.{digits}g}'
