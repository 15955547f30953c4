"""Made-up demonstrators: small random or hand-set denoisers as artifacts."""

from __future__ import annotations

import numpy as np
from robot_rl.contract import Contract
from robot_rl.learning.diffusion import Denoiser
from robot_rl.learning.diffusion_policy import encode_diffusion
from robot_rl.learning.networks import Mlp
from robot_rl.learning.policy import Normalizer
import torch


def layers_of(mlp: Mlp, parameters: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = [part[0].numpy() for part in mlp.split(parameters)]
    return [(weight, bias[0]) for weight, bias in zip(parts[::2], parts[1::2])]


def demonstrator(contract: Contract, chunk: int = 3, replan: int = 2, seed: int = 0,
                 version: int = 1, width: int = 8, parameters=None, spread: str = 'diagonal',
                 **provenance) -> bytes:
    """Return a `diffusion` artifact of random layers, with statistics of its own."""
    n, m = len(contract.layout), len(contract.action.layout)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    denoiser = Denoiser(chunk * m, n, width, 2)
    if parameters is None:
        parameters = denoiser.mlp.init(1, generator)
    member = Mlp((n, 4, chunk * m))
    parts = [part.numpy() for part in member.split(member.init(2, generator))]
    half = 0.5 * (contract.action.high - contract.action.low)
    normalizer = Normalizer(rng.normal(size=n).astype(np.float32),
                            rng.uniform(0.5, 2.0, n).astype(np.float32))
    return encode_diffusion(
        layers_of(denoiser.mlp, parameters), list(zip(parts[::2], parts[1::2])), normalizer,
        np.tile(0.1 * half, chunk).astype(np.float32),
        np.tile(0.5 * half, chunk).astype(np.float32), contract, version=version, chunk=chunk,
        replan=replan, sampling_steps=4, alpha=0.5, spread=spread,
        provenance=provenance)
