"""A diffusion model of action chunks, as pure functions of flat parameters.

Variance-preserving diffusion on an angle (Salimans and Ho 2022, arXiv 2202.00512): at phi a chunk
a is seen as x = cos(phi) a + sin(phi) noise, and the network tells the velocity
v = cos(phi) noise - sin(phi) a. Sampling is DDIM (Song et al. 2020, arXiv 2010.02502), which at
equal steps of the angle is a rotation per step. It has no chance of its own: the latent noise
decides the chunk, which is what steering needs.

Shapes: E networks, B batch, n observation, c = k * m numbers of a chunk of k actions.
"""

from __future__ import annotations

from math import cos, pi, sin

from robot_rl.learning.networks import Mlp
import torch
from torch import Tensor

FREQUENCIES = (1.0, 2.0, 4.0, 8.0)      # of the features of the angle
FEATURES = 2 * len(FREQUENCIES)


class Denoiser:
    """The network for given sizes; holds no parameters."""

    def __init__(self, chunk_size: int, observation_size: int, width: int, depth: int):
        self.chunk_size = chunk_size
        self.mlp = Mlp((chunk_size + observation_size + FEATURES, *(width,) * depth,
                        chunk_size))

    def velocity(self, parameters: Tensor, x: Tensor, observation: Tensor, phi: Tensor) -> Tensor:
        """Return v (E, B, c) of parameters (E, P) at x, observation and angle (B, 1).

        What is seen is the same for all networks (B, ...), or each one's own (E, B, ...).
        """
        turned = phi * torch.tensor(FREQUENCIES)
        inputs = (x, observation, torch.sin(turned), torch.cos(turned))
        return self.mlp(parameters, torch.cat(inputs, -1))

    def losses(self, parameters: Tensor, chunk: Tensor, observation: Tensor,
               generator: torch.Generator) -> Tensor:
        """Return each network's (E,) squared error of the velocity at random angles and noise."""
        phi = 0.5 * pi * torch.rand((*chunk.shape[:-1], 1), generator=generator)
        noise = torch.randn(chunk.shape, generator=generator)
        x = torch.cos(phi) * chunk + torch.sin(phi) * noise
        target = torch.cos(phi) * noise - torch.sin(phi) * chunk
        error = self.velocity(parameters, x, observation, phi) - target
        return error.square().mean((1, 2))

    @torch.no_grad()
    def sample(self, parameters: Tensor, observation: Tensor, noise: Tensor,
               steps: int) -> Tensor:
        """Return the chunks (B, c) that latent noise (B, c) stands for, of one network (1, P)."""
        turn = 0.5 * pi / steps
        x = noise
        for step in range(steps):
            phi = torch.full((len(noise), 1), 0.5 * pi - step * turn)
            x = cos(turn) * x - sin(turn) * self.velocity(parameters, x, observation, phi)[0]
        return x
