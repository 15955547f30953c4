"""How policy_server does: what it hears, how long its ticks take, how its episodes end."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from robot_rl.contract import Contract
from robot_rl.data.steps import Status, Step
from robot_rl.vitals.limits import at_most, Part
from robot_rl.vitals.meters import Recent
from robot_rl.vitals.topics import Hearing, Needed, needed_rate

OUTCOMES = 20       # episodes of each mode that its success is measured by
LEAST = 100         # ticks of a minute that can be judged: of fewer, p99 is just the worst


class ServingVitals:
    """Fed by the node in each tick, asked once a second.

    Where `lockstep`, the world waits for the server: no rate and no delay is too slow.
    """

    def __init__(self, contract: Contract, lockstep: bool):
        rate, self._lockstep = contract.control_rate, lockstep
        self._period = 1.0 / rate                               # s
        self._inputs = contract.inputs
        self.hearing = Hearing('observation', [Needed(entry.name, needed_rate(entry, rate))
                                               for entry in contract.inputs])
        self._ticks, self._missed = Recent(), Recent()          # s of each; periods before each
        self._ages = [Recent() for _ in contract.inputs]        # s
        self._late, self._total = 0, 0                          # periods in a row; ever
        self._outcomes: dict[str, deque[bool]] = {}
        self._version, self._since = None, 0.0

    def ticked(self, now: float, seconds: float, ages: Sequence[float], late: int) -> None:
        """Take a tick that ended at `now`: what it took, how old each observation was, s.

        `late` counts the periods that were missed in a row, as Lateness does.
        """
        missed = max(0, late - self._late)
        self._late, self._total = late, self._total + missed
        self._ticks.add(now, seconds)
        self._missed.add(now, missed)
        for recent, age in zip(self._ages, ages):
            recent.add(now, age)

    def ended(self, last: Step) -> None:
        """Take the last step of an episode; one that was stopped from outside measures nothing."""
        if last.status in (Status.TERMINATED, Status.TRUNCATED):
            self._outcomes.setdefault(last.mode.name.lower(),
                                      deque(maxlen=OUTCOMES)).append(last.success)

    def parts(self, limits, now: float, clock: int, version: int, active: bool) -> list[Part]:
        """Return the figures, held against the limits of the node's settings.

        now     s of a monotonic clock, that of `ticked`
        clock   ns of the node's clock, that of `hearing`
        version of the policy in use
        """
        return [self._observations(limits, now, clock, active and not self._lockstep),
                self._control(limits, now), self._episodes(limits, now, version)]

    def _observations(self, limits, now: float, clock: int, judged: bool) -> Part:
        values, findings = self.hearing.look(clock, limits.warn_rate, limits.error_rate)
        findings = findings if judged else []
        for entry, recent in zip(self._inputs, self._ages):
            half, most = recent.percentiles(now, 50, 99)
            values |= {f'acted_on_age_p50_ms {entry.name}': _ms(half),
                       f'acted_on_age_p99_ms {entry.name}': _ms(most)}
            findings.append(at_most(f'age p99 of {entry.name} when acted on', most,
                                    self._enough(now) * entry.max_age * limits.warn_age, unit='s'))
        return Part('observations', values, findings)

    def _control(self, limits, now: float) -> Part:
        half, most = self._ticks.percentiles(now, 50, 99)
        enough = self._enough(now)
        missed = self._missed.values(now)
        periods = len(missed) + missed.sum()
        share = float(missed.sum() / periods) if periods else None
        values = {'tick_p50_ms': _ms(half), 'tick_p99_ms': _ms(most),
                  'period_ms': _ms(self._period), 'ticks_last_minute': len(missed),
                  'late_share': share, 'late_ticks': self._total}
        period = 0.0 if self._lockstep else enough * _ms(self._period)
        return Part('control', values, [
            at_most('tick p99', _ms(most), period * limits.warn_tick, period * limits.error_tick,
                    'ms'),
            at_most('late share of ticks', share, enough * limits.warn_late,
                    enough * limits.error_late)])

    def _enough(self, now: float) -> bool:
        return len(self._ticks.values(now)) >= LEAST

    def _episodes(self, limits, now: float, version: int) -> Part:
        if version != self._version:
            self._version, self._since = version, now
        age = now - self._since if version >= 0 else None
        values = {'policy_version': version, 'policy_age_s': age}
        for mode, outcomes in self._outcomes.items():
            values |= {f'success_rate {mode}': sum(outcomes) / len(outcomes),
                       f'episodes {mode}': len(outcomes)}
        return Part('episodes', values, [at_most('age of the policy in use', age,
                                                 limits.warn_policy_age, unit='s')])


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds
