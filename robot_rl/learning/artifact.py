"""What every policy artifact shares: its manifest, its layers, and the checks of both.

An artifact is one safetensors file with a JSON manifest in its header. Everything is checked when
it is opened, so that running the policy cannot fail on a shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from robot_rl.bundle import unpack
from robot_rl.contract import Contract
from robot_rl.errors import UserError

MAX_POLICY_BYTES = 64 << 20
MAX_LAYERS = 16
STILL = 1e-3        # deviation of a number that hardly moves, in its unit

# Weight (..., in, out) and bias (..., out) of each layer, ReLU between.
Layers = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Normalizer:
    """Shift and scale of a vector."""

    mean: np.ndarray            # (n,) float32
    std: np.ndarray             # (n,) float32, > 0

    @classmethod
    def of(cls, seen: np.ndarray) -> Normalizer:
        """Return what gives vectors (k, n) mean 0 and deviation 1."""
        return cls.to(seen.mean(axis=0), seen.std(axis=0))

    @classmethod
    def to(cls, mean: np.ndarray, deviation: np.ndarray) -> Normalizer:
        """Return what gives vectors of that mean and deviation (n,) mean 0 and deviation 1.

        A number that hardly moves among them keeps its unit: it may move yet, and scaled by so
        little it would be all that a network sees.
        """
        return cls(mean.astype(np.float32),
                   np.where(deviation < STILL, 1.0, deviation).astype(np.float32))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return normalised values (..., n), float32."""
        return (values.astype(np.float32) - self.mean) / self.std

    def restore(self, normalised: np.ndarray) -> np.ndarray:
        """Return values (..., n) in their own units."""
        return normalised * self.std + self.mean

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Return what an artifact holds of it."""
        return {f'{name}.mean': self.mean, f'{name}.std': self.std}


class Manifested:
    """What the manifest of a policy says of it."""

    manifest: dict

    @property
    def version(self) -> int:
        """Counts up with the learner's updates; the fits of a demonstrator not steered."""
        return self.manifest['version']

    @property
    def learned_stamp(self) -> int:
        """Stamp in ns of the last robot step that went into it, 0 where none did."""
        return self.manifest['provenance'].get('learned_stamp', 0)


def forward(layers: Layers, values: np.ndarray) -> np.ndarray:
    """Return the output of the network for inputs (..., in)."""
    for weight, bias in layers[:-1]:
        values = np.maximum(values @ weight + bias, 0.0)
    weight, bias = layers[-1]
    return values @ weight + bias


def layer_arrays(name: str, layers) -> dict[str, np.ndarray]:
    """Return what an artifact holds of layers."""
    return {f'{name}.{index}.{part}': array for index, layer in enumerate(layers)
            for part, array in zip(('weight', 'bias'), layer)}


def manifest_of(kind: str, contract: Contract, version: int, provenance: dict, **own) -> dict:
    """Return the manifest of an artifact, with the keys that only its kind has."""
    return {'kind': kind, 'version': version, 'contract_hash': contract.hash,
            'interface': contract.interface, 'provenance': provenance, **own}


def open_artifact(data: bytes, kinds: tuple[str, ...], contract: Contract,
                  source: str) -> tuple[dict, dict]:
    """Return (arrays, manifest) of an artifact of one of these kinds and this contract."""
    arrays, manifest = unpack(data, source, MAX_POLICY_BYTES)
    if manifest.get('kind') not in kinds:
        raise UserError(f'{source}: kind: expected {" or ".join(kinds)}, found '
                        f'{manifest.get("kind")!r}')
    contract.check_interface(manifest.get('interface'), source)
    provenance = manifest.get('provenance')
    if not isinstance(provenance, dict) or not isinstance(provenance.get('learned_stamp', 0), int):
        raise UserError(f'{source}: provenance: expected a mapping with an integer learned_stamp')
    if not isinstance(manifest.get('version'), int):
        raise UserError(f'{source}: version: expected an integer, found '
                        f'{manifest.get("version")!r}')
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise UserError(f'{source}: {name}: expected finite float32 numbers')
    return arrays, manifest


def whole(manifest: dict, key: str, least: int, most: int, source: str) -> int:
    """Return an integer of the manifest that lies in its range."""
    value = manifest.get(key)
    if type(value) is not int or not least <= value <= most:
        raise UserError(f'{source}: {key}: expected {least} to {most}, found {value!r}')
    return value


def real(manifest: dict, key: str, least: float, most: float, source: str) -> float:
    """Return a number of the manifest that lies in its range."""
    value = manifest.get(key)
    if type(value) not in (int, float) or not least <= value <= most:   # refuses NaN as well
        raise UserError(f'{source}: {key}: expected {least:g} to {most:g}, found {value!r}')
    return float(value)


def array_of(arrays: dict, name: str, source: str) -> np.ndarray:
    """Return an array that must be there."""
    if name not in arrays:
        raise UserError(f'{source}: array {name!r} is missing')
    return arrays[name]


def read_normalizer(arrays: dict, name: str, size: int, source: str) -> Normalizer:
    """Return the shift and scale of a vector of that size."""
    mean, std = (array_of(arrays, f'{name}.{part}', source) for part in ('mean', 'std'))
    if mean.shape != (size,) or std.shape != (size,) or not (std > 0).all():
        raise UserError(f'{source}: {name}: expected {size} means and positive deviations')
    return Normalizer(mean, std)


def read_layers(arrays: dict, name: str, count: int, inputs: int, outputs: int, source: str,
                members: int = 0) -> Layers:
    """Return the layers of that name; of an ensemble, weights (members, in, out)."""
    stack = (members,) if members else ()
    layers, size = [], inputs
    for index in range(count):
        weight, bias = (array_of(arrays, f'{name}.{index}.{part}', source)
                        for part in ('weight', 'bias'))
        width = weight.shape[-1] if weight.ndim else 0
        row = (members, 1, width) if members else (width,)
        if weight.shape != (*stack, size, width) or bias.shape != row:
            raise UserError(f'{source}: {name}.{index}: expected {size} inputs, found '
                            f'weight {weight.shape} and bias {bias.shape}')
        layers.append((weight, bias))
        size = width
    if size != outputs:
        raise UserError(f'{source}: {name}: expected {outputs} outputs, found {size}')
    return tuple(layers)
