"""Exploration policies: SAC conditioned on a latent, paid for being told apart once they succeed.

One actor and one critic serve all latents z, given as one-hot inputs: z = 0 learns the task and
nothing else; it becomes the sim-optimal policy. All others are SMERL (Kumar et al. 2020, arXiv
2010.14484): in episodes whose return passes a gate, a discriminator's log q(z | s') is added to
the reward (DIAYN, Eysenbach et al. 2019, arXiv 1802.06070). That such policies transfer where the
optimal one does not: Wagenmaker et al. 2024, arXiv 2410.20254. Pure functions as in sac.py.

    paper                      here                            shape
    pi(a | s, z), Q(s, a, z)   sac, its observation is (s, z)  n + Z inputs
    q(z | s'), on features     discriminator                   d -> Z
    r + alpha 1[R >= R* - eps] (log q(z | s') - log p(z))      bonus, weight below

R* is the best latent's running return. Differences from SMERL: alpha and eps are shares of what
the task has taught so far, R* - R(random), so that they need no scale and the bonus is zero until
there is something to vary; the bonus and the gate are computed when a transition is sampled, so
they never grow old; a share of each batch is given to a latent drawn anew, so that all learn the
task from what any of them saw. Nobody is stuck behind a closed gate, SMERL's known failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from robot_rl.learning.config import ExplorerConfig, SacConfig
from robot_rl.learning.networks import Adam, Mlp, Slot
from robot_rl.learning.sac import Batch, Sac, SacState
import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class ExplorerState:
    """Everything the update reads and writes."""

    sac: SacState
    discriminator: Slot             # (1, P)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state by name, for a checkpoint."""
        return self.sac.tensors() | {f'discriminator.{name}': value
                                     for name, value in vars(self.discriminator).items()}

    @classmethod
    def from_tensors(cls, named: dict[str, Tensor]) -> ExplorerState:
        """Rebuild the state that `tensors` took apart."""
        parts = (named[f'discriminator.{name}'] for name in Slot.__dataclass_fields__)
        return cls(SacState.from_tensors(named), Slot(*parts))


@dataclass(frozen=True)
class ExplorerBatch:
    """A batch of normalised transitions with what the bonus needs."""

    transitions: Batch
    latent: Tensor                  # (B,) int64
    features: Tensor                # (B, d), phi(s')
    weight: Tensor                  # (B,), of the bonus: 0 where the gate is closed
    own: Tensor                     # (B,), 1.0 where `latent` is the one that acted


class Explorers:
    """The update rule for given sizes; holds no state."""

    def __init__(self, observation_size: int, action_size: int, feature_size: int,
                 config: ExplorerConfig, sac: SacConfig):
        self.latents = config.latents + 1           # Z
        self.sac = Sac(observation_size + self.latents, action_size, sac)
        self.discriminator = Mlp((feature_size, config.width, self.latents))
        self.adam = Adam(config.learning_rate)

    def init(self, generator: torch.Generator) -> ExplorerState:
        """Return fresh parameters drawn from the generator."""
        return ExplorerState(self.sac.init(generator),
                             Slot.of(self.discriminator.init(1, generator)))

    def conditioned(self, observation: Tensor, latent: Tensor) -> Tensor:
        """Return (B, n + Z), the observation (B, n) and the one-hot latent (B,)."""
        return torch.cat((observation, functional.one_hot(latent, self.latents)), -1)

    def act(self, actor: Tensor, observation: Tensor, latent: Tensor, noise: Tensor) -> Tensor:
        """Return actions (B, m) in [-1, 1]."""
        return self.sac.sample(actor, self.conditioned(observation, latent), noise)[0]

    def log_q(self, discriminator: Tensor, features: Tensor) -> Tensor:
        """Return log q(z | s') of shape (B, Z)."""
        return functional.log_softmax(self.discriminator(discriminator, features)[0], -1)

    def bonus(self, discriminator: Tensor, features: Tensor, latent: Tensor) -> Tensor:
        """Return log q(z | s') - log p(z) (B,), p uniform: zero for a guess."""
        return self.log_q(discriminator, features).gather(1, latent[:, None])[:, 0] + log(
            self.latents)

    def update(self, state: ExplorerState, batch: ExplorerBatch, generator: torch.Generator,
               with_actor: bool) -> tuple[ExplorerState, dict[str, Tensor]]:
        """Update SAC on the reward with the bonus, then the discriminator on the same batch."""
        plain = batch.transitions
        bonus = self.bonus(state.discriminator.value, batch.features, batch.latent)
        sac, metrics = self.sac.update(state.sac, Batch(
            self.conditioned(plain.observation, batch.latent), plain.action,
            plain.reward + batch.weight * bonus,
            self.conditioned(plain.next_observation, batch.latent), plain.terminated),
            generator, with_actor)
        discriminator, loss = self.update_discriminator(state.discriminator, batch,
                                                        sac.updates)
        metrics |= {'discriminator_loss': loss, 'bonus': (batch.weight * bonus).mean()}
        return ExplorerState(sac, discriminator), metrics

    def update_discriminator(self, slot: Slot, batch: ExplorerBatch,
                             count: Tensor) -> tuple[Slot, Tensor]:
        """One Adam step on the cross-entropy of the latents that acted; return it as well."""
        parameters = slot.value.detach().requires_grad_()
        log_q = self.log_q(parameters, batch.features).gather(1, batch.latent[:, None])[:, 0]
        loss = -(batch.own * log_q).sum() / batch.own.sum().clamp(min=1.0)
        gradient, = torch.autograd.grad(loss, parameters)
        return self.adam.step(slot, gradient, count), loss.detach()

    def fold(self, actor: Tensor, latent: int) -> list[tuple[Tensor, Tensor]]:
        """Return the layers (weight, bias) of one latent as a policy of the observation alone.

        A one-hot input adds its row of the first weight: that row goes into the bias.
        """
        layers = self.sac.actor.layers(actor)
        weight, bias = layers[0]
        n = len(weight) - self.latents
        return [(weight[:n].contiguous(), bias + weight[n + latent]), *layers[1:]]
