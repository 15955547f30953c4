"""What a training run leaves of itself over time: which scalars, how often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import time

import numpy as np
from robot_rl.curves import CurveWriter
from robot_rl.data.episode import EpisodeRecord
from robot_rl.learning.learner import Learner
import torch

PERIOD = 1.0        # s between points
JUDGED = ('learn', 'evaluate')      # modes in which the policy acts that the critics speak of
SHOWN = ('updates_per_second', 'episodes_received', 'transitions_received',
         'transitions_trained_on', 'transitions_explorers', 'transitions_demos', 'owed', 'missing')


class TrainingCurves:
    """Writes progress and episodes as curves over updates; owned by the trainer's thread."""

    def __init__(self, folder: Path, on_error: Callable[[str], None]):
        self._writer = CurveWriter(folder, on_error)
        self._at, self._updates = -PERIOD, -1

    def progress(self, progress, published: int, last: bool = False) -> None:
        """Add a point of a trainer's progress, unless the last one is younger than PERIOD.

        `published` is the version of the newest actor, -1 where there is none.
        """
        now = time.monotonic()
        if progress.updates == self._updates or not (last or now - self._at >= PERIOD):
            return
        self._at, self._updates = now, progress.updates
        values = {f'progress/{name}': float(getattr(progress, name)) for name in SHOWN}
        values |= {f'learner/{name}': value for name, value in progress.metrics}
        self._writer.add(progress.updates, {**values, 'progress/policy_version': float(published)},
                         time.time())

    def episode(self, episode: EpisodeRecord, learner: Learner) -> None:
        """Add a point of an episode that has just come, and what the critics expected of it.

        Episodes that are sent again after a gap or a restart are no news.
        """
        if episode.sequence < episode.total or not len(episode.transitions):
            return
        found = episode.transitions
        values = {'return': float(found.reward.sum()), 'length': float(len(found)),
                  'success': float(episode.outcome == 'success')}
        if learner.updates and learner.method is not None and episode.mode in JUDGED:
            values |= expectation(learner, found)
        self._writer.add(learner.updates, {f'episode/{name}': value
                                           for name, value in values.items()}, time.time())

    def close(self) -> None:
        """Let go of the file."""
        self._writer.close()


def expectation(learner: Learner, transitions) -> dict[str, float]:
    """Return what the critics say of an episode's first action, and what came of it.

    Both are discounted. Where the episode was cut off, what came of it lacks the rest; the entropy
    that the critics count as well is in `q_first` only.
    """
    rule = learner.method.rule
    rows = learner.method.rows(transitions)
    if not len(rows):
        return {}
    mean, std = learner.normalizer.mean, learner.normalizer.std
    observation = torch.from_numpy(((rows.observation[:1] - mean) / std).astype(np.float32))
    with torch.no_grad():
        values = rule.values(learner.state.critic.value, observation,
                             torch.from_numpy(np.ascontiguousarray(rows.action[:1])))
    discount = learner.sac.discount ** np.arange(len(transitions))
    return {'q_first': float(values.mean()) * learner.returns.unit,
            'return_discounted': float((transitions.reward * discount).sum())}
