"""What the policy server was asked for, and whether and with whom the next episode starts.

An operator asks for episodes or for an evaluation; the operator and the gate stop both, and the
reason latches until `clear_stop`. The learner may have to catch up first. `settings` are the
parameters of policy_server, read by name: some change meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from robot_rl.casting import Casting, NO_PERSON, NO_RIVAL, Schedule, WAITING
from robot_rl.data.steps import Mode, Status, Step
from robot_rl.errors import UserError
from robot_rl.evaluation import Evaluation, Kept, MAX_REPEATS
from robot_rl.learning.diffusion_policy import DiffusionPolicy
from robot_rl.learning.policy import Policy
from robot_rl.pacing import Pacer
from robot_rl.rollout import Tick

PACED = ('learn', 'mixed')      # modes in which an episode may wait for the learner
LEARNED_FROM = (Mode.LEARN, Mode.EXPLORE)
STOPPED = (Status.ABORTED, Status.BROKEN)
DISCARDED, DEACTIVATED, SHUTDOWN = ENDS = ('discard', 'deactivated', 'shutdown')    # no stops


class Answer(NamedTuple):
    """Of a service."""

    success: bool
    message: str


class Agenda:
    """Runs, evaluations and stops. `tell(kind, **values)` takes the events."""

    def __init__(self, casting: Casting, tell: Callable[..., None]):
        self._casting, self._tell = casting, tell
        self._pacer = Pacer()
        self._left = 0              # episodes until the run ends by itself; 0: it does not
        self.running = False        # start the next episode when this one ends
        self.stopped = ''           # latched reason, until `clear_stop`
        self.evaluation: Evaluation | None = None
        self._cut: tuple[Evaluation, str] | None = None     # one that a reason cut off

    def run(self, on: bool, settings, active: bool, reset: str = '') -> Answer:
        """Ask for episodes back to back, or for none after this one.

        reset   what the reset of the world waits for, '' where it can begin
        """
        missing = self.missing(settings) if on else ''
        refused = self._refusal(active) if on else ''
        if refused or missing == NO_PERSON:     # who will never come is not waited for
            return Answer(False, refused or missing)
        if not on:
            self._end_evaluation('run: false')
            self._cut = None        # a person is done with it
        self.running, self._left = on, settings.run_episodes
        if not on:
            return Answer(True, 'ends after this episode')
        waits, note = missing or reset, self._casting.stand_in(settings.mode)
        return Answer(True, f'accepted, not yet running: {waits}' if waits
                      else '; '.join(filter(None, ['running', note])))

    def evaluate_and_keep(self, settings, active: bool, busy: bool) -> Answer:
        """Ask for an evaluation of the newest learned policy against what there was before.

        One of the same policies that was cut off goes on.
        """
        refused = self._refusal(active)
        if not refused and (self.running or busy):
            refused = 'already running episodes; ~/run false ends them'
        if refused:
            return Answer(False, refused)
        try:
            asked = self._casting.compare(settings.evaluation_episodes)
        except UserError as error:
            return Answer(False, str(error))
        told = []
        if self._cut and self._cut[0].compares(asked):
            asked = self._cut[0].resume()
            told.append(f'goes on after {self._cut[1]}')
        if asked.alone:
            told.append(NO_RIVAL)
        self._casting.shelf.swap()
        self.evaluation, self._cut = asked, None
        self.running, self._left = True, 0
        return Answer(True, '; '.join([f'evaluating {asked.progress}', *told]))

    def _refusal(self, active: bool) -> str:
        if self.stopped:
            return f'stopped: {self.stopped}; call clear_stop first'
        if not active:
            return 'not active'
        return f'{self.evaluation}; ~/run false ends it' if self.evaluation else ''

    def stop(self, reason: str) -> Answer:
        """Start nothing until `clear_stop`; the first reason stays."""
        if not self.stopped:
            self.stopped = reason
            self._tell('stop', reason=reason)
            self.end(f'stop: {reason}')
        return Answer(True, 'stopped until clear_stop')

    def clear_stop(self, lasts: str = '') -> Answer:
        """Allow `run` again, unless the cause `lasts`."""
        reason = self.stopped
        if not reason:
            return Answer(False, 'was not stopped')
        if lasts:
            return Answer(False, f'still stopped: {lasts}')
        self.stopped = ''
        self._tell('clear_stop', reason=reason)
        return Answer(True, f'cleared: {reason}')

    def end(self, reason: str) -> None:
        """Start no other episode until asked again."""
        self.running = False
        self._end_evaluation(reason)

    def _end_evaluation(self, reason: str) -> None:
        if self.evaluation:
            self._tell('evaluation_ended', reason=reason, progress=self.evaluation)
            self._cut = (self.evaluation, reason) if self.evaluation.measured else None
            self.evaluation, self.running = None, False

    def _cut_off(self, settings) -> str:
        """Return what to do about an evaluation that was cut off, '' where none can go on."""
        if not self._cut or not self._casting.shelf.actor:
            return ''
        evaluation, reason = self._cut
        if not evaluation.compares(self._casting.compare(settings.evaluation_episodes)):
            return ''
        return (f'evaluation cut off at {evaluation.progress} by {reason}: '
                'call evaluate_and_keep to go on')

    def missing(self, settings) -> str:
        """Return what the next episode lacks and what to do, '' where nothing."""
        return '' if self.evaluation else self._casting.missing(settings.mode)

    def may_start(self, settings, waited: float) -> bool:
        """Tell whether to start an episode, after so many s of waiting for it.

        There must be a policy that has learned from enough of what was recorded.
        """
        if not self.running or self.missing(settings):
            return False
        if self.evaluation or settings.mode not in PACED:
            return True
        version, learned = self._casting.shelf.newest
        if self._pacer.may_start(settings.max_policy_lag, version, learned):
            return True
        if waited > settings.policy_wait:
            self._pacer.give_up(version)
            self._tell('policy_late', waited=f'{waited:.1f} s', policy_version=version)
        return False

    def cast(self, settings, episode: int) -> tuple[Mode, Policy | DiffusionPolicy]:
        """Return what an episode is recorded as and what acts in it; nothing may be missing."""
        if self.evaluation:
            return self.evaluation.cast()
        return self._casting.cast(settings.mode, _schedule(settings), settings.random_tail,
                                  settings.seed, episode)

    def ended(self, tick: Tick) -> Kept | None:
        """Take the last tick of an episode; return the outcome of an evaluation that it ended.

        One that the gate or an operator stopped latches its reason.
        """
        step = tick.step
        if step.status in STOPPED and tick.ended not in ENDS:
            self.stop(tick.ended)
        if step.mode in LEARNED_FROM and step.index:
            self._pacer.ended(step.stamp)
        step = _as_measured(tick)
        self._casting.ended(step)
        self._left -= 1
        self.running = self.running and self._left != 0
        if not self.evaluation:
            return None
        self.evaluation.ended(step)
        kept = self.evaluation.kept
        if kept:
            self.evaluation, self.running, self._casting.kept = None, False, kept
            self._tell('kept', **kept.values())
        elif self.evaluation.done:
            self._end_evaluation(f'nothing is kept: {self.evaluation.unworthy}')
            self._cut = None
        elif self.evaluation.hopeless:
            self._end_evaluation(f'stopped {MAX_REPEATS} times in a row: {tick.ended}')
        return kept

    def status(self, settings, idle: bool, reset: str = '') -> tuple[str, str]:
        """Return what is done, and what is waited for where an episode is due.

        reset   what the reset of the world waits for, '' where it can begin
        """
        waits = ''
        if idle and self.running:
            paced = settings.mode in PACED and not self.evaluation
            waits = self.missing(settings) or reset or (WAITING if paced else '')
        if self.evaluation:
            return str(self.evaluation), waits
        note = '' if self.running else self._cut_off(settings)
        note = note or self._casting.stand_in(settings.mode)
        return settings.mode + (f' ({note})' if note else ''), waits

    def figures(self, settings) -> dict:
        """Return what a status shows."""
        cut = self._cut_off(settings)
        return self._casting.figures(_schedule(settings)) | ({'evaluation': cut} if cut else {})


def _as_measured(tick: Tick) -> Step:
    """Return the last step; what a person helped with measures no policy, as if it were cut."""
    return replace(tick.step, status=Status.ABORTED) if tick.helped else tick.step


def _schedule(settings) -> Schedule:
    return Schedule(settings.explore_fraction, settings.explore_least, settings.explore_episodes)
