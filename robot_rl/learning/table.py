"""A table that grows, and holds no more memory than its rows."""

from __future__ import annotations

import mmap

import numpy as np

FIRST = 1024        # rows that a new table has room for


class Table:
    """Rows of float32 in one block, oldest first; a full block is copied to one of twice its size.

    The blocks are the system's own pages, not malloc's: what a table has outgrown goes back at
    once, where malloc keeps it as a hole that no later table fits into (1 MB after 65,536 rows of
    four numbers); and pages that no row has touched yet cost nothing.
    """

    def __init__(self, width: int):
        self._block = _block(FIRST, width)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> np.ndarray:
        """The filled part, (count, width)."""
        return self._block[:self._count]

    def append(self, rows: np.ndarray) -> None:
        """Append rows (k, width)."""
        count = self._count + len(rows)
        if count > len(self._block):
            grown = _block(max(count, 2 * len(self._block)), self._block.shape[1])
            grown[:self._count] = self.rows
            self._block = grown
        self._block[self._count:count] = rows
        self._count = count


def _block(rows: int, width: int) -> np.ndarray:
    pages = mmap.mmap(-1, 4 * rows * width, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, np.float32).reshape(rows, width)
