"""Policies as the robot runs them: numpy only, one observation in, one action out.

The control process needs no torch; two hidden layers of 256 cost some 30 microseconds in numpy.
A test holds this forward pass against the learner's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_rl.bundle import pack
from robot_rl.contract import Contract
from robot_rl.data.steps import Source
from robot_rl.learning.artifact import (forward, layer_arrays, Layers, manifest_of, Manifested,
                                        MAX_LAYERS, Normalizer, open_artifact, read_layers,
                                        read_normalizer, whole)
from robot_rl.learning.coverage import Coverage, read_coverage

LOG_STD_RANGE = (-5.0, 2.0)     # of the tanh-Gaussian actor, natural logarithm
MAX_EXPLORERS = 64
RENEWAL = 0.1       # chance per step of a new action of HeldRandom


class Policy(Protocol):
    """What acts in an episode."""

    version: int
    source: Source          # who chose the last action

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return an action (m,) for an observation (n,); the mode where rng is None."""


class CannotAct(Exception):
    """Raised by a policy that has no action for this tick; its text is why the episode ends."""


def draw(outputs: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """Return what a tanh-Gaussian actor's outputs (..., 2 m) give before the tanh, (..., m).

    A sample, or the mode where rng is None.
    """
    size = outputs.shape[-1] // 2
    mean, spread = outputs[..., :size], outputs[..., size:]
    if rng is None:
        return mean
    low, high = LOG_STD_RANGE
    log_std = low + 0.5 * (high - low) * (np.tanh(spread) + 1.0)
    return mean + np.exp(log_std) * rng.standard_normal(mean.shape)


@dataclass(frozen=True)
class GaussianPolicy(Manifested):
    """A tanh-Gaussian actor: observation (n,) to action (m,) in the contract's units."""

    layers: Layers              # weight (in, out), bias (out,)
    normalizer: Normalizer
    low: np.ndarray             # (m,)
    high: np.ndarray            # (m,)
    manifest: dict              # kind, version, contract, normaliser, provenance

    source = Source.POLICY

    @property
    def informed(self) -> bool:
        """Whether it knows more than chance: it was updated, or started from another policy."""
        return self.version > 0 or bool(self.manifest['provenance'].get('started_from'))

    @property
    def size(self) -> str:
        """Return its hidden layers in words, as SacConfig does."""
        widths = [len(bias) for _, bias in self.layers[:-1]]
        width = widths[0] if len(set(widths)) == 1 else widths
        return f'width {width} and depth {len(widths)}'

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return an action, sampled with `rng`, or the mode where rng is None."""
        raw = draw(forward(self.layers, self.normalizer(observation)), rng)
        scaled = np.tanh(raw.astype(np.float64))
        return self.low + 0.5 * (scaled + 1.0) * (self.high - self.low)


@dataclass(frozen=True)
class RandomPolicy:
    """Uniform actions within the contract's limits."""

    low: np.ndarray             # (m,)
    high: np.ndarray            # (m,)
    version: int = -1

    source = Source.RANDOM

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return a uniform action; the middle of the range where rng is None."""
        if rng is None:
            return 0.5 * (self.low + self.high)
        return rng.uniform(self.low, self.high)


class HeldRandom:
    """Uniform actions, each held for 1 / RENEWAL steps on average; one object per episode.

    At 20 actions per second independent ones cancel each other; held ones go somewhere.
    """

    version, source = -1, Source.RANDOM

    def __init__(self, low: np.ndarray, high: np.ndarray, renewal: float = RENEWAL):
        self._random, self._renewal = RandomPolicy(low, high), renewal
        self._action: np.ndarray | None = None

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return the held or a new uniform action; the middle of the range where rng is None."""
        if rng is None or self._action is None or rng.random() < self._renewal:
            self._action = self._random.act(observation, rng)
        return self._action


class RandomTail:
    """One episode of an explorer: its actions up to a step h ~ U{1..H}, then random ones.

    From some step on what the explorer does is wrong on the robot; nobody knows which, so the
    tail tries all else (Wagenmaker et al. 2024, arXiv 2410.20254, Pi_exp augmented). One object
    per episode. In the theory the tail is a RandomPolicy, which reaches less than a HeldRandom.
    """

    def __init__(self, policy: GaussianPolicy, random: RandomPolicy | HeldRandom, horizon: int,
                 rng: np.random.Generator):
        self.policy, self.random = policy, random
        self.version = policy.version
        self.left = int(rng.integers(1, horizon + 1))     # steps until the tail

    @property
    def source(self) -> Source:
        """Who chose the last action."""
        return (self.policy if self.left >= 0 else self.random).source

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return the explorer's action, or a random one in the tail."""
        self.left -= 1
        return (self.policy if self.left >= 0 else self.random).act(observation, rng)


def encode_gaussian(layers, normalizer: Normalizer, contract: Contract, version: int,
                    provenance: dict) -> bytes:
    """Return the policy artifact: one safetensors file with a JSON manifest in its header."""
    return pack(layer_arrays('actor', layers) | normalizer.arrays('normalizer'),
                manifest_of('gaussian', contract, version, provenance, layers=len(layers)))


def encode_explorers(explorers: list, normalizer: Normalizer, contract: Contract, version: int,
                     provenance: dict, coverage: Coverage) -> bytes:
    """Return several policies, each its layers, and what they cover in the simulator."""
    arrays = normalizer.arrays('normalizer')
    for index, layers in enumerate(explorers):
        arrays |= layer_arrays(f'explorer.{index}', layers)
    return pack(arrays, manifest_of(
        'explorers', contract, version, provenance, explorers=len(explorers),
        layers=len(explorers[0]), coverage=coverage.numbers()))


def decode_policy(data: bytes, contract: Contract, source: str) -> GaussianPolicy:
    """Return the policy in an artifact, or raise UserError or Mismatch naming the source."""
    arrays, manifest = open_artifact(data, ('gaussian',), contract, source)
    return gaussian_policy(arrays, manifest, 'actor', contract, source)


def decode_explorers(data: bytes, contract: Contract, source: str) -> tuple[
        tuple[GaussianPolicy, ...], Coverage]:
    """Return the explorers of an artifact and their certificate, checked as by `decode_policy`.

    The version of each is its number in the set, so that step records tell who acted.
    """
    arrays, manifest = open_artifact(data, ('explorers',), contract, source)
    count = whole(manifest, 'explorers', 1, MAX_EXPLORERS, source)
    coverage = read_coverage(manifest.get('coverage'), contract, source)
    return tuple(gaussian_policy(arrays, manifest | {'version': index}, f'explorer.{index}',
                                 contract, source) for index in range(count)), coverage


def gaussian_policy(arrays: dict, manifest: dict, name: str, contract: Contract,
                    source: str) -> GaussianPolicy:
    """Return the policy of an opened artifact whose layers have that name."""
    n, m = len(contract.layout), len(contract.action.layout)
    count = whole(manifest, 'layers', 1, MAX_LAYERS, source)
    layers = read_layers(arrays, name, count, n, 2 * m, source)
    normalizer = read_normalizer(arrays, 'normalizer', n, source)
    return GaussianPolicy(layers, normalizer, contract.action.low, contract.action.high,
                          manifest)
