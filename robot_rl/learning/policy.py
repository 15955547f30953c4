"""Policies as the robot runs them: numpy only, one observation in, one action out.

The control process needs no torch; two hidden layers of 256 cost some 30 microseconds in numpy.
A test holds this forward pass against the learner's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robot_rl.bundle import pack, unpack
from robot_rl.contract import Contract
from robot_rl.data.steps import Source
from robot_rl.errors import UserError
from robot_rl.learning.coverage import Coverage, read_coverage

LOG_STD_RANGE = (-5.0, 2.0)     # of the tanh-Gaussian actor, natural logarithm
MAX_POLICY_BYTES = 64 << 20
MAX_EXPLORERS = 64
RENEWAL = 0.1       # chance per step of a new action of HeldRandom


class Policy(Protocol):
    """What acts in an episode."""

    version: int
    source: Source          # who chose the last action

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return an action (m,) for an observation (n,); the mode where rng is None."""


@dataclass(frozen=True)
class Normalizer:
    """Shift and scale of observations, fixed when learning starts."""

    mean: np.ndarray            # (n,) float32
    std: np.ndarray             # (n,) float32, > 0

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Return the normalised observation, float32."""
        return (observation.astype(np.float32) - self.mean) / self.std


@dataclass(frozen=True)
class GaussianPolicy:
    """A tanh-Gaussian actor: observation (n,) to action (m,) in the contract's units."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]   # weight (in, out), bias (out,)
    normalizer: Normalizer
    low: np.ndarray             # (m,)
    high: np.ndarray            # (m,)
    manifest: dict              # kind, version, contract, normaliser, provenance

    source = Source.POLICY

    @property
    def version(self) -> int:
        """Counts up with the learner's updates."""
        return self.manifest['version']

    @property
    def learned_stamp(self) -> int:
        """Stamp in ns of the last robot step that went into it, 0 where none did."""
        return self.manifest['provenance'].get('learned_stamp', 0)

    @property
    def informed(self) -> bool:
        """Whether it knows more than chance: it was updated, or started from another policy."""
        return self.version > 0 or bool(self.manifest['provenance'].get('started_from'))

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return an action, sampled with `rng`, or the mode where rng is None."""
        hidden = self.normalizer(observation)
        for weight, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0.0)
        weight, bias = self.layers[-1]
        mean, spread = np.split(hidden @ weight + bias, 2)
        if rng is not None:
            low, high = LOG_STD_RANGE
            log_std = low + 0.5 * (high - low) * (np.tanh(spread) + 1.0)
            mean = mean + np.exp(log_std) * rng.standard_normal(len(mean))
        scaled = np.tanh(mean.astype(np.float64))
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
    return pack(_arrays('actor', layers) | _scale(normalizer), {
        'kind': 'gaussian', 'version': version, 'contract_hash': contract.hash,
        'interface': contract.interface, 'layers': len(layers), 'provenance': provenance})


def encode_explorers(explorers: list, normalizer: Normalizer, contract: Contract, version: int,
                     provenance: dict, coverage: Coverage) -> bytes:
    """Return several policies, each its layers, and what they cover in the simulator."""
    arrays = _scale(normalizer)
    for index, layers in enumerate(explorers):
        arrays |= _arrays(f'explorer.{index}', layers)
    return pack(arrays, {
        'kind': 'explorers', 'version': version, 'contract_hash': contract.hash,
        'interface': contract.interface, 'explorers': len(explorers),
        'layers': len(explorers[0]), 'provenance': provenance, 'coverage': coverage.numbers()})


def decode_policy(data: bytes, contract: Contract, source: str) -> GaussianPolicy:
    """Return the policy in an artifact, or raise UserError or Mismatch naming the source.

    Everything is checked here, so that running the policy cannot fail on a shape.
    """
    arrays, manifest = _open(data, 'gaussian', contract, source)
    return _policy(arrays, manifest, 'actor', contract, source)


def decode_explorers(data: bytes, contract: Contract, source: str) -> tuple[
        tuple[GaussianPolicy, ...], Coverage]:
    """Return the explorers of an artifact and their certificate, checked as by `decode_policy`.

    The version of each is its number in the set, so that step records tell who acted.
    """
    arrays, manifest = _open(data, 'explorers', contract, source)
    count = manifest.get('explorers')
    if type(count) is not int or not 1 <= count <= MAX_EXPLORERS:
        raise UserError(f'{source}: explorers: expected 1 to {MAX_EXPLORERS}, found {count!r}')
    coverage = read_coverage(manifest.get('coverage'), contract, source)
    return tuple(_policy(arrays, manifest | {'version': index}, f'explorer.{index}', contract,
                         source) for index in range(count)), coverage


def _arrays(name: str, layers) -> dict[str, np.ndarray]:
    return {f'{name}.{index}.{part}': array for index, layer in enumerate(layers)
            for part, array in zip(('weight', 'bias'), layer)}


def _scale(normalizer: Normalizer) -> dict[str, np.ndarray]:
    return {'normalizer.mean': normalizer.mean, 'normalizer.std': normalizer.std}


def _open(data: bytes, kind: str, contract: Contract, source: str) -> tuple[dict, dict]:
    """Return (arrays, manifest) of an artifact of that kind and this contract."""
    arrays, manifest = unpack(data, source, MAX_POLICY_BYTES)
    if manifest.get('kind') != kind:
        raise UserError(f'{source}: kind: expected {kind}, found {manifest.get("kind")!r}')
    contract.check_interface(manifest.get('interface'), source)
    provenance = manifest.get('provenance')
    if not isinstance(provenance, dict) or not isinstance(provenance.get('learned_stamp', 0), int):
        raise UserError(f'{source}: provenance: expected a mapping with an integer learned_stamp')
    count = manifest.get('layers')
    if not isinstance(count, int) or not 1 <= count <= 16 or not isinstance(
            manifest.get('version'), int):
        raise UserError(f'{source}: manifest: expected 1 to 16 layers and an integer version')
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise UserError(f'{source}: {name}: expected finite float32 numbers')
    return arrays, manifest


def _policy(arrays: dict, manifest: dict, name: str, contract: Contract,
            source: str) -> GaussianPolicy:
    """Return the policy whose layers have that name."""
    n, m = len(contract.layout), len(contract.action.layout)
    try:
        layers = tuple((arrays[f'{name}.{index}.weight'], arrays[f'{name}.{index}.bias'])
                       for index in range(manifest['layers']))
        normalizer = Normalizer(arrays['normalizer.mean'], arrays['normalizer.std'])
    except KeyError as error:
        raise UserError(f'{source}: array {error} is missing') from None
    size = n
    for index, (weight, bias) in enumerate(layers):
        if weight.ndim != 2 or weight.shape[0] != size or bias.shape != (weight.shape[1],):
            raise UserError(f'{source}: {name}.{index}: expected {size} inputs, found '
                            f'weight {weight.shape} and bias {bias.shape}')
        size = weight.shape[1]
    if size != 2 * m:
        raise UserError(f'{source}: expected {2 * m} outputs, found {size}')
    if normalizer.mean.shape != (n,) or normalizer.std.shape != (n,) or not (
            normalizer.std > 0).all():
        raise UserError(f'{source}: normalizer: expected {n} means and positive deviations')
    return GaussianPolicy(layers, normalizer, contract.action.low, contract.action.high,
                          manifest)
