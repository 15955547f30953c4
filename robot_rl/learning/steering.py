"""Steer a frozen diffusion policy by its latent noise: DSRL-NA, as pure functions.

Wagenmaker et al. 2025, arXiv 2506.15799, section 4. The policy pi(s, w) turns noise w into a chunk
without chance of its own, so who chooses w chooses the chunk. Q_A(s, chunk) learns by temporal
differences from any data; Q_W(s, w) is distilled from Q_A(s, pi(s, w)), so that the actor needs no
gradient through the denoiser; the actor raises Q_W.

The policy's latents are its denoiser's noise and, where it has them, those of the ensemble's
spread (diffusion_policy.py): what the demonstrations leave open is there to choose from, too.

Shapes: B batch, n observation, c = k * m numbers of a planned chunk, d = r * m of its executed
part, w = c + o latents, E critics. Actions and latents are scaled to [-1, 1]; the latents
themselves are bound * scaled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

import numpy as np
from robot_rl.errors import UserError
from robot_rl.learning.config import SteerConfig
from robot_rl.learning.diffusion import Denoiser
from robot_rl.learning.diffusion_policy import DiffusionPolicy
from robot_rl.learning.ensemble import moved, roots
from robot_rl.learning.networks import Mlp, Slot
from robot_rl.learning.policy import LOG_STD_RANGE
from robot_rl.learning.sac import biased, Sac, SacState
import torch
from torch import Tensor


OPEN_STD = 0.15         # of the scaled latents of the spread in a fresh actor: nearly at rest


@dataclass(frozen=True)
class Spread:
    """What a policy's latents of the spread do to the actions that are executed."""

    mlp: Mlp
    parameters: Tensor          # (K, P) of the ensemble
    alpha: float
    size: int                   # m of an action, and of the latents
    executed: int               # d

    def __call__(self, observation: Tensor, latent: Tensor) -> Tensor:
        """Return what latents (B, m) add to standardised actions (B, d)."""
        found = self.mlp(self.parameters, observation)[..., :self.executed]
        deviations = (found - found.mean(0)).transpose(0, 1)
        return self.alpha * moved(roots(deviations, self.size), latent)


@dataclass(frozen=True)
class Base:
    """The frozen policy: normalised observation and latents to executed actions."""

    denoiser: Denoiser
    parameters: Tensor          # (1, P)
    scale: Tensor               # (d,) standardised actions -> [-1, 1] over the contract's limits
    offset: Tensor              # (d,)
    sampling_steps: int
    replan: int                 # r, actions executed of a chunk
    spread: Spread | None = None    # where the policy has latents for it

    @property
    def latents(self) -> int:
        """How many latents w decide a chunk."""
        return self.denoiser.chunk_size + (self.spread.size if self.spread else 0)

    @classmethod
    def of(cls, policy: DiffusionPolicy, source: str) -> Base:
        """Return a decoded demonstrator for training; raise UserError for uneven layers."""
        (weight, _), *_ = policy.denoiser
        denoiser = Denoiser(len(policy.action.mean), len(policy.normalizer.mean), weight.shape[1],
                            len(policy.denoiser) - 1)
        sizes = (len(weight), *(weight.shape[1] for weight, _ in policy.denoiser))
        if sizes != denoiser.mlp.sizes:
            raise UserError(f'{source}: denoiser: expected hidden layers of one width, found '
                            f'{sizes[1:-1]}')
        parameters = np.concatenate([part.ravel() for layer in policy.denoiser for part in layer])
        executed = policy.replan * len(policy.low)
        half = np.tile(0.5 * (policy.high - policy.low), policy.replan)
        middle = np.tile(0.5 * (policy.high + policy.low), policy.replan)
        scale = policy.action.std[:executed] / half
        offset = (policy.action.mean[:executed] - middle) / half
        return cls(denoiser, torch.from_numpy(parameters[None]),
                   torch.from_numpy(scale.astype(np.float32)),
                   torch.from_numpy(offset.astype(np.float32)),
                   policy.manifest['sampling_steps'], policy.replan,
                   _spread(policy, executed) if policy.open_latents else None)

    def __call__(self, observation: Tensor, noise: Tensor) -> Tensor:
        """Return what is executed (B, d) of the chunks of noise (B, w), clipped as the robot does.

        Observations (B, n) are normalised as the policy's, actions are scaled to [-1, 1].
        """
        size = self.denoiser.chunk_size
        chunk = self.denoiser.sample(self.parameters, observation, noise[:, :size],
                                     self.sampling_steps)[:, :len(self.scale)]
        if self.spread:
            chunk = chunk + self.spread(observation, noise[:, size:])
        return (chunk * self.scale + self.offset).clamp(-1.0, 1.0)


def _spread(policy: DiffusionPolicy, executed: int) -> Spread:
    """Return the spread of a policy's ensemble, of the first `executed` numbers of a chunk."""
    weights = [weight for weight, _ in policy.members]
    mlp = Mlp((weights[0].shape[1], *(weight.shape[2] for weight in weights)))
    parts = [part.reshape(len(weights[0]), -1) for layer in policy.members for part in layer]
    return Spread(mlp, torch.from_numpy(np.concatenate(parts, axis=1)),
                  policy.manifest['alpha'], len(policy.low), executed)


