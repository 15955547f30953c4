"""Named arrays with a JSON manifest, as safetensors bytes: how policies, transitions and
checkpoints travel and are stored. Reading it runs no code from the file.
"""

from __future__ import annotations

import json

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from robot_rl.errors import UserError

MAX_BYTES = 1 << 30
MAX_HEADER_BYTES = 1 << 20


def pack(arrays: dict[str, np.ndarray], manifest: dict) -> bytes:
    """Return the bytes of arrays and manifest."""
    contiguous = {name: np.asarray(array, order='C') for name, array in arrays.items()}
    return save(contiguous, metadata={'manifest': json.dumps(manifest, sort_keys=True)})


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
        return load(data), manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError,
            SafetensorError) as error:
        raise UserError(f'{source}: not a file of this package: {error}') from None
