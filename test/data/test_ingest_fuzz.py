"""Cut and garbled recordings: a reason for each, never a crash, a hang or a full memory."""

from __future__ import annotations

import os
import random
import time

from mcap.opcode import Opcode
from mcap.writer import CompressionType, MCAP0_MAGIC
import pytest
from raw_bags import episode, write_foreign_mcap, write_mcap, write_sqlite
from robot_rl.data.ingest import Ingest
from rosbags.rosbag2 import CompressionFormat, CompressionMode

CASES = int(os.environ.get('ROBOT_RL_FUZZ', '500'))
LONGEST = 20.0      # s for one file of 10 kB
STORAGES = ('mcap', 'unchecked', 'sqlite', 'zstd')


@pytest.fixture
def whole(tmp_path):
    """Return (file, its bytes) of a good bag without metadata.yaml."""
    def make(storage: str):
        raws = episode(30)
        if storage == 'unchecked':      # as rosbag2 itself writes: no checksum tells of a change
            file = tmp_path / 'bag.mcap'
            write_foreign_mcap(file, raws, compression=CompressionType.NONE, enable_crcs=False)
            return file, file.read_bytes()
        if storage == 'mcap':
            folder = write_mcap(tmp_path / 'bag', raws, chunk=50, label='success')
        else:
            mode = (CompressionMode.MESSAGE, CompressionFormat.ZSTD)
            folder = write_sqlite(tmp_path / 'bag', raws, mode if storage == 'zstd' else None)
        file = next(path for path in folder.iterdir() if path.suffix != '.yaml')
        (folder / 'metadata.yaml').unlink()
        return file, file.read_bytes()
    return make


def last_chunk(data: bytes) -> tuple[int, int]:
    """Return where the last chunk begins, and where the data ends."""
    at, found = len(MCAP0_MAGIC), 0
    while data[at] != Opcode.DATA_END:
        found = at if data[at] == Opcode.CHUNK else found
        at += 9 + int.from_bytes(data[at + 1:at + 9], 'little')
    return found, at


def ingest(file, contract):
    """Ingest one file; return (taken demonstrations, its reading)."""
    begun = time.monotonic()
    run = Ingest([file], contract)
    found = list(run)
    assert time.monotonic() - begun < LONGEST
    reading, = run.readings
    # Either something was taken, or it is said why nothing was.
    assert found or reading.refused or all(row['reason'] for row in reading.episodes)
    return found, reading


def test_every_cut_of_the_last_chunk_leaves_a_reason_and_what_came_before(whole, contract):
    file, data = whole('mcap')
    begin, end_of_data = last_chunk(data)
    assert begin < end_of_data - 500
    for end in range(begin, end_of_data):
        file.write_bytes(data[:end])
        (found,), reading = ingest(file, contract)
        assert reading.damage and len(found.transitions) >= 24


def test_a_bag_cut_in_half_gives_the_first_half(contract, tmp_path):
    folder = write_mcap(tmp_path / 'bag', episode(20_000))
    (folder / 'metadata.yaml').unlink()
    file = next(folder.iterdir())
    os.truncate(file, file.stat().st_size // 2)
    (found,), reading = ingest(file, contract)
    assert 100 <= len(found.transitions) and 'cut' in reading.damage[0]


@pytest.mark.parametrize('storage', STORAGES)
def test_random_changes_never_crash_or_hang(whole, contract, storage):
    file, data = whole(storage)
    rng = random.Random(storage)
    for _ in range(CASES if storage == 'unchecked' else CASES // 5):
        garbled = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 10, 100))):
            garbled[rng.randrange(len(garbled))] = rng.randrange(256)
        file.write_bytes(garbled)
        ingest(file, contract)


@pytest.mark.parametrize('storage', STORAGES[2:])
def test_every_tenth_cut_of_a_database_leaves_a_reason(whole, contract, storage):
    file, data = whole(storage)
    for end in range(0, len(data), len(data) // 50):
        file.write_bytes(data[:end])
        found, reading = ingest(file, contract)
        assert reading.damage or reading.refused or len(found[0].transitions) < 30
