"""The learned policy against its rival on the robot: episodes in turn, the better stays.

The rival is what there was before: the sim-optimal policy, or the demonstrator, sampled. This is
the safety net of Wagenmaker et al. 2024 (arXiv 2410.20254), Algorithm 1, step 4: what was learned
replaces what there was only where it is measured to be as good. Where there was nothing before,
the learned policy is measured alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from robot_rl.data.steps import Mode, Status, Step
from robot_rl.learning.diffusion_policy import DiffusionPolicy
from robot_rl.learning.policy import GaussianPolicy
from robot_rl.policies import Artifact

NAMES = {Mode.EVALUATE: 'learned', Mode.TRANSFER: 'sim_optimal',
         Mode.DEMONSTRATE: 'demonstrator'}
MAX_REPEATS = 5     # episodes in a row without a verdict
ALONE = 'nothing to compare with'


@dataclass(frozen=True)
class Score:
    """What the episodes of one policy came to."""

    episodes: int = 0
    successes: int = 0
    steps: int = 0          # of the successes, together

    def add(self, last: Step) -> Score:
        """Return the score with one more episode, given by its last step record."""
        return replace(self, episodes=self.episodes + 1, successes=self.successes + last.success,
                       steps=self.steps + last.index * last.success)

    @property
    def rank(self) -> tuple[int, int]:
        """More successes are better; of as many, those that took fewer steps."""
        return self.successes, -self.steps

    def __str__(self) -> str:
        return f'{self.successes} of {self.episodes}'


@dataclass(frozen=True)
class Kept:
    """The outcome of an evaluation."""

    mode: Mode                          # EVALUATE: the learned policy, else its rival
    artifact: Artifact
    versions: dict[Mode, int]           # of all that were compared
    scores: dict[Mode, Score]

    @property
    def learned_version(self) -> int:
        """Version of the learned policy that was compared, kept or not."""
        return self.versions[Mode.EVALUATE]

    @property
    def score(self) -> Score:
        """Of what is kept."""
        return self.scores[self.mode]

    def values(self) -> dict:
        """Return the figures of the event."""
        values = {'policy': NAMES[self.mode]}
        for mode, score in self.scores.items():
            name = NAMES[mode]
            values |= {f'{name}_version': self.versions[mode],
                       f'{name}_successes': score.successes, f'{name}_episodes': score.episodes}
        return values if len(self.scores) > 1 else values | {'note': ALONE}

    def __str__(self) -> str:
        told = [f'{NAMES[mode]} {score}' for mode, score in self.scores.items()]
        return ', '.join(told if len(told) > 1 else [*told, ALONE])


class Evaluation:
    """So many episodes of each of two policies, or of one alone, frozen when it begins."""

    def __init__(self, compared: dict[Mode, Artifact], episodes: int):
        self._compared = compared       # EVALUATE: the learned policy, first; its rival, if any
        self._scores = dict.fromkeys(compared, Score())
        self._episodes = episodes       # of each
        self._repeats = 0

    @property
    def alone(self) -> bool:
        """Whether there is nothing to compare with."""
        return len(self._compared) == 1

    @property
    def measured(self) -> bool:
        """Whether an episode counted already."""
        return self._done > 0

    def resume(self) -> Evaluation:
        """Go on after it was cut off."""
        self._repeats = 0
        return self

    def compares(self, other: Evaluation) -> bool:
        """Tell whether another evaluation would measure these very policies, and as often."""
        return (self._episodes == other._episodes and self._compared.keys()
                == other._compared.keys() and all(
                    artifact.data == other._compared[mode].data
                    for mode, artifact in self._compared.items()))

    def cast(self) -> tuple[Mode, GaussianPolicy | DiffusionPolicy]:
        """Return what the next episode is recorded as, and what acts in it."""
        mode = min(self._scores, key=lambda mode: self._scores[mode].episodes)
        return mode, self._compared[mode].policy

    def ended(self, last: Step) -> None:
        """Count an episode, given by its last step record.

        One that was stopped says nothing of its policy: it is run again.
        """
        if last.status in (Status.TERMINATED, Status.TRUNCATED):
            self._scores[last.mode] = self._scores[last.mode].add(last)
            self._repeats = 0
        else:
            self._repeats += 1

    @property
    def hopeless(self) -> bool:
        """Whether too many episodes in a row were stopped to go on."""
        return self._repeats >= MAX_REPEATS

    @property
    def done(self) -> bool:
        """Whether every episode was run."""
        return self._done >= self._planned

    @property
    def unworthy(self) -> str:
        """Why the learned policy is not kept without a rival to beat, '' where it may be."""
        if self._compared[Mode.EVALUATE].policy.version <= 0:
            return 'the learned policy has no update yet'
        won = self._scores[Mode.EVALUATE].successes
        return '' if won or not self.alone else f'none of {self._episodes} episodes succeeded'

    @property
    def kept(self) -> Kept | None:
        """The outcome, once it is done; on a tie the learned policy; None if nothing is worth it.

        One without an update has learned nothing: whatever its luck, its rival is kept.
        """
        able = [mode for mode in self._compared if mode != Mode.EVALUATE or not self.unworthy]
        if not self.done or not able:
            return None
        better = max(able, key=lambda mode: self._scores[mode].rank)
        versions = {mode: artifact.policy.version for mode, artifact in self._compared.items()}
        return Kept(better, self._compared[better], versions, dict(self._scores))

    @property
    def progress(self) -> str:
        """Which episode is due, of how many."""
        return f'{min(self._done + 1, self._planned)} of {self._planned}'

    @property
    def _done(self) -> int:
        return sum(score.episodes for score in self._scores.values())

    @property
    def _planned(self) -> int:
        return len(self._compared) * self._episodes

    def __str__(self) -> str:
        return f'evaluating {self.progress}' + (f' ({ALONE})' if self.alone else '')
