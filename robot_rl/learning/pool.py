"""The pool: every policy that training went through, and the choice of a set of explorers.

While a round is collected the actor stands still, so each latent of each round is a policy whose
own rollouts are known; nothing has to be run again to judge it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from robot_rl.learning.coverage import Coverage, FeatureMap, select


@dataclass(frozen=True)
class Round:
    """What all latents did with one frozen actor, as float32 columns of k transitions."""

    observation: np.ndarray         # (k, n)
    action: np.ndarray              # (k, m), in the contract's units
    reward: np.ndarray              # (k,)
    next_observation: np.ndarray    # (k, n)
    terminated: np.ndarray          # (k,), 1.0 where the task ended
    latent: np.ndarray              # (k,), who acted
    episode: np.ndarray             # (k,), counts up in this round
    episode_return: np.ndarray      # (k,), of the whole episode; -inf where it was cut short
    success: np.ndarray             # (k,), 1.0 in an episode that ended in success
    actor: np.ndarray               # (1, P) that acted

    def returns(self, latent: int) -> np.ndarray:
        """Return what a latent's whole episodes (e,) earned."""
        return self.episode_return[self._whole(latent)]

    def mean_return(self, latent: int) -> float:
        """Return what a latent's whole episodes earned on average, -inf where there is none."""
        found = self.returns(latent)
        return float(found.mean()) if len(found) else -np.inf

    def successes(self, latent: int) -> np.ndarray:
        """Return for each of a latent's whole episodes (e,) 1.0 where it succeeded, else 0.0."""
        return self.success[self._whole(latent)]

    def reached(self, latent: int) -> np.ndarray:
        """Return the observations (r, n) that a latent reached."""
        return self.next_observation[self.latent == latent]

    def _whole(self, latent: int) -> np.ndarray:
        """Return the first transition of each of a latent's whole episodes."""
        own = np.flatnonzero((self.latent == latent) & np.isfinite(self.episode_return))
        return own[np.unique(self.episode[own], return_index=True)[1]]


COLUMNS = tuple(name for name in Round.__dataclass_fields__ if name != 'actor')

Member = tuple[int, int]        # (round, latent)


def pool(rounds: list[Round], latents: int, random_return: float) -> list[Member]:
    """Return the members that succeeded at least once, oldest first.

    Where none ever did, those that earned more than random actions. The first round is left out:
    it is the random actions.
    """
    members = [(number, latent) for number in range(1, len(rounds)) for latent in range(latents)]
    succeeded = [member for member in members if rounds[member[0]].successes(member[1]).any()]
    return succeeded or [member for member in members
                         if rounds[member[0]].mean_return(member[1]) > random_return]


def choose(rounds: list[Round], members: list[Member], count: int,
           features: FeatureMap) -> list[Member]:
    """Return the members, at most `count`, that together cover the features best, greedily."""
    empty = Coverage.empty(features)
    covariances = [empty.add(rounds[number].reached(latent)).covariance
                   for number, latent in members]
    return [members[index] for index in select(np.array(covariances), count)] if members else []
