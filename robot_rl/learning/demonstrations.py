"""Demonstrations as training data: at every step what was seen, and the next k actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from robot_rl.contract import Contract
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.learning.policy import Normalizer

MIN_ACTION_STD = 0.01   # of an action that is not used, as a share of half its range


@dataclass(frozen=True)
class Demonstrations:
    """N windows of T trajectories; k actions of m numbers make a chunk of c = k * m numbers."""

    observation: np.ndarray     # (N, n) float32, normalised
    chunk: np.ndarray           # (N, c) float32, standardised
    trajectory: np.ndarray      # (N,) int, from 0 to T - 1
    fold: np.ndarray            # (T,) int, the part of the cross-validation that tests it
    length: int                 # k
    normalizer: Normalizer
    action_mean: np.ndarray     # (c,) float32, in the contract's units
    action_std: np.ndarray      # (c,) float32

    @classmethod
    def build(cls, episodes: Sequence[Transitions], contract: Contract, chunk: int,
              folds: int, seed: int) -> Demonstrations:
        """Cut episodes into windows, and trajectories into folds of about the same number.

        A trajectory is what happened without a gap; after its end a chunk repeats its last
        action. There are at most as many folds as trajectories. Raises UserError for fewer than
        two trajectories.
        """
        parts = [part for episode in episodes for part in _unbroken(episode)]
        if len(parts) < 2:
            raise UserError(f'demonstrations: expected at least two, to test each on what the '
                            f'other teaches, found {len(parts)}; record more')
        fold = np.empty(len(parts), int)
        fold[np.random.default_rng(seed).permutation(len(parts))] = (
            np.arange(len(parts)) % min(folds, len(parts)))
        seen = np.concatenate([part.observation for part in parts])
        done = np.concatenate([part.action for part in parts])
        half = 0.5 * (contract.action.high - contract.action.low)
        normalizer = Normalizer.of(seen)
        mean = np.tile(done.mean(0), chunk).astype(np.float32)
        std = np.tile(np.maximum(done.std(0), MIN_ACTION_STD * half), chunk).astype(np.float32)
        chunks = np.concatenate([windows(part.action, chunk) for part in parts])
        trajectory = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return cls(normalizer(seen), (chunks - mean) / std, trajectory, fold, chunk, normalizer,
                   mean, std)

    @property
    def folds(self) -> int:
        """F, how many parts the trajectories are in."""
        return int(self.fold.max()) + 1

    def tested(self, fold: int) -> np.ndarray:
        """Return the indices of the windows in a fold."""
        return np.flatnonzero(self.fold[self.trajectory] == fold)

    def trained(self, fold: int) -> np.ndarray:
        """Return the indices of the windows in all other folds."""
        return np.flatnonzero(self.fold[self.trajectory] != fold)


def windows(action: np.ndarray, length: int) -> np.ndarray:
    """Return the next `length` actions at every step, (T, length * m) of (T, m)."""
    ahead = np.minimum(np.arange(len(action))[:, None] + np.arange(length), len(action) - 1)
    return action[ahead].reshape(len(action), -1)


def _unbroken(episode: Transitions) -> Iterator[Transitions]:
    """Yield the stretches of an episode between its ends and gaps."""
    ends = np.flatnonzero((episode.terminated > 0) | (episode.truncated > 0)) + 1
    for begin, end in zip((0, *ends), (*ends, len(episode))):
        if end > begin:
            yield Transitions(*(column[begin:end] for column in vars(episode).values()))
