"""The posterior demonstrator: an ensemble finds what is open, a diffusion policy carries it.

PostBC, Wagenmaker et al., arXiv 2512.16911.

Demonstrations -> ensemble -> denoiser of their chunks -> judges -> alpha -> artifact. The policy
clones, and its chunks may be moved by alpha times the spread of the ensemble: what the
demonstrations leave open has latents of its own (`latent`), which rest while it acts. alpha = 0 is
behavioural cloning (BC).

As published, the policy learns instead from chunks with noise alpha * N(0, cov(s)), and acts with
all of it: `diagonal`, `full`, `noised`; with `constant` the noise is N(0, 1) in every state, which
is sigma-BC with alpha as sigma.

The policy and the ensemble learn from all trajectories. Beside them learn as many others as there
are folds, each from all but the trajectories in its own; on those it is measured, and the
ensembles judge how far it may be moved. An alpha that is to be chosen is the one whose regions
hold as many of the actions in them as they say, and some more where there are few trajectories
(`aim`). Where noise is learned, it is turned up while they hold too few, and down while they hold
too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import partial
import io
from math import cos, exp, pi

import numpy as np
from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.learning.calibration import coverage, Covered, LEVELS
from robot_rl.learning.config import CHOOSE, CONSTANT, FitConfig, LATENT
from robot_rl.learning.demonstrations import Demonstrations
from robot_rl.learning.diffusion import Denoiser
from robot_rl.learning.diffusion_policy import encode_diffusion
from robot_rl.learning.ensemble import (
    Ensemble, EnsembleState, moved, posterior_noise, roots)
from robot_rl.learning.networks import Adam, Slot
import torch
from torch import Tensor

FIRST, LEAST, MOST = 1.0, 0.05, 1.5     # of an alpha that is turned: the first, and bounds; what
#                                 acts far more at random loses what it was taught
BOUNDS = 0.5, 2.5               # of one for latents that rest; few trajectories tell too little
#                                 to go further from the ensemble's own spread
HALVINGS = 8                    # of these bounds
TARGET = 0.9                    # level that the choice makes right; see `aim`
GAIN = 3.0                      # change of ln(alpha) per round and share that is not covered
LOOK, FINAL = (256, 32), (512, 64)      # held-out states, and samples in each, of a measurement
ROUND = {'ensemble': 250, 'policy': 250}        # updates in a round
LEAST_UPDATES, PASSES = 8000, 60        # of the policy where none are given; over all windows
MEASURES = 'best', 'best_loss', 'updates', 'fruitless'  # of an EnsembleState, beside its slot
STAGES = ('ensemble', 'policy', 'judges', 'calibration', 'done')
SHARES = {'ensemble': 0.12, 'policy': 0.65, 'judges': 0.18, 'calibration': 0.05}    # of the time


@dataclass(frozen=True)
class HeldOut:
    """Plans of the policies in R states that they never saw, and what was done there.

    Always in the same states and of the same noise: only the policies make a difference.
    """

    plans: Tensor               # (R, S, r, m) standardised, of what is executed
    moves: Tensor | None        # the same, of latents of the spread, per alpha
    done: np.ndarray            # (R, r, m)

    def covered(self, alpha: float) -> Covered:
        """Return the coverage of the actions."""
        found = self.plans if self.moves is None else self.plans + alpha * self.moves
        states, samples, executed, size = found.shape
        found = found.transpose(1, 2).reshape(states * executed, samples, size)
        return coverage(found.numpy(), self.done.reshape(-1, size))


class Fit:
    """One fit: `round` does some seconds of work until `done`; `arrays` and `manifest` hold all.

    Deterministic in data and configuration, and the same from any round on that was restored.
    """

    def __init__(self, data: Demonstrations, config: FitConfig):
        config.check()
        self.data, self.config = data, config
        self.stage, self.calibration = STAGES[0], {}
        self._generator = torch.Generator().manual_seed(config.seed)
        built = partial(Ensemble, data, config.members, config.member_width,
                        config.learning_rate, config.seed)
        self._ensemble, self._judges = built(config.spread == 'noised'), built(folds=True)
        self._members = self._ensemble.init(self._generator)
        self._judging = self._judges.init(torch.Generator().manual_seed(config.seed))
        size, observed = data.chunk.shape[1], data.observation.shape[1]
        self.denoiser = Denoiser(size, observed, config.width, config.depth)
        self._policies = Slot.of(self.denoiser.mlp.init(1 + data.folds, self._generator))
        self.average = self._policies.value     # (1 + F, P) what is sampled from; 0 sees all
        self._updates = 0                       # of the policies, so far
        self._due = config.updates or max(
            LEAST_UPDATES, PASSES * len(data.trajectory) // config.batch)
        rows = [np.arange(len(data.trajectory)), *map(data.trained, range(data.folds))]
        self._counts = torch.tensor([len(found) for found in rows])[:, None]
        self._rows = torch.from_numpy(np.stack([np.resize(found, len(rows[0])) for found in rows]))
        self._deviations: Tensor | None = None  # (N, K, c), once the ensemble stands
        self.alpha = FIRST if config.alpha == CHOOSE else config.alpha
        self._search: list[list[float]] = []    # (updates, alpha, share covered) of each look
        self._loss = float('nan')

    @property
    def done(self) -> bool:
        """Whether the artifact can be had."""
        return self.stage == STAGES[-1]

    def round(self) -> dict:
        """Work for some seconds; return where the fit stands in plain numbers."""
        getattr(self, f'_round_{self.stage}')()
        return self._figures()

    def _round_ensemble(self) -> None:
        self._members = self._teach(self._ensemble, self._members, then='policy')

    def _round_judges(self) -> None:
        self._judging = self._teach(self._judges, self._judging, then='calibration')

    def _teach(self, ensemble: Ensemble, state: EnsembleState, then: str) -> EnsembleState:
        config = self.config
        for _ in range(ROUND['ensemble']):
            state, self._loss = ensemble.update(state, self._generator)
        state = ensemble.measure(state)
        if state.updates >= config.ensemble_updates or state.fruitless >= config.patience:
            self.stage = then
        return state

    def _round_policy(self) -> None:
        for _ in range(min(ROUND['policy'], self._due - self._updates)):
            self._update_policy()
        if self._updates >= self._due:
            self.stage = 'judges' if self._opens else 'calibration'
        elif self.config.alpha == CHOOSE and self._perturbs:
            self._turn_alpha()

    def _round_calibration(self) -> None:
        held_out = self._held_out(*FINAL)
        if self.config.alpha == CHOOSE and not self._perturbs:
            self._find_alpha(held_out)
        found = held_out.covered(self.alpha)
        self.calibration = {
            'levels': list(LEVELS), 'covered': list(found.shares), 'states': len(held_out.done),
            'trajectories': len(self.data.fold), 'folds': self.data.folds, 'alpha': self.alpha,
            'aim': TARGET if self._perturbs else aim(len(self.data.fold)),
            'search': list(self._search)}
        self.stage = STAGES[-1]

    def _turn_alpha(self) -> None:
        """Move alpha towards TARGET, by less and less as the policies come to rest."""
        found = self._held_out(*LOOK).covered(self.alpha)
        self._search.append([self._updates, self.alpha, found[TARGET]])
        turn = GAIN * self._falling * (TARGET - found[TARGET])
        self.alpha = min(max(self.alpha * exp(turn), LEAST), MOST)

    def _find_alpha(self, held_out: HeldOut) -> None:
        """Set alpha to where the regions hold enough, as far as BOUNDS allow: it is bisected."""
        (low, high), enough = BOUNDS, aim(len(self.data.fold))
        for _ in range(HALVINGS):
            self.alpha = (low * high) ** 0.5
            share = held_out.covered(self.alpha)[TARGET]
            self._search.append([self._updates, self.alpha, share])
            low, high = (self.alpha, high) if share < enough else (low, self.alpha)

    @property
    def _perturbs(self) -> bool:
        """Whether the policy learns from chunks with noise on them."""
        return self.config.spread != LATENT

    @property
    def _opens(self) -> bool:
        """Whether the spread has latents of its own, and they are used."""
        return not self._perturbs and self.alpha > 0.0

    @property
    def _falling(self) -> float:
        """Share of the learning rate that is left."""
        return 0.5 * (1.0 + cos(pi * self._updates / self._due))

    def _update_policy(self) -> None:
        """One step of denoising on perturbed chunks, with a falling rate, and its average."""
        config, generator = self.config, self._generator
        policies = len(self._rows)
        drawn = torch.rand((policies, config.batch), generator=generator) * self._counts
        rows = self._rows.gather(1, drawn.long())
        chunk = torch.from_numpy(self.data.chunk)[rows]
        if self.alpha and self._perturbs:
            chunk = chunk + self.alpha * self._noise(rows.flatten()).view(chunk.shape)
        observation = torch.from_numpy(self.data.observation)[rows]
        parameters = self._policies.value.detach().requires_grad_()
        losses = self.denoiser.losses(parameters, chunk, observation, generator)
        gradient, = torch.autograd.grad(losses.sum(), parameters)
        adam = Adam(config.learning_rate * self._falling)
        self._updates += 1
        self._policies = adam.step(self._policies, gradient, torch.tensor(float(self._updates)))
        early = (1.0 + self._updates) / (10.0 + self._updates)
        self.average = self._policies.value.lerp(self.average, min(config.average, early))
        self._loss = float(losses[0].detach())

    def _noise(self, rows: Tensor) -> Tensor:
        """Return noise (B, c) for the chunks of rows (B,)."""
        config = self.config
        if config.spread == CONSTANT:
            return torch.randn((len(rows), self.data.chunk.shape[1]), generator=self._generator)
        if self._deviations is None:
            self._deviations = self._ensemble.deviations(
                self._members, torch.from_numpy(self.data.observation))
        if config.spread == 'diagonal':
            spread = self._deviations[rows].square().mean(1).sqrt()
            return spread * torch.randn(spread.shape, generator=self._generator)
        return posterior_noise(self._deviations[rows], self._generator)

    def _held_out(self, states: int, samples: int) -> HeldOut:
        """Return plans in about so many states, of the policies that did not learn from them."""
        data, config = self.data, self.config
        rng, generator = np.random.default_rng(config.seed), torch.Generator()
        generator.manual_seed(config.seed)
        size, found = data.chunk.shape[1] // data.length, ([], [], [])
        for fold in range(data.folds):
            rows = rng.permutation(data.tested(fold))[:-(-states // data.folds)]
            shape = len(rows), samples, data.length, size
            seen = torch.from_numpy(data.observation)[rows].repeat_interleave(samples, 0)
            noise = torch.randn((len(seen), data.chunk.shape[1]), generator=generator)
            parts = [self.denoiser.sample(self.average[[fold + 1]], seen, noise,
                                          config.sampling_steps).view(shape),
                     torch.from_numpy(data.chunk[rows]).view(len(rows), data.length, size)]
            if self._opens:
                deviations = self._judges.deviations(
                    self._judging, torch.from_numpy(data.observation)[rows], fold)
                latent = torch.randn((len(seen), size), generator=generator)
                spread = roots(deviations, size).repeat_interleave(samples, 0)
                parts.append(moved(spread, latent).view(shape))
            for column, part in zip(found, parts):
                column.append(part)
        plans, done, *moves = (torch.cat(column)[..., :config.replan, :]
                               for column in found if column)
        return HeldOut(plans, moves[0] if moves else None, done.numpy())

    # What a fit leaves behind.

    def artifact(self, contract: Contract, version: int, provenance: dict) -> bytes:
        """Return the demonstrator, with its calibration in its provenance."""
        data, config = self.data, self.config
        layers = self.denoiser.mlp.layers(self.average[:1])
        parts = [part.numpy() for part in self._ensemble.mlp.split(self._members.best)]
        members = list(zip(parts[::2], parts[1::2]))
        return encode_diffusion(
            layers, members, data.normalizer, data.action_mean, data.action_std, contract,
            version=version, chunk=data.length, replan=config.replan,
            sampling_steps=config.sampling_steps, alpha=self.alpha, spread=config.spread,
            provenance={**provenance, 'fit': asdict(config), 'calibration': self.calibration})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that changes, for a checkpoint."""
        tensors = {'generator': self._generator.get_state(), 'average': self.average}
        for name, slot in (('policy', self._policies), ('member', self._members.slot),
                           ('judge', self._judging.slot)):
            tensors |= {f'{name}.{item.name}': getattr(slot, item.name) for item in fields(Slot)}
        for name, state in (('member', self._members), ('judge', self._judging)):
            tensors |= {f'{name}.{item}': getattr(state, item) for item in MEASURES}
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    def manifest(self) -> dict:
        """Return the rest of it."""
        return {'stage': self.stage, 'updates': self._updates, 'alpha': self.alpha,
                'search': list(self._search), 'calibration': self.calibration,
                'fit': asdict(self.config)}

    def restore(self, arrays: dict[str, np.ndarray], manifest: dict) -> None:
        """Take up a checkpoint; raise UserError for one of another fit."""
        expected = {name: array.shape for name, array in self.arrays().items()}
        if manifest.get('fit') != asdict(self.config) or manifest.get('stage') not in STAGES or (
                {name: array.shape for name, array in arrays.items()} != expected):
            raise UserError('checkpoint: expected one of this fit, found one of another')
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self._generator.set_state(tensors['generator'])
        self.average = tensors['average']
        slots = {name: Slot(*(tensors[f'{name}.{item.name}'] for item in fields(Slot)))
                 for name in ('policy', 'member', 'judge')}
        self._policies = slots['policy']
        self._members, self._judging = (
            EnsembleState(slots[name], *(tensors[f'{name}.{item}'] for item in MEASURES))
            for name in ('member', 'judge'))
        self.stage, self._updates = manifest['stage'], manifest['updates']
        self.alpha, self._search = manifest['alpha'], list(manifest['search'])
        self.calibration = manifest['calibration']

    def _figures(self) -> dict:
        config, members = self.config, self._members
        shares = {'ensemble': float(members.updates) / config.ensemble_updates,
                  'policy': self._updates / self._due,
                  'judges': float(self._judging.updates) / config.ensemble_updates,
                  'calibration': 1.0 if self.done else 0.0}
        passed = STAGES.index(self.stage)
        percent = 100.0 * sum(
            share * (1.0 if STAGES.index(stage) < passed else min(shares[stage], 1.0))
            for stage, share in SHARES.items())
        return {'stage': self.stage, 'percent': percent, 'updates': self._updates,
                'ensemble_updates': int(members.updates), 'loss': self._loss,
                'held_out': float(members.best_loss.mean()), 'alpha': self.alpha,
                **{f'covered_{round(100 * level)}': share for level, share in self._coverage()}}

    def _coverage(self) -> Iterator[tuple[float, float]]:
        """Yield (level, share covered), once it is known."""
        if self.calibration:
            yield from zip(LEVELS, self.calibration['covered'])


