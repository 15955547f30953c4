"""Demonstrations as training data: at every step what was seen, and the next k actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from robot_rl.contract import Contract
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.learning.policy import Normalizer

MIN_STD = 1e-3          # of an observation that does not move
MIN_ACTION_STD = 0.01   # of an action that is not used, as a share of half its range


@dataclass(frozen=True)
class Demonstrations:
    """N windows of T trajectories; k actions of m numbers make a chunk of c = k * m numbers."""

    observation: np.ndarray     # (N, n) float32, normalised
    chunk: np.ndarray           # (N, c) float32, standardised
    trajectory: np.ndarray      # (N,) int, from 0 to T - 1
    held_out: np.ndarray        # (T,) bool, not trained on
    length: int                 # k
    normalizer: Normalizer
    action_mean: np.ndarray     # (c,) float32, in the contract's units
    action_std: np.ndarray      # (c,) float32

    @classmethod
    def build(cls, episodes: Sequence[Transitions], contract: Contract, chunk: int,
              holdout: float, seed: int) -> Demonstrations:
        """Cut episodes into windows and hold out a share of the trajectories, at least one.

        A trajectory is what happened without a gap; after its end a chunk repeats its last
        action. Statistics come from the trajectories that are trained on. Raises UserError for
        fewer than two trajectories.
        """
        parts = [part for episode in episodes for part in _unbroken(episode)]
        if len(parts) < 2:
            raise UserError(f'demonstrations: expected at least two, one of them to hold out, '
                            f'found {len(parts)}; record more')
        out = min(max(1, round(holdout * len(parts))), len(parts) - 1)
        held_out = np.zeros(len(parts), bool)
        held_out[np.random.default_rng(seed).permutation(len(parts))[:out]] = True
        kept = [part for part, away in zip(parts, held_out) if not away]
        seen = np.concatenate([part.observation for part in kept])
        done = np.concatenate([part.action for part in kept])
        half = 0.5 * (contract.action.high - contract.action.low)
        normalizer = Normalizer(seen.mean(0), np.maximum(seen.std(0), MIN_STD))
        mean = np.tile(done.mean(0), chunk).astype(np.float32)
        std = np.tile(np.maximum(done.std(0), MIN_ACTION_STD * half), chunk).astype(np.float32)
        observation = np.concatenate([normalizer(part.observation) for part in parts])
        chunks = np.concatenate([windows(part.action, chunk) for part in parts])
        trajectory = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return cls(observation, (chunks - mean) / std, trajectory, held_out, chunk, normalizer,
                   mean, std)

    @property
    def trained(self) -> np.ndarray:
        """Indices of the windows to train on."""
        return np.flatnonzero(~self.held_out[self.trajectory])

    @property
    def tested(self) -> np.ndarray:
        """Indices of the windows held out."""
        return np.flatnonzero(self.held_out[self.trajectory])


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
