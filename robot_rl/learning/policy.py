"""Policies as the robot runs them: numpy only, one observation in, one action out.

The control process needs no torch; two hidden layers of 256 cost some 30 microseconds in numpy.
A test holds this forward pass against the learner's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_rl.bundle import pack, unpack
from robot_rl.contract import Contract
from robot_rl.errors import UserError

LOG_STD_RANGE = (-5.0, 2.0)     # of the tanh-Gaussian actor, natural logarithm
MAX_POLICY_BYTES = 64 << 20


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

    @property
    def version(self) -> int:
        """Counts up with the learner's updates."""
        return self.manifest['version']

    @property
    def learned_stamp(self) -> int:
        """Stamp in ns of the last robot step that went into it, 0 where none did."""
        return self.manifest['provenance'].get('learned_stamp', 0)

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

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return a uniform action; the middle of the range where rng is None."""
        if rng is None:
            return 0.5 * (self.low + self.high)
        return rng.uniform(self.low, self.high)


def encode_gaussian(layers, normalizer: Normalizer, contract: Contract, version: int,
                    provenance: dict) -> bytes:
    """Return the policy artifact: one safetensors file with a JSON manifest in its header."""
    arrays = {'normalizer.mean': normalizer.mean, 'normalizer.std': normalizer.std}
    for index, (weight, bias) in enumerate(layers):
        arrays |= {f'actor.{index}.weight': weight, f'actor.{index}.bias': bias}
    return pack(arrays, {
        'kind': 'gaussian', 'version': version, 'contract_hash': contract.hash,
        'interface': contract.interface, 'layers': len(layers), 'provenance': provenance})


def decode_policy(data: bytes, contract: Contract, source: str) -> GaussianPolicy:
    """Return the policy in an artifact, or raise UserError or Mismatch naming the source.

    Everything is checked here, so that running the policy cannot fail on a shape.
    """
    arrays, manifest = unpack(data, source, MAX_POLICY_BYTES)
    if manifest.get('kind') != 'gaussian':
        raise UserError(f'{source}: kind: expected gaussian, found {manifest.get("kind")!r}')
    contract.check_interface(manifest.get('interface'), source)
    provenance = manifest.get('provenance')
    if not isinstance(provenance, dict) or not isinstance(provenance.get('learned_stamp', 0), int):
        raise UserError(f'{source}: provenance: expected a mapping with an integer learned_stamp')
    count = manifest.get('layers')
    if not isinstance(count, int) or not 1 <= count <= 16 or not isinstance(
            manifest.get('version'), int):
        raise UserError(f'{source}: manifest: expected 1 to 16 layers and an integer version')
    n, m = len(contract.layout), len(contract.action.layout)
    try:
        layers = tuple((arrays[f'actor.{index}.weight'], arrays[f'actor.{index}.bias'])
                       for index in range(count))
        normalizer = Normalizer(arrays['normalizer.mean'], arrays['normalizer.std'])
    except KeyError as error:
        raise UserError(f'{source}: array {error} is missing') from None
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise UserError(f'{source}: {name}: expected finite float32 numbers')
    size = n
    for index, (weight, bias) in enumerate(layers):
        if weight.ndim != 2 or weight.shape[0] != size or bias.shape != (weight.shape[1],):
            raise UserError(f'{source}: actor.{index}: expected {size} inputs, found '
                            f'weight {weight.shape} and bias {bias.shape}')
        size = weight.shape[1]
    if size != 2 * m:
        raise UserError(f'{source}: expected {2 * m} outputs, found {size}')
    if normalizer.mean.shape != (n,) or normalizer.std.shape != (n,) or not (
            normalizer.std > 0).all():
        raise UserError(f'{source}: normalizer: expected {n} means and positive deviations')
    return GaussianPolicy(layers, normalizer, contract.action.low, contract.action.high,
                          manifest)
