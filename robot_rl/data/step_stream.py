"""The policy server's steps as they arrive, without those that are not to be recorded."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.contract import Contract
from robot_rl.data.bag import decode_step
from robot_rl.data.known_steps import KnownSteps
from robot_rl.data.steps import BadStep, Status, Step
from robot_rl.fields import BadMessage


@dataclass(frozen=True)
class Arrived:
    """A step, its bytes, and when it was published, ns."""

    step: Step
    data: bytes
    published: int

    def leads_to(self, step: Step) -> bool:
        """Whether a transition leads from this step to that one."""
        return (self.step.status is Status.RUNNING and step.episode == self.step.episode
                and step.index == self.step.index + 1)


class StepStream:
    """Owned by the writer thread; others only read its counters."""

    def __init__(self, contract: Contract, known: KnownSteps):
        self.bad = self.skipped = self.repeated = 0
        self.missing = 0                # records between the last two that were taken
        self.before: Arrived | None = None      # the step before the one taken last
        self._contract, self._known = contract, known
        self._newest: Arrived | None = None
        self._unwanted: Step | None = None      # and the rest of its episode

    def take(self, data: bytes, published: int) -> Step | None:
        """Return a step to be recorded, None where it is none; raise BadStep or BadMessage."""
        try:
            step = decode_step(data, self._contract)
        except (BadMessage, BadStep):
            self.bad += 1
            raise
        self.before, self._newest = self._newest, Arrived(step, data, published)
        self.missing = 0
        if published in self._known:
            self.repeated += 1
            if self._known.discarded(published):
                self._unwanted = step
            return None
        unwanted = self._unwanted
        self._unwanted = None
        if unwanted and step.episode == unwanted.episode and step.index > unwanted.index:
            self._unwanted = unwanted
            self.skipped += 1
        self._known.add(published, discarded=self._unwanted is not None)
        if self.before and step.episode == self.before.step.episode:
            self.missing = max(step.index - self.before.step.index - 1, 0)
        return None if self._unwanted else step

    def figures(self) -> dict[str, int]:
        """Return how many steps were not recorded, by why, and which one came last."""
        newest = self._newest       # once: another thread may ask
        return {'bad_steps': self.bad, 'skipped_steps': self.skipped,
                'repeated_steps': self.repeated,
                'newest_episode': newest.step.episode if newest else -1,
                'newest_index': newest.step.index if newest else -1}

    @property
    def newest(self) -> Step | None:
        """The step that came last, whether it was taken or not."""
        return self._newest.step if self._newest else None

    def drop_after(self, step: Step | None) -> None:
        """Take no more steps of this one's episode; None: take all again."""
        self._unwanted = step
