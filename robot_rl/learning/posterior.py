"""The posterior demonstrator: an ensemble finds what is open, a diffusion policy carries it.

PostBC, Wagenmaker et al., arXiv 2512.16911.

Demonstrations -> ensemble -> chunks with noise alpha * N(0, cov(s)) -> denoiser -> artifact.
alpha = 0 is behavioural cloning (BC); with spread = constant the noise is N(0, 1) in every state,
which is sigma-BC with alpha as sigma. Where alpha is to be chosen, it is turned up while the
policy's regions hold too few of the held-out actions, and down while they hold too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
import io
from math import cos, exp, pi

import numpy as np
from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.learning.calibration import coverage, Covered, LEVELS
from robot_rl.learning.demonstrations import Demonstrations
from robot_rl.learning.diffusion import Denoiser
from robot_rl.learning.diffusion_policy import encode_diffusion
from robot_rl.learning.ensemble import Ensemble, EnsembleState, posterior_noise
from robot_rl.learning.networks import Adam, Slot
import torch
from torch import Tensor

SPREADS = ('posterior', 'constant')
CHOOSE = -1.0                   # alpha that held-out coverage is to choose
FIRST, LEAST, MOST = 1.0, 0.05, 10.0    # alpha then: at first, and its bounds
TARGET = 0.9                    # level that the choice makes right
GAIN = 3.0                      # change of ln(alpha) per round and share that is not covered
LOOK, FINAL = (128, 32), (256, 64)      # held-out states, and samples in each, of a measurement
ROUND = {'ensemble': 250, 'policy': 250}        # updates in a round
STAGES = ('ensemble', 'policy', 'calibration', 'done')
SHARES = {'ensemble': 0.15, 'policy': 0.8, 'calibration': 0.05}     # of the time, roughly


@dataclass(frozen=True)
class FitConfig:
    """How to fit."""

    chunk: int = 4                  # k, actions that are planned together
    replan: int = 2                 # of them that are executed before the next plan
    members: int = 10               # K, of the ensemble
    spread: str = 'posterior'       # or constant: the same noise everywhere, as in sigma-BC
    alpha: float = CHOOSE           # of the spread in the policy; -1: by held-out coverage
    holdout: float = 0.15           # share of the trajectories, at least one
    updates: int = 20_000           # of the policy
    ensemble_updates: int = 5_000   # of every member, at most
    patience: int = 4               # measurements without progress that end the ensemble's
    member_width: int = 128         # units per hidden layer of a member
    batch: int = 256                # windows per update of the policy
    width: int = 256                # units per hidden layer of the policy
    depth: int = 3                  # hidden layers of the policy
    learning_rate: float = 1e-3     # of Adam; the policy's falls to 0 with the cosine
    average: float = 0.999          # share of the averaged parameters that an update leaves
    sampling_steps: int = 8         # S, of DDIM
    seed: int = 0

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        rules = (
            ('chunk', '1 to 64', 1 <= self.chunk <= 64),
            ('replan', f'1 to chunk = {self.chunk}', 1 <= self.replan <= self.chunk),
            ('members', '2 to 100', 2 <= self.members <= 100),
            ('spread', f'one of {", ".join(SPREADS)}', self.spread in SPREADS),
            ('alpha', 'from 0 to 10, or -1', 0 <= self.alpha <= 10 or self.alpha == CHOOSE),
            ('holdout', 'above 0 and below 1', 0 < self.holdout < 1),
            *((name, 'at least 1', getattr(self, name) >= 1) for name in (
                'updates', 'ensemble_updates', 'patience', 'member_width', 'batch', 'width')),
            ('depth', '1 to 8', 1 <= self.depth <= 8),
            ('learning_rate', 'above 0 and below 1', 0 < self.learning_rate < 1),
            ('average', 'from 0 to below 1', 0 <= self.average < 1),
            ('sampling_steps', '1 to 64', 1 <= self.sampling_steps <= 64),
            ('seed', 'at least 0', self.seed >= 0))
        for name, expected, holds in rules:
            if not holds:
                raise UserError(f'fit: {name}: expected {expected}, found {getattr(self, name)}')


class Fit:
    """One fit: `round` does some seconds of work until `done`; `arrays` and `manifest` hold all.

    Deterministic in data and configuration, and the same from any round on that was restored.
    """

    def __init__(self, data: Demonstrations, config: FitConfig):
        config.check()
        self.data, self.config = data, config
        self.stage, self.calibration = STAGES[0], {}
        self._generator = torch.Generator().manual_seed(config.seed)
        self._ensemble = Ensemble(data, config.members, config.member_width,
                                  config.learning_rate, config.seed)
        self._members = self._ensemble.init(self._generator)
        size, observed = data.chunk.shape[1], data.observation.shape[1]
        self.denoiser = Denoiser(size, observed, config.width, config.depth)
        self._policy = Slot.of(self.denoiser.mlp.init(1, self._generator))
        self.average = self._policy.value       # (1, P) what is sampled from
        self._updates = 0                       # of the policy
        self._rows = torch.from_numpy(data.trained)
        self._deviations: Tensor | None = None  # (N trained, K, c), once the ensemble stands
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
        config, state = self.config, self._members
        for _ in range(ROUND['ensemble']):
            state, self._loss = self._ensemble.update(state, self._generator)
        self._members = state = self._ensemble.measure(state)
        if state.updates >= config.ensemble_updates or state.fruitless >= config.patience:
            self.stage = 'policy'

    def _round_policy(self) -> None:
        for _ in range(min(ROUND['policy'], self.config.updates - self._updates)):
            self._update_policy()
        if self._updates >= self.config.updates:
            self.stage = 'calibration'
        elif self.config.alpha == CHOOSE:
            self._turn_alpha()

    def _round_calibration(self) -> None:
        states, found = self._covered(*FINAL)
        self.calibration = {
            'levels': list(LEVELS), 'covered': list(found.shares), 'states': states,
            'trajectories': int(self.data.held_out.sum()), 'alpha': self.alpha,
            'search': list(self._search)}
        self.stage = STAGES[-1]

    def _turn_alpha(self) -> None:
        """Move alpha towards TARGET, by less and less as the policy comes to rest."""
        _, found = self._covered(*LOOK)
        self._search.append([self._updates, self.alpha, found[TARGET]])
        turn = GAIN * self._falling * (TARGET - found[TARGET])
        self.alpha = min(max(self.alpha * exp(turn), LEAST), MOST)

    @property
    def _falling(self) -> float:
        """Share of the learning rate that is left."""
        return 0.5 * (1.0 + cos(pi * self._updates / self.config.updates))

    def _update_policy(self) -> None:
        """One step of denoising on perturbed chunks, with a falling rate, and its average."""
        config, generator = self.config, self._generator
        drawn = torch.randint(len(self._rows), (config.batch,), generator=generator)
        rows = self._rows[drawn]
        chunk = torch.from_numpy(self.data.chunk)[rows]
        if self.alpha:
            chunk = chunk + self.alpha * self._noise(drawn)
        observation = torch.from_numpy(self.data.observation)[rows]
        parameters = self._policy.value.detach().requires_grad_()
        loss = self.denoiser.loss(parameters, chunk, observation, generator)
        gradient, = torch.autograd.grad(loss, parameters)
        adam = Adam(config.learning_rate * self._falling)
        self._updates += 1
        self._policy = adam.step(self._policy, gradient, torch.tensor(float(self._updates)))
        early = (1.0 + self._updates) / (10.0 + self._updates)
        self.average = self._policy.value.lerp(self.average, min(config.average, early))
        self._loss = float(loss.detach())

    def _noise(self, drawn: Tensor) -> Tensor:
        if self.config.spread == 'constant':
            return torch.randn((len(drawn), self.data.chunk.shape[1]), generator=self._generator)
        if self._deviations is None:
            seen = torch.from_numpy(self.data.observation)[self._rows]
            self._deviations = self._ensemble.deviations(self._members, seen)
        return posterior_noise(self._deviations[drawn], self._generator)

    def _covered(self, states: int, samples: int) -> tuple[int, Covered]:
        """Return how many held-out states were sampled in, and the coverage of what is executed.

        Always in the same states and of the same noise: only the policy makes a difference.
        """
        data, config = self.data, self.config
        rows = np.random.default_rng(config.seed).permutation(data.tested)[:states]
        generator = torch.Generator().manual_seed(config.seed)
        seen = torch.from_numpy(data.observation)[rows].repeat_interleave(samples, 0)
        noise = torch.randn((len(seen), data.chunk.shape[1]), generator=generator)
        drawn = torch.cat([
            self.denoiser.sample(self.average, part, latent, config.sampling_steps)
            for part, latent in zip(seen.split(4096), noise.split(4096))])
        shape = (len(rows), -1, data.length, drawn.shape[1] // data.length)
        found = drawn.numpy().reshape(shape)[:, :, :config.replan]
        actions = data.chunk[rows].reshape(shape)[:, 0, :config.replan]
        return len(rows), coverage(np.concatenate(found.transpose(2, 0, 1, 3)),
                                   np.concatenate(actions.transpose(1, 0, 2)))

    # What a fit leaves behind.

    def artifact(self, contract: Contract, version: int, provenance: dict) -> bytes:
        """Return the demonstrator, with its calibration in its provenance."""
        data, config = self.data, self.config
        parts = [part[0].numpy() for part in self.denoiser.mlp.split(self.average)]
        layers = [(weight, bias[0]) for weight, bias in zip(parts[::2], parts[1::2])]
        parts = [part.numpy() for part in self._ensemble.mlp.split(self._members.best)]
        members = list(zip(parts[::2], parts[1::2]))
        return encode_diffusion(
            layers, members, data.normalizer, data.action_mean, data.action_std, contract,
            version=version, chunk=data.length, replan=config.replan,
            sampling_steps=config.sampling_steps, alpha=self.alpha,
            provenance={**provenance, 'fit': asdict(config), 'calibration': self.calibration})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that changes, for a checkpoint."""
        tensors = {'generator': self._generator.get_state(), 'average': self.average}
        for name, state in (('policy', self._policy), ('member', self._members.slot)):
            tensors |= {f'{name}.{item.name}': getattr(state, item.name)
                        for item in fields(Slot)}
        tensors |= {f'member.{name}': getattr(self._members, name)
                    for name in ('best', 'best_loss', 'updates', 'fruitless')}
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
                 for name in ('policy', 'member')}
        self._policy = slots['policy']
        self._members = EnsembleState(slots['member'], *(
            tensors[f'member.{name}'] for name in ('best', 'best_loss', 'updates', 'fruitless')))
        self.stage, self._updates = manifest['stage'], manifest['updates']
        self.alpha, self._search = manifest['alpha'], list(manifest['search'])
        self.calibration = manifest['calibration']

    def _figures(self) -> dict:
        config, members = self.config, self._members
        shares = {'ensemble': float(members.updates) / config.ensemble_updates,
                  'policy': self._updates / config.updates,
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


def plot(calibration: dict) -> bytes:
    """Return a PNG: what the regions hold, and how alpha was found where it was chosen."""
    from matplotlib.figure import Figure        # on use: the fit itself needs none

    figure = Figure(figsize=(9.0, 4.0), layout='constrained')
    regions, search = figure.subplots(1, 2)
    levels = calibration['levels']
    regions.plot([0.0, 1.0], [0.0, 1.0], color='0.6', linestyle=':', label='calibrated')
    regions.plot(levels, calibration['covered'], marker='o',
                 label=f'policy, alpha {calibration["alpha"]:.2g}')
    regions.set(xlabel='probability of the region', ylabel='held-out actions in it',
                xlim=(0.0, 1.0), ylim=(0.0, 1.02),
                title=f'{calibration["states"]} states of {calibration["trajectories"]} '
                      'trajectories held out')
    regions.legend(loc='upper left')
    if calibration['search']:
        updates, alphas, shares = zip(*calibration['search'])
        search.plot(updates, alphas, label='alpha')
        search.plot(updates, shares, label=f'share in the region of {TARGET:.0%}')
        search.legend()
    search.set(xlabel='updates', title='alpha by held-out coverage' if calibration['search'] else
               'alpha was given')
    target = io.BytesIO()
    figure.savefig(target, format='png', dpi=120)
    return target.getvalue()
