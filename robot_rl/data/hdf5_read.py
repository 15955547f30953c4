"""Arrays and texts out of an HDF5 file that somebody else wrote.

Only what lies in the file itself is read: hard links, plain numbers of the expected shape, texts
of fixed length, and filters that come with the library. Links to other files, virtual data sets,
references and filters that would load a plugin are refused before anything is read, attributes
are left alone. The bytes are parsed by libhdf5, which is C.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import math
from pathlib import Path

import numpy as np

from robot_rl.data.export_robomimic import h5py_module
from robot_rl.data.steps import LARGEST
from robot_rl.errors import InvalidFile, Problem

MAX_CHUNK_BYTES = 64 << 20      # unpacked at once, whatever the data set's own size
MAX_TEXT_BYTES = 1 << 20
FILTERS = {1: 'gzip', 2: 'shuffle', 3: 'fletcher32', 32000: 'lzf'}     # none is a plugin
NUMBERS, INTEGERS = 'fiub', 'iub'


@dataclass(frozen=True)
class Node:
    """A group of the file, and its name in messages."""

    file: Path
    path: str
    group: object           # h5py.Group

    def names(self) -> list[str]:
        """Return the names in the group; of one that is not UTF-8 what is left of it."""
        with _readable(self.file, self.path or '/'):
            return [name if isinstance(name, str) else name.decode(errors='replace')
                    for name in self.group]

    def has(self, name: str) -> bool:
        """Whether there is anything of that name."""
        return name in self.names()

    def child(self, name: str) -> Node:
        """Return a group in this group, or raise InvalidFile."""
        found = self._own(name)
        if not isinstance(found, h5py_module().Group):
            raise self.bad(name, 'a group', _kind(found))
        return Node(self.file, self._path(name), found)

    def rows(self, name: str) -> int:
        """Return how many rows an array has, or raise InvalidFile."""
        return self._dataset(name).shape[0]

    def array(self, name: str, shape: tuple[int, ...], kinds: str = NUMBERS,
              finite: bool = True) -> np.ndarray:
        """Return an array of exactly that shape; raise InvalidFile.

        Floats come as float64. A column of its own, (k,), may stand for (k, 1).
        """
        data = self._dataset(name)
        expected = f'{"integers" if kinds == INTEGERS else "numbers"} of shape {shape}'
        if data.dtype.kind not in kinds or data.dtype.itemsize > 8 or (
                data.shape != shape and (*data.shape, 1) != shape):
            raise self.bad(name, expected, f'{data.dtype} of shape {data.shape}')
        with _readable(self.file, self._path(name)):
            values = np.asarray(data[()]).reshape(shape)
        if values.dtype.kind == 'f':
            values = values.astype(np.float64)
            wrong = ~(np.abs(values) <= LARGEST)        # or NaN
            if finite and wrong.any():
                row = int(np.argwhere(wrong)[0][0])
                raise self.bad(name, 'numbers that are finite in float32',
                               f'{values[row]} in row {row}')
        return values

    def text(self, name: str) -> str:
        """Return a text of fixed length, without space around it, or raise InvalidFile."""
        data = self._plain(name)
        if data.dtype.kind != 'S' or data.shape != () or data.dtype.itemsize > MAX_TEXT_BYTES:
            raise self.bad(name, f'a text of at most {MAX_TEXT_BYTES} bytes, of fixed length',
                           f'{data.dtype} of shape {data.shape}')
        with _readable(self.file, self._path(name)):
            return bytes(data[()]).decode(errors='replace').strip()

    def bad(self, name: str, expected: str, found: str, advice: str = '') -> InvalidFile:
        """Return the error for something in this group."""
        return InvalidFile(self.file, [Problem(self._path(name), expected, found, advice)])

    def _path(self, name: str) -> str:
        return f'{self.path}/{name}'.lstrip('/')

    def _own(self, name: str):
        """Return what the file itself holds under a name."""
        h5py = h5py_module()
        with _readable(self.file, self._path(name)):
            link = self.group.get(name, getlink=True)
            if isinstance(link, h5py.HardLink):
                return self.group[name]
        raise self.bad(name, 'data in the file itself',
                       'nothing' if link is None else f'a link: {type(link).__name__}')

    def _dataset(self, name: str):
        data = self._plain(name)
        if not data.shape:
            raise self.bad(name, 'an array', 'a single value' if data.shape == () else 'nothing')
        return data

    def _plain(self, name: str):
        """Return a data set that can be read without looking at anything else."""
        data = self._own(name)
        if not isinstance(data, h5py_module().Dataset):
            raise self.bad(name, 'an array', _kind(data))
        with _readable(self.file, self._path(name)):
            form = data.id.get_create_plist()
            filters = [form.get_filter(index)[0] for index in range(form.get_nfilters())]
            chunk = math.prod(data.chunks or (0,)) * data.dtype.itemsize
            elsewhere = data.is_virtual or data.external
        if elsewhere:
            raise self.bad(name, 'data in the file itself', 'data that lies in other files')
        unknown = [str(number) for number in filters if number not in FILTERS]
        if unknown:
            raise self.bad(name, 'one of the filters ' + ', '.join(FILTERS.values()),
                           f'filter {", ".join(unknown)}', 'rewrite it with h5repack -f GZIP=4')
        if chunk > MAX_CHUNK_BYTES:
            raise self.bad(name, f'chunks of at most {MAX_CHUNK_BYTES} bytes', f'{chunk} bytes')
        return data


@contextmanager
def open_hdf5(file: Path) -> Iterator[Node]:
    """Give the root of an HDF5 file, read-only; raise InvalidFile."""
    h5py = h5py_module()
    with _readable(file, 'file', 'a readable HDF5 file'):
        opened = h5py.File(file, 'r')
    with opened:
        yield Node(file, '', opened)


@contextmanager
def _readable(file: Path, key: str, expected: str = 'readable HDF5') -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: B902, damaged files fail in more ways than are declared
        found = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise InvalidFile(file, [Problem(key, expected, found)]) from None


def _kind(found) -> str:
    return type(found).__name__.lower()
