from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from robot_rl.learning.table import Table

MEGABYTE = 1 << 20


def resident() -> int:
    """Return the bytes that this process alone has in memory."""
    fields = Path('/proc/self/statm').read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf('SC_PAGE_SIZE')


def test_rows_stay_as_they_came_however_much_the_table_grows():
    table, parts = Table(3), []
    for count in (0, 1, 1023, 1, 5000, 0, 7):
        parts.append(np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32))
        table.append(parts[-1])
    assert len(table) == 6032
    assert np.array_equal(table.rows, np.concatenate(parts))


def test_what_was_handed_out_outlives_the_block_that_it_lies_in():
    table = Table(2)
    table.append(np.ones((1024, 2), np.float32))
    rows = table.rows
    table.append(np.zeros((1, 2), np.float32))
    assert rows.all() and len(rows) == 1024


def test_a_table_holds_no_more_memory_than_its_rows():
    large = np.zeros(24 * MEGABYTE, np.uint8)
    del large       # from now on malloc takes from its heap what is smaller than this
    begun, table = resident(), Table(4)
    rows = np.ones((250, 4), np.float32)
    for _ in range(2500):       # eight blocks outgrown
        table.append(rows)
    assert abs(resident() - begun - table.rows.nbytes) < MEGABYTE
