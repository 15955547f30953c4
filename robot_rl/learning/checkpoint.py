"""Learner checkpoints: one safetensors file each, written whole or not at all.

The replay buffer is not in it: the bags are its durable form, and the recorder sends them again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import os
from pathlib import Path

import numpy as np

from robot_rl.bundle import MAX_BYTES, pack, unpack
from robot_rl.contract import Contract
from robot_rl.errors import Mismatch, UserError
from robot_rl.files import read_up_to, sync_folder, write_atomic

PATTERN = 'checkpoint_*.safetensors'
REFUSED = 'refused'         # folder below, of what was no checkpoint to go on with
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Refused:
    """A checkpoint that could not be taken up."""

    path: Path
    moved: Path             # where it is now: `path` itself where it could not be moved
    reason: str             # names the file

    def __str__(self) -> str:
        where = f'; moved to {self.moved}' if self.moved != self.path else ''
        return f'skipped {self.reason}{where}'


def save_checkpoint(folder: Path, arrays: Arrays, manifest: dict, contract: Contract,
                    keep: int) -> Path:
    """Write a checkpoint named after its updates, then drop all but `keep` up to this one.

    Newer ones stay: where they are, they did not read whole, and say more than nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'checkpoint_{manifest["updates"]:09d}.safetensors'
    manifest = manifest | {'kind': 'checkpoint', 'contract_hash': contract.hash,
                           'interface': contract.interface}
    for half in folder.glob(PATTERN + '.tmp'):      # of a learner that was killed in here
        half.unlink()
    write_atomic(path, pack(arrays, manifest))
    upto = [old for old in sorted(folder.glob(PATTERN)) if old <= path]
    for old in upto[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path, contract: Contract) -> tuple[Arrays, dict]:
    """Return (arrays, manifest), or raise UserError or Mismatch naming the file."""
    data = read_up_to(path, MAX_BYTES)
    arrays, manifest = unpack(data, str(path))
    if manifest.get('kind') != 'checkpoint':
        raise UserError(f'{path}: kind: expected checkpoint, found {manifest.get("kind")!r}')
    contract.check_interface(manifest.get('interface'), str(path))
    return arrays, manifest


def newest_checkpoint(
        folder: Path, contract: Contract,
        take: Callable[[Path, Arrays, dict], object] = lambda path, arrays, manifest: None,
) -> tuple[tuple[Path, Arrays, dict] | None, list[Refused]]:
    """Return the newest checkpoint that reads whole and is taken, and those that were refused.

    `take(path, arrays, manifest)` raises UserError where a checkpoint is of another learner. The
    refused ones are moved aside and never deleted, so that they are read once and nothing is
    written over them. Only where those of another contract or learner are all that there is, their
    error is raised: to start afresh would hide that the folder is the wrong one.
    """
    refused: list[tuple[Path, str]] = []
    foreign: UserError | None = None
    for path in sorted(folder.glob(PATTERN), reverse=True):
        whole = False
        try:
            arrays, manifest = load_checkpoint(path, contract)
            whole = True
            take(path, arrays, manifest)
            return (path, arrays, manifest), [_set_aside(*item) for item in refused]
        except UserError as error:
            refused.append((path, str(error)))
            if whole or isinstance(error, Mismatch):
                foreign = foreign or error
    if foreign:
        raise foreign
    return None, [_set_aside(*item) for item in refused]


def _set_aside(path: Path, reason: str) -> Refused:
    folder, count = path.parent / REFUSED, 1
    moved = folder / path.name
    while moved.exists():
        count += 1
        moved = folder / f'{path.stem}-{count}{path.suffix}'
    try:
        folder.mkdir(exist_ok=True)
        os.rename(path, moved)
        sync_folder(path.parent)
    except OSError:     # of a disk that only reads: it is skipped again next time
        return Refused(path, path, reason)
    return Refused(path, moved, reason)
