"""Curves of training as TensorBoard event files, written and read without TensorBoard.

A file is a sequence of TFRecords: length (uint64), masked CRC-32C of the length, the bytes, masked
CRC-32C of the bytes; the bytes are a `tensorflow.Event` (event.proto, summary.proto). Only its
scalars are written, all of one moment in one record, so that a killed writer leaves whole records
and at most a part of the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
import math
import os
from pathlib import Path
import struct

FOLDER = 'curves'               # below a learner's checkpoints, whose updates they count
PATTERN = '*tfevents*'          # what TensorBoard looks for
VERSION = b'brain.Event:2'      # of the first record of a file
MAX_RECORD_BYTES = 1 << 20
MAX_FILE_BYTES = 64 << 20        # read of a file: 40 hours of a learner
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5        # wire types of protobuf


@dataclass
class Curve:
    """One scalar over training: its values at steps, and when they were written."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)        # s since 1970


class CurveWriter:
    """Appends scalars to one event file, made at the first of them; owned by one thread.

    Every record reaches the operating system at once. What the disk refuses is told to `on_error`
    the first time, and costs those points only: it never raises.
    """

    def __init__(self, folder: Path, on_error: Callable[[str], None]):
        self._folder, self._on_error = folder, on_error
        self._file, self._end, self._told = None, 0, False

    def add(self, step: int, values: dict[str, float], now: float) -> None:
        """Append values of a step; `now` is in s since 1970. What is not finite is left out."""
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        if not values:
            return
        try:
            if self._file is None:
                self._open(now)
            self._append(_event(now, step, values))
        except OSError as error:
            self._forget_part()
            if not self._told:
                self._told = True
                self._on_error(f'{self._folder}: curves are not written: {error}')

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, now: float) -> None:
        # Names sort by time, as TensorBoard reads the files of a folder in this order.
        path = self._folder / f'events.out.tfevents.{now:020.6f}.{os.getpid()}'
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file, self._end = open(path, 'xb', buffering=0), 0
        self._append(_double(1, now) + _bytes(3, VERSION))

    def _append(self, event: bytes) -> None:
        record = _record(event)
        if self._file.write(record) != len(record):
            raise OSError('the disk took a part of a record')
        self._end += len(record)

    def _forget_part(self) -> None:
        """Cut a part of a record off: readers end at the first that is damaged."""
        if self._file is None:
            return
        try:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            if not self._end:           # without its first record it is no event file
                os.unlink(self._file.name)
                self.close()
        except OSError:
            self.close()                # the next point begins a new file


def read_curves(folder: Path) -> dict[str, Curve]:
    """Return the curves in a folder by name, up to the first damaged byte of every file.

    A writer that resumed goes on in a new file, from a step that may lie before the last one of
    the file before: what the earlier writer did after that step is not part of the curves.
    """
    curves: dict[str, Curve] = {}
    for path in sorted(folder.glob(PATTERN)):
        first = True
        for now, step, values in _events(path):
            if first and values:
                _cut(curves, step)
                first = False
            for name, value in values.items():
                curve = curves.setdefault(name, Curve())
                curve.steps.append(step)
                curve.values.append(value)
                curve.times.append(now)
    return curves


def _cut(curves: dict[str, Curve], step: int) -> None:
    for curve in curves.values():
        kept = sum(found < step for found in curve.steps)
        del curve.steps[kept:], curve.values[kept:], curve.times[kept:]


def _events(path: Path) -> Iterator[tuple[float, int, dict[str, float]]]:
    try:
        with open(path, 'rb') as file:
            data = file.read(MAX_FILE_BYTES)
    except OSError:
        return
    at = 0
    while at + 12 <= len(data):
        length, = struct.unpack_from('<Q', data, at)
        end = at + 12 + length
        if length > MAX_RECORD_BYTES or end + 4 > len(data):
            return
        head, body = data[at:at + 8], data[at + 12:end]
        if (_masked_crc(head), _masked_crc(body)) != struct.unpack(
                '<II', data[at + 8:at + 12] + data[end:end + 4]):
            return
        at = end + 4
        try:
            yield _parsed(body)
        except (IndexError, struct.error, UnicodeDecodeError):
            return


def _parsed(event: bytes) -> tuple[float, int, dict[str, float]]:
    """Return wall time, step and scalars of an event."""
    now, step, values = 0.0, 0, {}
    for key, value in _fields(event):
        if key == _key(1, _FIXED64):
            now, = struct.unpack('<d', value)
        elif key == _key(2, _VARINT):
            step = value
        elif key == _key(5, _BYTES):
            for part, summary in _fields(value):
                found = dict(_fields(summary)) if part == _key(1, _BYTES) else {}
                name, number = found.get(_key(1, _BYTES)), found.get(_key(2, _FIXED32))
                if name is not None and number is not None:
                    values[name.decode()], = struct.unpack('<f', number)
    return now, step, values


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield key and value of the fields of a protobuf message; its wire type is in the key."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        if key & 7 == _VARINT:
            value, at = _read_varint(message, at)
        else:
            if key & 7 == _BYTES:
                size, at = _read_varint(message, at)
            else:
                size = {_FIXED64: 8, _FIXED32: 4}.get(key & 7)
                if size is None:
                    raise IndexError('a wire type that no event has')
            value, at = message[at:at + size], at + size
            if at > len(message):
                raise IndexError('a field is longer than its message')
        yield key, value


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        byte = message[at + place]
        value |= (byte & 0x7f) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise IndexError('a number is too long')


def _event(now: float, step: int, values: dict[str, float]) -> bytes:
    summary = b''.join(_bytes(1, _bytes(1, name.encode()) + _float(2, value))
                       for name, value in values.items())
    return _double(1, now) + _varint(_key(2, _VARINT)) + _varint(step) + _bytes(5, summary)


def _key(number: int, wire: int) -> int:
    return number << 3 | wire


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7f:
        parts.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes((*parts, value))


def _double(number: int, value: float) -> bytes:
    return _varint(_key(number, _FIXED64)) + struct.pack('<d', value)


def _float(number: int, value: float) -> bytes:
    value = max(-3.4e38, min(3.4e38, value))       # float32
    return _varint(_key(number, _FIXED32)) + struct.pack('<f', value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(_key(number, _BYTES)) + _varint(len(value)) + value


def _record(data: bytes) -> bytes:
    head = struct.pack('<Q', len(data))
    return b''.join((head, struct.pack('<I', _masked_crc(head)), data,
                     struct.pack('<I', _masked_crc(data))))


def _table() -> tuple[int, ...]:
    found = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)      # Castagnoli, reflected
        found.append(byte)
    return tuple(found)


_TABLE = _table()


def _masked_crc(data: bytes) -> int:
    crc, table = 0xffffffff, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xff] ^ crc >> 8
    crc ^= 0xffffffff
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff
