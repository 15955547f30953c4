"""A published episode on the wire: one bundle with its transitions and what it is."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from robot_rl.bundle import pack, unpack
from robot_rl.contract import Contract
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.steps import Mode
from robot_rl.data.transitions import COLUMNS, Transitions
from robot_rl.errors import UserError

MAX_BYTES = 256 << 20
MODES = tuple(mode.name.lower() for mode in Mode)
HEADER = {item.name: item.type for item in fields(EpisodeRecord) if item.name != 'transitions'}


def encode_episode(record: EpisodeRecord, contract: Contract) -> bytes:
    """Return the bytes of one episode."""
    manifest = {'kind': 'episode', 'contract_hash': contract.hash,
                'interface': contract.interface,
                **{name: getattr(record, name) for name in HEADER}}
    return pack(vars(record.transitions), manifest)


def episode_key(data: bytes) -> str:
    """Return session and name of a message that may be of no use; '' where it does not tell."""
    try:
        _, manifest = unpack(data, '', MAX_BYTES)
    except UserError:
        return ''
    session, name = manifest.get('session'), manifest.get('name')
    return f'{session}/{name}' if session and name else ''


def decode_episode(data: bytes, contract: Contract, source: str) -> EpisodeRecord:
    """Return the episode, or raise UserError or Mismatch naming the source."""
    arrays, manifest = unpack(data, source, MAX_BYTES)
    if manifest.get('kind') != 'episode':
        raise UserError(f'{source}: kind: expected episode, found {manifest.get("kind")!r}')
    contract.check_interface(manifest.get('interface'), source)
    for name, kind in HEADER.items():
        if type(manifest.get(name)).__name__ != kind:
            raise UserError(f'{source}: {name}: expected {kind}, found {manifest.get(name)!r}')
    if manifest['mode'] not in MODES:
        raise UserError(f'{source}: mode: expected one of {", ".join(MODES)}, found '
                        f'{manifest["mode"]!r}')
    count = arrays['reward'].size if 'reward' in arrays else 0
    n, m = len(contract.layout), len(contract.action.layout)
    sizes = {'observation': (count, n), 'action': (count, m), 'next_observation': (count, n)}
    for name in COLUMNS:
        expected = sizes.get(name, (count,))
        array = arrays.get(name)
        if array is None or array.shape != expected or array.dtype != np.float32:
            raise UserError(f'{source}: {name}: expected float32 {expected}, found '
                            f'{"nothing" if array is None else (array.dtype, array.shape)}')
        if not np.isfinite(array).all():
            raise UserError(f'{source}: {name}: expected finite numbers')
    header = {name: manifest[name] for name in HEADER}
    return EpisodeRecord(transitions=Transitions(**{name: arrays[name] for name in COLUMNS}),
                         **header)
