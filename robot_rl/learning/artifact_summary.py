"""What is in an artifact of any kind, for a person: read from the file alone, nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
import hashlib
from math import prod
from pathlib import Path
import re

import numpy as np
from robot_rl.bundle import MAX_BYTES, unpack
from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.files import read_up_to
from robot_rl.learning.diffusion_policy import decode_actor, decode_demonstrator
from robot_rl.learning.policy import decode_explorers

KINDS = {
    'gaussian': 'an actor: of the learner, or optimal in the simulator',
    'explorers': 'exploration policies, trained in the simulator',
    'diffusion': 'a demonstrator, fitted to recordings',
    'steered': 'a demonstrator whose noise an actor chooses',
    'checkpoint': 'the state of a training, to go on from',
    'round': 'what a round of training explorers saw',
}
DECODERS: dict[str, Callable] = {
    'gaussian': decode_actor, 'explorers': decode_explorers, 'diffusion': decode_demonstrator,
    'steered': decode_actor}
MAX_DEPTH = 32          # of nested mappings and lists in a manifest
_LAYER = re.compile(r'(.+)\.(\d{1,3})\.(weight|bias)')


@dataclass(frozen=True)
class Network:
    """Layers that feed each other, ReLU between; `count` of them are alike."""

    name: str
    count: int
    sizes: tuple[int, ...]      # inputs, units of each layer, outputs
    parameters: int             # of all together


@dataclass(frozen=True)
class Array:
    """A named array that is no part of a network."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ArtifactSummary:
    """A file of this package that reads whole: its checksum holds."""

    file: str
    bytes: int
    digest: str                     # SHA-256 of the file
    kind: str                       # one of KINDS, or of a later version
    manifest: dict
    networks: tuple[Network, ...]
    arrays: tuple[Array, ...]
    misfit: str | None = None       # why it is not of a contract, '' if it is, None: not asked


def read_artifact(path: Path, contract: Contract | None = None) -> ArtifactSummary:
    """Return what is in a file, held against a contract if there is one; raise UserError."""
    if path.is_dir():
        raise UserError(f'{path}: cannot be read: expected a safetensors file, found a folder')
    data = read_up_to(path, MAX_BYTES)
    if data[8:9] != b'{':       # the length of a header in JSON, then the header
        raise UserError(f'{path}: not a file of this package: expected a safetensors file, found '
                        'something else')
    arrays, manifest = unpack(data, str(path))
    if not _is_shallow(manifest, MAX_DEPTH):
        raise UserError(f'{path}: manifest: expected at most {MAX_DEPTH} levels, found more')
    networks, rest = _networks(arrays)
    misfit = _misfit(data, manifest, contract, str(path)) if contract else None
    return ArtifactSummary(str(path), len(data), hashlib.sha256(data).hexdigest(),
                           str(manifest.get('kind', '')), manifest, networks, rest, misfit)


def _is_shallow(value, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inner)


def _misfit(data: bytes, manifest: dict, contract: Contract, source: str) -> str:
    """Return why a node under this contract would refuse it, '' if none would."""
    decode = DECODERS.get(str(manifest.get('kind')))
    try:
        if decode:
            decode(data, contract, source)
        else:
            contract.check_interface(manifest.get('interface'), source)
    except UserError as error:
        return str(error)
    return ''


def _networks(arrays: dict[str, np.ndarray]) -> tuple[tuple[Network, ...], tuple[Array, ...]]:
    """Return the networks that the names of arrays tell of, and the other arrays."""
    layers: dict[str, dict[int, dict[str, tuple[int, ...]]]] = {}
    for name, array in arrays.items():
        if found := _LAYER.fullmatch(name):
            part, index, kind = found.groups()
            layers.setdefault(part, {}).setdefault(int(index), {})[kind] = array.shape
    shapes = {part: [found[index] for index in sorted(found)] for part, found in layers.items()
              if all(len(layer.get('weight', ())) > 1 and 'bias' in layer
                     for layer in found.values())}
    alike, parameters = Counter(), Counter()
    for part, network in shapes.items():
        *stack, inputs, _ = network[0]['weight']
        # Explorers are numbered, members of an ensemble are stacked.
        key = re.sub(r'\.\d+$', '', part), (inputs, *(layer['weight'][-1] for layer in network))
        alike[key] += prod(stack)
        parameters[key] += sum(prod(shape) for layer in network for shape in layer.values())
    rest = tuple(Array(name, str(array.dtype), array.shape)
                 for name, array in sorted(arrays.items())
                 if not (found := _LAYER.fullmatch(name)) or found[1] not in shapes)
    return tuple(Network(name, count, sizes, parameters[name, sizes])
                 for (name, sizes), count in sorted(alike.items())), rest
