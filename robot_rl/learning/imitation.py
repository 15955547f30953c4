"""Fit a tanh-Gaussian actor to what a demonstrator does: a start for learning in action space."""

from __future__ import annotations

from robot_rl.learning.networks import Adam, Slot
from robot_rl.learning.sac import Sac
from robot_rl.learning.steering import Base, OPEN_STD
import torch
from torch import Tensor

UPDATES, BATCH = 3000, 256
PAIRS = 16_384          # of a state and an action, drawn before the first update
LEARNING_RATE = 1e-3
FLOOR = 0.1             # added to the actions, before tanh: no deviation falls below it
LIMIT = 0.99            # of an action in [-1, 1], whose atanh is finite


def imitate(sac: Sac, actor: Tensor, base: Base, observation: Tensor,
            generator: torch.Generator) -> Tensor:
    """Return an actor (1, P) of maximum likelihood at the base's first actions.

    Observations (N, n) are normalised as the base's; they are drawn with replacement. What
    demonstrations leave open is nearly at rest.
    """
    drawn = torch.randint(len(observation), (PAIRS,), generator=generator)
    seen = observation[drawn]
    noise = torch.randn((PAIRS, base.latents), generator=generator)
    noise[:, base.denoiser.chunk_size:] *= OPEN_STD
    done = torch.cat([base(*parts)[:, :sac.action_size]
                      for parts in zip(seen.split(1024), noise.split(1024))])
    raw = torch.atanh(done.clamp(-LIMIT, LIMIT))
    slot, adam = Slot.of(actor), Adam(LEARNING_RATE)
    for update in range(UPDATES):
        rows = torch.randint(PAIRS, (BATCH,), generator=generator)
        target = raw[rows] + FLOOR * torch.randn((BATCH, sac.action_size), generator=generator)
        parameters = slot.value.detach().requires_grad_()
        mean, log_std = sac.distribution(parameters, seen[rows])
        loss = (0.5 * ((target - mean) / log_std.exp()) ** 2 + log_std).sum(-1).mean()
        gradient, = torch.autograd.grad(loss, parameters)
        slot = adam.step(slot, gradient, torch.tensor(update + 1.0))
    return slot.value
