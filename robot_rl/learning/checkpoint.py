"""Learner checkpoints: one safetensors file each, written whole or not at all.

The replay buffer is not in it: the bags are its durable form, and the recorder sends them again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robot_rl.bundle import pack, unpack
from robot_rl.contract import Contract
from robot_rl.errors import Mismatch, UserError
from robot_rl.files import write_atomic

PATTERN = 'checkpoint_*.safetensors'


def save_checkpoint(folder: Path, arrays: dict[str, np.ndarray], manifest: dict,
                    contract: Contract, keep: int) -> Path:
    """Write a checkpoint named after its updates, then drop all but `keep` up to this one.

    Newer ones stay: where they are, they did not read whole, and say more than nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'checkpoint_{manifest["updates"]:09d}.safetensors'
    manifest = manifest | {'kind': 'checkpoint', 'contract_hash': contract.hash,
                           'interface': contract.interface}
    write_atomic(path, pack(arrays, manifest))
    upto = [old for old in sorted(folder.glob(PATTERN)) if old <= path]
    for old in upto[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path, contract: Contract) -> tuple[dict[str, np.ndarray], dict]:
    """Return (arrays, manifest), or raise UserError or Mismatch naming the file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror}') from None
    arrays, manifest = unpack(data, str(path))
    if manifest.get('kind') != 'checkpoint':
        raise UserError(f'{path}: kind: expected checkpoint, found {manifest.get("kind")!r}')
    contract.check_interface(manifest.get('interface'), str(path))
    return arrays, manifest


def newest_checkpoint(folder: Path, contract: Contract) -> tuple[tuple | None, list[str]]:
    """Return the newest checkpoint that reads whole, and why newer ones did not.

    A checkpoint of another contract raises Mismatch: to train on from it would be a mistake, and
    to ignore it would hide that the folder is the wrong one.
    """
    refused = []
    for path in sorted(folder.glob(PATTERN), reverse=True):
        try:
            return (path, *load_checkpoint(path, contract)), refused
        except Mismatch:
            raise
        except UserError as error:
            refused.append(str(error))
    return None, refused