@dataclass(frozen=True)
class SteerState(SacState):
    """As of SAC, where `critic` is Q_A, and Q_W beside it."""

    noise_critic: Slot              # (E, P)


class Steering(Sac):
    """The update rule for one base and configuration; holds no state that changes.

    A batch's action is the executed part of a chunk (B, d), its reward the discounted sum over r
    steps, and its next observation r steps later: the discount of a decision is gamma ** r.
    """

    def __init__(self, observation_size: int, base: Base, config: SteerConfig):
        super().__init__(observation_size, base.latents, config)
        hidden = (config.width,) * config.depth
        self.base = base
        self.noise_critic = self.critic         # Q_W: of noise, where SAC's is of actions
        self.critic = Mlp((observation_size + len(base.scale), *hidden, 1), config.layer_norm)
        self.discount = config.discount ** base.replan

    def init(self, generator: torch.Generator) -> SteerState:
        """Return fresh critics, and an actor whose noise is that of the base policy.

        Latents of the spread begin nearly at rest: the base succeeds as often as it does, and its
        entropy opens them where the critics have nothing against it.
        The temperature starts lower than in SAC by the number of noise dimensions: the entropy of
        so many would pay more for a longer episode than the task does for its end.
        """
        state = super().init(generator)
        weight, bias = self.actor.split(state.actor.value)[-2:]     # views
        low, high = LOG_STD_RANGE
        deviation = np.full(self.action_size, start_std(self.config.noise_bound))
        deviation[self.base.denoiser.chunk_size:] = OPEN_STD
        spread = np.arctanh(2.0 * (np.log(deviation) - low) / (high - low) - 1.0)
        weight.zero_()
        bias[..., :self.action_size] = 0.0
        bias[..., self.action_size:] = torch.from_numpy(spread.astype(np.float32))
        temperature = torch.full((1, 1), log(self.config.initial_temperature / self.action_size))
        noise_critic = Slot.of(self.noise_critic.init(self.config.critics, generator))
        return SteerState(**{**vars(state), 'temperature': Slot.of(temperature)},
                          noise_critic=noise_critic)

    def lower(self, state: SteerState, value: float) -> SteerState:
        """As of SAC, both critics."""
        noise_critic = biased(self.noise_critic, state.noise_critic.value, value)
        return replace(super().lower(state, value), noise_critic=Slot.of(noise_critic))

    def draw(self, batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the noise of the actor and of the base, (B, w) each."""
        return self.noise(batch, generator), self.noise(batch, generator)

    def step_critic(self, state, batch, noise: tuple[Tensor, Tensor], target: Tensor
                    ) -> tuple[SteerState, dict[str, Tensor]]:
        """One step of Q_A on its temporal difference, one of Q_W towards Q_A."""
        bound = self.config.noise_bound
        with torch.no_grad():
            steered, log_prob = self.sample(state.actor.value, batch.next_observation, noise[0])
            prior = noise[1].clamp(-bound, bound) / bound
            following, here = self.base(
                torch.cat((batch.next_observation, batch.observation)),
                bound * torch.cat((steered, prior))).chunk(2)       # one pass for both
            goal = self.goal(state, batch, following, log_prob, target)
        state, metrics = self.regress(state, batch, goal)
        state, distilled = self.distil(state, batch.observation, prior, here)
        return state, metrics | distilled

    def distil(self, state, observation: Tensor, noise: Tensor, action: Tensor
               ) -> tuple[SteerState, dict[str, Tensor]]:
        """One step of each Q_W at noise (B, w) towards its own Q_A at what it stands for."""
        with torch.no_grad():
            known = self.values(state.critic.value, observation, action)
        parameters = state.noise_critic.value.detach().requires_grad_()
        values = self.noise_values(parameters, observation, noise)
        loss = ((values - known) ** 2).mean(1).sum()
        gradient, = torch.autograd.grad(loss, parameters)
        noise_critic = self.adam.step(state.noise_critic, gradient, state.updates)
        return replace(state, noise_critic=noise_critic), {'distillation_loss': loss.detach()}

    def noise_values(self, noise_critic: Tensor, observation: Tensor, noise: Tensor) -> Tensor:
        """Return Q_W of shape (E, B)."""
        return self.noise_critic(noise_critic, torch.cat((observation, noise), -1))[..., 0]

    def actor_values(self, state, observation: Tensor, action: Tensor) -> Tensor:
        """Return Q_W, (E, B): the actor's action is noise."""
        return self.noise_values(state.noise_critic.value, observation, action)


def start_std(bound: float) -> float:
    """Return the deviation of g for which bound * tanh(g) varies as N(0, 1) clipped to +-bound."""
    normal = torch.special.ndtri((torch.arange(1000.0) + 0.5) / 1000.0)
    found = torch.linspace(0.01, 3.0, 300)
    spread = (bound * torch.tanh(found[:, None] * normal)).std(1)
    return float(found[(spread - normal.clamp(-bound, bound).std()).abs().argmin()])
