"""Read MCAP records in file order from a file that may be cut short, garbled or hostile.

mcap's own StreamReader hands out the cut last record of a killed writer as if it were whole, so
each record is taken here only when all its bytes are there and its chunk's checksum holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
import struct
from typing import BinaryIO, NamedTuple
import zlib

import lz4.frame
from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.writer import MCAP0_MAGIC
from robot_rl.errors import UserError
import zstandard

MAX_RECORD_BYTES = 256 << 20
_HEAD = struct.Struct('<BQ')                    # opcode, length
_MESSAGE = struct.Struct('<HIQQ')               # channel, sequence, log time, publish time
_IS_MESSAGE = int(Opcode.MESSAGE)               # looked up for each: members of an enum are slow
_GARBLED = (ValueError, KeyError, OverflowError, struct.error, McapError, zstandard.ZstdError,
            RuntimeError, MemoryError)      # lz4 raises RuntimeError


@dataclass(frozen=True)
class Channel:
    """A recorded topic."""

    topic: str
    type: str
    definition: str             # ros2msg text
    type_hash: str              # RIHS01, empty where the recorder did not know it
    qos: str                    # offered QoS profiles, YAML text


@dataclass(frozen=True)
class Metadata:
    """A named map of strings; rosbag2's is named `rosbag2`."""

    name: str
    values: dict[str, str]


class Message(NamedTuple):      # a bag has many: less than a tenth of a dataclass's time to make
    """One recorded message, serialised."""

    channel: Channel
    data: bytes
    log_time: int               # ns, when it was received
    publish_time: int           # ns, when it was sent


_message = partial(tuple.__new__, Message)      # half the time of calling it


class Scan:
    """Iterate once over the channels, metadata and messages of a file, up to the first bad byte.

    Afterwards `damage` says why it stopped early (empty when the data section is whole) and `end`
    is the offset up to which the file was good.
    """

    def __init__(self, path: Path):
        self.path = path
        self.end = 0
        self.damage = ''
        self._schemas: dict[int, records.Schema] = {}
        self._channels: dict[int, Channel] = {}

    def __iter__(self) -> Iterator[Channel | Metadata | Message]:
        try:
            with open(self.path, 'rb') as stream:
                if stream.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
                    raise ValueError('not an MCAP file')
                for opcode, body in _split(stream):
                    if opcode == Opcode.DATA_END:
                        return
                    if opcode == Opcode.CHUNK:
                        yield from self._read_chunk(_uncompress(body))
                    else:
                        yield from self._read(opcode, body)
                    self.end = stream.tell()
                raise ValueError('the file ends within its data')
        except _GARBLED as error:
            self.damage = f'{error} (good up to byte {self.end})'
        except OSError as error:
            raise UserError(f'{self.path}: {error.strerror}') from None

    def _read_chunk(self, data: bytes):
        at = 0
        while at < len(data):
            opcode, length = _HEAD.unpack_from(data, at)
            start, at = at + _HEAD.size, at + _HEAD.size + length
            if at > len(data):
                raise ValueError('a record is cut')
            if opcode == _IS_MESSAGE and length >= _MESSAGE.size:
                channel, _, log_time, publish_time = _MESSAGE.unpack_from(data, start)
                yield _message((self._channels[channel], data[start + _MESSAGE.size:at], log_time,
                                publish_time))
            else:
                yield from self._read(opcode, data[start:at])

    def _read(self, opcode: int, body: bytes):
        if opcode == Opcode.MESSAGE:
            channel, _, log_time, publish_time = _MESSAGE.unpack_from(body)
            yield Message(self._channels[channel], body[_MESSAGE.size:], log_time, publish_time)
        elif opcode == Opcode.SCHEMA:
            schema = records.Schema.read(ReadDataStream(BytesIO(body)))
            self._schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            found = records.Channel.read(ReadDataStream(BytesIO(body)))
            schema = self._schemas[found.schema_id]
            channel = Channel(found.topic, schema.name, schema.data.decode(),
                              found.metadata.get('topic_type_hash', ''),
                              found.metadata.get('offered_qos_profiles', ''))
            self._channels[found.id] = channel
            yield channel
        elif opcode == Opcode.METADATA:
            metadata = records.Metadata.read(ReadDataStream(BytesIO(body)))
            yield Metadata(metadata.name, metadata.metadata)


def _split(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (opcode, body) of whole records; raise ValueError at a cut or oversized one."""
    while head := stream.read(_HEAD.size):
        if len(head) < _HEAD.size:
            raise ValueError('a record is cut')
        opcode, length = _HEAD.unpack(head)
        if length > MAX_RECORD_BYTES:
            raise ValueError(f'a record claims {length} bytes, at most {MAX_RECORD_BYTES}')
        body = stream.read(length)
        if len(body) < length:
            raise ValueError('a record is cut')
        yield opcode, body


def _uncompress(body: bytes) -> bytes:
    """Return the records in a chunk, never more bytes than MAX_RECORD_BYTES."""
    chunk = records.Chunk.read(ReadDataStream(BytesIO(body)))
    size = chunk.uncompressed_size
    if size > MAX_RECORD_BYTES:
        raise ValueError(f'a chunk claims {size} bytes, at most {MAX_RECORD_BYTES}')
    if chunk.compression == 'zstd':
        data = zstandard.ZstdDecompressor().stream_reader(chunk.data).read(size)
    elif chunk.compression == 'lz4':
        data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=size)
    else:
        data = chunk.data
    if len(data) != size or chunk.uncompressed_crc not in (0, zlib.crc32(data)):
        raise ValueError('a chunk fails its checksum')
    return data
