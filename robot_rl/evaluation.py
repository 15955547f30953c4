"""The learned policy against its rival on the robot: episodes in turn, the better stays.

The rival is what there was before: the sim-optimal policy, or the demonstrator, sampled. This is
the safety net of Wagenmaker et al. 2024 (arXiv 2410.20254), Algorithm 1, step 4: what was learned
replaces what there was only where it is measured to be as good.
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
    artifacts: dict[Mode, Artifact]     # of both
    scores: dict[Mode, Score]

    @property
    def artifact(self) -> Artifact:
        """What is kept."""
        return self.artifacts[self.mode]

    @property
    def learned_version(self) -> int:
        """Version of the learned policy that was compared, kept or not."""
        return self.artifacts[Mode.EVALUATE].policy.version

    def values(self) -> dict:
        """Return the figures of the event."""
        values = {'policy': NAMES[self.mode]}
        for mode, score in self.scores.items():
            name = NAMES[mode]
            values |= {f'{name}_version': self.artifacts[mode].policy.version,
                       f'{name}_successes': score.successes, f'{name}_episodes': score.episodes}
        return values

    def __str__(self) -> str:
        return ', '.join(f'{NAMES[mode]} {score}' for mode, score in self.scores.items())


class Evaluation:
    """So many episodes of each of two policies, both frozen when it begins."""

    def __init__(self, learned: Artifact, rival: Artifact, episodes: int,
                 rival_mode: Mode = Mode.TRANSFER):
        self._artifacts = {Mode.EVALUATE: learned, rival_mode: rival}
        self._scores = dict.fromkeys(self._artifacts, Score())
        self._episodes = episodes       # of each
        self._repeats = 0

    def cast(self) -> tuple[Mode, GaussianPolicy | DiffusionPolicy]:
        """Return what the next episode is recorded as, and what acts in it."""
        mode = min(self._scores, key=lambda mode: self._scores[mode].episodes)
        return mode, self._artifacts[mode].policy

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
    def kept(self) -> Kept | None:
        """The outcome, once every episode was run; on a tie the learned policy.

        One without an update has learned nothing: whatever its luck, its rival is kept.
        """
        if self._done < 2 * self._episodes:
            return None
        able = [mode for mode, artifact in self._artifacts.items()
                if mode != Mode.EVALUATE or artifact.policy.version > 0]
        better = max(able, key=lambda mode: self._scores[mode].rank)
        return Kept(better, self._artifacts, dict(self._scores))

    @property
    def _done(self) -> int:
        return sum(score.episodes for score in self._scores.values())

    def __str__(self) -> str:
        return f'evaluating {min(self._done + 1, 2 * self._episodes)} of {2 * self._episodes}'
