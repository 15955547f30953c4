"""Named arrays with a JSON manifest, as safetensors bytes.

Policies, transitions and checkpoints travel and are stored so. Reading runs no code of the file.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from robot_rl.errors import UserError
from safetensors import SafetensorError
from safetensors.numpy import load, save

MAX_BYTES = 1 << 30
MAX_HEADER_BYTES = 1 << 20
CHECKSUM = 'sha256'


def pack(arrays: dict[str, np.ndarray], manifest: dict) -> bytes:
    """Return the bytes of arrays and manifest."""
    contiguous = {name: np.asarray(array, order='C') for name, array in arrays.items()}
    signed = {**manifest, CHECKSUM: _digest(contiguous, manifest)}
    # One entry only: safetensors writes several in an order that changes from call to call.
    return save(contiguous, metadata={'manifest': json.dumps(signed, sort_keys=True)})


def unpack(data: bytes, source: str, max_bytes: int = MAX_BYTES) -> tuple[dict, dict]:
    """Return (arrays, manifest) or raise UserError naming the source."""
    try:
        if len(data) > max_bytes:
            raise ValueError(f'{len(data)} bytes, at most {max_bytes} are accepted')
        size = int.from_bytes(data[:8], 'little')
        if len(data) < 8 or size > min(MAX_HEADER_BYTES, len(data) - 8):
            raise ValueError('the header is cut short or too long')
        header = json.loads(data[8:8 + size])
        manifest = json.loads(header['__metadata__']['manifest'])
        if not isinstance(manifest, dict):
            raise ValueError('the manifest is not a mapping')
        arrays = load(data)
        if manifest.pop(CHECKSUM, None) != _digest(arrays, manifest):
            raise ValueError('the checksum does not match: the file is damaged')
        return arrays, manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError,
            SafetensorError) as error:
        raise UserError(f'{source}: not a file of this package: {error}') from None


def _digest(arrays: dict[str, np.ndarray], manifest: dict) -> str:
    """Return the SHA-256 of manifest, names, types, shapes and numbers: finds a flipped bit."""
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f'{name} {arrays[name].dtype} {arrays[name].shape}'.encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
