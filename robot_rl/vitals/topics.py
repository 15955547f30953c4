"""Rates and silences of the topics that a node hears, against what the contract asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robot_rl.inputs import Observation
from robot_rl.vitals.limits import at_least, at_most, Finding
from robot_rl.vitals.meters import Meter, RATE_WINDOW


def needed_rate(entry: Observation, control_rate: float) -> float:
    """Return the Hz that an entry of the contract needs: one lost message must not make it stale.

    What comes more often than it is read is of no use, so it is the control rate at most.
    """
    return min(control_rate, 2.0 / entry.max_age)


@dataclass(frozen=True)
class Needed:
    """What is heard, and what is asked of it; 0: nothing."""

    name: str
    rate: float = 0.0       # Hz
    gap: float = 0.0        # s, longest silence


class Hearing:
    """Meters of several topics; reasons call each of them `word` name.

    The time is that of the node's clock, ns; 0 is a simulated one that has not begun.
    """

    def __init__(self, word: str, topics: Sequence[Needed]):
        self._word, self._topics = word, list(topics)
        self._meters = [Meter() for _ in self._topics]
        self._origin: int | None = None         # ns; times since 1970 are too coarse as floats
        self._began: float | None = None        # s, when the first look was

    def heard(self, index: int, now: int) -> None:
        """Count a message of the topic at that place."""
        if now:
            self._meters[index].add(self._seconds(now))

    def look(self, now: int, warn_rate: float, error_rate: float, warn_gap: float = 0.0
             ) -> tuple[dict, list[Finding]]:
        """Return figures and findings; limits are shares of what is asked.

        What never came counts as 0 Hz, but not at once: its publisher may have just been started.
        """
        if not now:
            return {}, []
        now = self._seconds(now)
        began = self._began = now if self._began is None else min(self._began, now)
        values, findings = {}, []
        for topic, meter in zip(self._topics, self._meters):
            pace = meter.look(now)
            never = pace.age is None and now - began >= RATE_WINDOW
            rate = 0.0 if never and topic.rate else pace.rate
            told = f'{self._word} {topic.name}'
            values |= {f'rate_hz {topic.name}': rate, f'longest_gap_s {topic.name}': pace.gap,
                       f'age_s {topic.name}': pace.age}
            findings += [at_least(told, rate, topic.rate * warn_rate,
                                  topic.rate * error_rate, 'Hz'),
                         at_most(f'longest gap of {told}', pace.gap, topic.gap * warn_gap,
                                 unit='s')]
        return values, findings

    def _seconds(self, now: int) -> float:
        if self._origin is None:
            self._origin = now
        return (now - self._origin) * 1e-9
