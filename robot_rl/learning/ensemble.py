"""K regressors of the next chunk, whose disagreement is the demonstrator's posterior spread.

Each member sees its own bootstrap of whole trajectories, as many as there are, drawn with
replacement (PostBC, arXiv 2512.16911, which found it to work better than noise on the targets),
and is kept where it was best on the trajectories that were not drawn. Where the data leaves open
what the demonstrator does, members differ; cov(s) is the covariance of their predictions over the
whole chunk. All members are one batched network.

The same for folds of the trajectories, K members for each, from all others: what an ensemble says
of a trajectory that it never saw.

Shapes: K members, F ensembles (1, or one per fold), B batch, n observation, c chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from robot_rl.learning.demonstrations import Demonstrations
from robot_rl.learning.networks import Adam, Mlp, Slot
import torch
from torch import Tensor


DEPTH = 2               # hidden layers of a member
BATCH = 64              # windows per member and update
MEASURED = 2048         # windows that tell which parameters are best


@dataclass(frozen=True)
class EnsembleState:
    """Everything an update reads and writes."""

    slot: Slot              # (F K, P)
    best: Tensor            # (F K, P), each member where it was best on what it does not see
    best_loss: Tensor       # (F K,)
    updates: Tensor         # ()
    fruitless: Tensor       # (), measurements in a row in which no member improved


class Ensemble:
    """The update rule for given data; `rows` are the windows of every member's bootstrap.

    Where `noised`, members see all trajectories instead, each with noise of its own on the
    targets, as much as the targets vary. `folds` asks for an ensemble for each fold, from all
    trajectories but those in it.
    """

    def __init__(self, data: Demonstrations, members: int, width: int, learning_rate: float,
                 seed: int, noised: bool = False, folds: bool = False):
        self.members = members
        self.mlp = Mlp((data.observation.shape[1], *(width,) * DEPTH, data.chunk.shape[1]))
        self.adam = Adam(learning_rate)
        self.observation = torch.from_numpy(data.observation)
        self.chunk = torch.from_numpy(data.chunk)
        every = np.arange(len(data.fold))
        taught = [every[data.fold != fold] for fold in range(data.folds)] if folds else [every]
        rngs = np.random.default_rng(seed).spawn(len(taught) * members)
        drawn = [np.arange(len(data.trajectory)) if noised
                 else bootstrap(data, taught[index // members], rng)
                 for index, rng in enumerate(rngs)]
        self.counts = torch.tensor([len(rows) for rows in drawn])
        self.rows = torch.zeros((len(drawn), int(self.counts.max())), dtype=torch.long)
        for member, rows in enumerate(drawn):
            self.rows[member, :len(rows)] = torch.from_numpy(rows)
        self.noise = None if not noised else torch.from_numpy(np.stack([
            rng.standard_normal(data.chunk.shape, np.float32) for rng in rngs]))
        chosen = of_each(data.trajectory, -(-MEASURED // len(data.fold)), rngs[0])
        self.measured = torch.from_numpy(chosen)
        self.unseen = torch.from_numpy(np.stack([       # 1 where a member is judged
            noised | ~np.isin(chosen, rows) for rows in drawn])).float()

    def init(self, generator: torch.Generator) -> EnsembleState:
        """Return fresh members."""
        slot = Slot.of(self.mlp.init(len(self.rows), generator))
        return EnsembleState(slot, slot.value, torch.full((len(self.rows),), torch.inf),
                             torch.zeros(()), torch.zeros(()))

    def update(self, state: EnsembleState, generator: torch.Generator
               ) -> tuple[EnsembleState, float]:
        """Make one step of least squares in every member; return the mean loss too."""
        drawn = torch.rand((len(self.rows), BATCH), generator=generator) * self.counts[:, None]
        rows = self.rows.gather(1, drawn.long())
        parameters = state.slot.value.detach().requires_grad_()
        target = self.chunk[rows]
        if self.noise is not None:
            target = target + self.noise[torch.arange(len(rows))[:, None], rows]
        found = self.mlp(parameters, self.observation[rows])
        loss = ((found - target) ** 2).mean((1, 2)).sum()
        gradient, = torch.autograd.grad(loss, parameters)
        count = state.updates + 1.0
        slot = self.adam.step(state.slot, gradient, count)
        return replace(state, slot=slot, updates=count), float(loss.detach()) / len(rows)

    @torch.no_grad()
    def measure(self, state: EnsembleState) -> EnsembleState:
        """Keep of each member the best so far on the trajectories that it does not see."""
        found = self.mlp(state.slot.value, self.observation[self.measured])
        error = ((found - self.chunk[self.measured]) ** 2).mean(2)
        loss = (error * self.unseen).sum(1) / self.unseen.sum(1)
        better = loss < state.best_loss
        return replace(
            state, best=torch.where(better[:, None], state.slot.value, state.best),
            best_loss=torch.where(better, loss, state.best_loss),
            fruitless=torch.where(better.any(), 0.0, state.fruitless + 1.0))

    @torch.no_grad()
    def deviations(self, state: EnsembleState, observation: Tensor, fold: int = 0) -> Tensor:
        """Return f_l(s) - mean f(s), (B, K, c): cov(s) is their mean outer product."""
        best = state.best.split(self.members)[fold]
        found = torch.cat([self.mlp(best, part) for part in observation.split(4096)], 1)
        return (found - found.mean(0)).transpose(0, 1).contiguous()


def bootstrap(data: Demonstrations, taught: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the windows of as many trajectories as are taught, drawn from these with replacement.

    At least one trajectory of all is not among them.
    """
    drawn = rng.choice(taught, len(taught))
    if len(np.unique(drawn)) == len(data.fold):
        drawn[0] = drawn[1]
    order = np.argsort(data.trajectory, kind='stable')
    begin = np.searchsorted(data.trajectory[order], np.arange(len(data.fold) + 1))
    return np.concatenate([order[begin[index]:begin[index + 1]] for index in drawn])


def of_each(trajectory: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` windows of each trajectory, all of one that has fewer."""
    order = rng.permutation(len(trajectory))
    order = order[np.argsort(trajectory[order], kind='stable')]
    begin = np.searchsorted(trajectory[order], trajectory[order])
    return np.sort(order[np.arange(len(order)) - begin < count])


def roots(deviations: Tensor, size: int) -> Tensor:
    """Return (B, k, m, m), for each of a chunk's actions the symmetric root of its covariance.

    Of deviations (B, K, k * m), where an action has `size` m numbers.
    """
    parts = deviations.unflatten(2, (-1, size)).transpose(1, 2)             # (B, k, K, m)
    values, vectors = torch.linalg.eigh(parts.mT @ parts / parts.shape[2])
    return vectors * values.clamp(min=0.0).sqrt()[..., None, :] @ vectors.mT


def moved(root: Tensor, latent: Tensor) -> Tensor:
    """Return the (B, c) that latents (B, m) add to chunks: each action's root times them."""
    return (root @ latent[:, None, :, None]).flatten(1)


def posterior_noise(deviations: Tensor, generator: torch.Generator) -> Tensor:
    """Draw w ~ N(0, cov(s)), (B, c), from deviations (B, K, c).

    sum_l xi_l d_l / sqrt(K) with xi ~ N(0, 1) has the covariance mean_l d_l d_l^T, so the full
    matrix is never formed.
    """
    count, members, _ = deviations.shape
    xi = torch.randn((count, 1, members), generator=generator)
    return torch.bmm(xi, deviations)[:, 0] / members ** 0.5