def aim(trajectories: int) -> float:
    """Return how many actions of so many trajectories the TARGET regions should hold.

    As many as they say would be too few: an alpha that suits these trajectories suits the next
    one less. It is the finite-sample quantile of conformal prediction, ceil((n + 1) TARGET) / n
    without the ceiling, as steps are counted (Vovk et al. 2005; arXiv 2107.07511), where those
    that may be exchanged are whole trajectories (arXiv 1809.07441). Of up to 9 it is all, which
    in effect asks for the largest alpha there is.
    """
    return min(TARGET * (1.0 + 1.0 / trajectories), 1.0)


def plot(calibration: dict) -> bytes:
    """Return a PNG: what the regions hold and, where alpha was chosen, how it was found."""
    from matplotlib.figure import Figure        # on use: the fit itself needs none

    search = calibration['search']
    figure = Figure(figsize=(9.0 if search else 4.5, 4.0), layout='constrained')
    regions, *beside = figure.subplots(1, 2 if search else 1, squeeze=False)[0]
    levels = calibration['levels']
    regions.plot([0.0, 1.0], [0.0, 1.0], color='0.6', linestyle=':', label='calibrated')
    regions.plot(levels, calibration['covered'], marker='o',
                 label=f'policy, alpha {calibration["alpha"]:.2g}')
    regions.set(xlabel='probability of the region', ylabel='held-out actions in it',
                xlim=(0.0, 1.0), ylim=(0.0, 1.02),
                title=f'{calibration["states"]} states of {calibration["trajectories"]} '
                      'trajectories held out')
    regions.legend(loc='upper left')
    for axes in beside:
        _, alphas, shares = zip(*search)
        axes.plot(alphas, shares, marker='o', linestyle='none', markersize=4)
        axes.axhline(calibration['aim'], color='0.6', linestyle=':')
        axes.set(xlabel='alpha', ylabel=f'held-out actions in the {TARGET:.0%} region',
                 title='alpha by held-out coverage')
    target = io.BytesIO()
    figure.savefig(target, format='png', dpi=120)
    return target.getvalue()
