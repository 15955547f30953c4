"""Made-up policy artifacts: each policy's mode is one action, whatever it sees."""

from __future__ import annotations

import numpy as np
from robot_rl.contract import Contract
from robot_rl.learning.coverage import Coverage, FeatureMap
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


def _layer(contract: Contract, action) -> tuple[np.ndarray, np.ndarray]:
    n, m = len(contract.layout), len(contract.action.layout)
    bias = np.concatenate([np.arctanh(action), np.zeros(m)])
    return np.zeros((n, 2 * m), np.float32), bias.astype(np.float32)


def _unit(contract: Contract) -> Normalizer:
    n = len(contract.layout)
    return Normalizer(np.zeros(n, np.float32), np.ones(n, np.float32))
