"""Made-up policy artifacts: each policy's mode is one action, whatever it sees."""

from __future__ import annotations

import numpy as np
from robot_rl.contract import Contract
from robot_rl.learning.coverage import Coverage, FeatureMap
from robot_rl.learning.diffusion_policy import (decode_demonstrator, encode_diffusion,
                                                encode_steered, FEATURES)
from robot_rl.learning.policy import encode_explorers, encode_gaussian, Normalizer


def actor(contract: Contract, version: int = 1, action=(0.5, -0.5), **provenance) -> bytes:
    """Return a policy whose mode is `action` in [-1, 1]."""
    return encode_gaussian([_layer(contract, action)], _unit(contract), contract, version,
                           provenance)


def explorers(contract: Contract, *actions) -> bytes:
    """Return one explorer for each action."""
    observations = np.random.default_rng(0).normal(size=(20, len(contract.layout)))
    coverage = Coverage.empty(FeatureMap.fit(contract, observations)).add(observations)
    return encode_explorers([[_layer(contract, action)] for action in actions], _unit(contract),
                            contract, 70, {}, coverage)


def demonstrator(contract: Contract, plan, version: int = 3, replan: int = 2,
                 spread: float = 0.01, opinions=(-1.0, 1.0), **provenance) -> bytes:
    """Return a demonstrator whose chunks are `plan` (k, m) and noise of about `spread`.

    Each of its members is off by one of `opinions` times the spread.
    """
    plan = np.asarray(plan, np.float32)
    n, size = len(contract.layout), plan.size
    shapes = ((size + n + FEATURES, 4), (4, size))
    denoiser = [(np.zeros(shape, np.float32), np.zeros(shape[1], np.float32)) for shape in shapes]
    off = np.broadcast_to(np.float32(opinions)[:, None, None], (len(opinions), 1, size))
    members = [(np.zeros((len(opinions), n, size), np.float32), off)]
    return encode_diffusion(
        denoiser, members, _unit(contract), plan.ravel(), np.full(size, spread, np.float32),
        contract, version=version, chunk=len(plan), replan=replan, sampling_steps=2, alpha=1.0,
        spread='diagonal',
        provenance=provenance)


def steered(contract: Contract, plan, version: int = 5, noise: float = 0.5, bound: float = 1.5,
            **provenance) -> bytes:
    """Return a steered demonstrator whose latent noise is `noise` times `bound` in its mode."""
    base = decode_demonstrator(demonstrator(contract, plan), contract, 'made')
    n, size = len(contract.layout), len(base.action.mean)
    bias = np.concatenate((np.full(size, np.arctanh(noise)), np.zeros(size)))
    actor = [(np.zeros((n, 2 * size), np.float32), bias.astype(np.float32))]
    return encode_steered(base, actor, bound, contract, version, provenance)


def _layer(contract: Contract, action) -> tuple[np.ndarray, np.ndarray]:
    n, m = len(contract.layout), len(contract.action.layout)
    bias = np.concatenate([np.arctanh(action), np.zeros(m)])
    return np.zeros((n, 2 * m), np.float32), bias.astype(np.float32)


def _unit(contract: Contract) -> Normalizer:
    n = len(contract.layout)
    return Normalizer(np.zeros(n, np.float32), np.ones(n, np.float32))
