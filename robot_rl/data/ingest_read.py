"""Recordings of any rosbag2: MCAP or sqlite3, whole, split, compressed or cut short.

Nothing in a recording is trusted. Files are found by name and not through metadata.yaml, sizes
are bounded before anything is unpacked, a database runs no code of its own, and damage ends a
file with a reason instead of an exception.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
import os
from pathlib import Path
import re
import sqlite3
import tempfile

from robot_rl.data.bag import DISCARDED, RECOVERED
from robot_rl.data.bag_metadata import METADATA_FILE, parse_info, read_metadata
from robot_rl.data.scan import Channel, MAX_RECORD_BYTES, Message, Metadata, Scan
from robot_rl.errors import UserError
import zstandard

SUFFIXES = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
MAX_UNPACKED_BYTES = 16 << 30       # of one compressed file, on disk
MAX_TOPICS = 10_000
_ZSTD = b'\x28\xb5\x2f\xfd'         # CDR begins with 00: a compressed message is told by this
_MAX_ROW_STEPS = 1_000              # database instructions that a row may cost
_TABLES = {'topics': ('id', 'name', 'type'), 'messages': ('id', 'topic_id', 'timestamp', 'data')}


@dataclass
class Recording:
    """One bag: its files in recording order; `damage` says what reading them met."""

    name: str
    files: tuple[Path, ...]
    folder: Path | None = None          # where it has a metadata.yaml
    damage: list[str] = field(default_factory=list)

    def describe(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return {topic: type} and the recorder's custom data.

        Both are of metadata.yaml, or where it is missing of whatever the files still tell.
        """
        if self.folder:
            info = read_metadata(self.folder)
            return {name: topic.type for name, topic in info.topics.items()}, info.custom_data
        self.damage.clear()
        topics: dict[str, str] = {}
        custom_data: dict[str, str] = {}
        for file in self.files:
            with _unpacked(file) as path:
                if _is_database(file):
                    topics |= _database_topics(path, self._damaged)
                else:
                    _survey(path, topics, custom_data, self._damaged)
        return topics, custom_data

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, str, bytes, int, int]]:
        """Yield (topic, type, CDR bytes, log time, publish time) in file order, up to the damage.

        Times are in ns; the publish time is 0 where none is stored.
        """
        self.damage.clear()
        for file in self.files:
            try:
                with _unpacked(file) as path:
                    read = _database if _is_database(file) else _mcap
                    yield from read(path, frozenset(topics), self._damaged)
            except UserError as error:
                self.damage.append(str(error))

    def _damaged(self, path: Path, reason: str) -> None:
        self.damage.append(f'{path.name}: {reason}')


def find_recordings(root: Path) -> list[Recording]:
    """Return the recordings at a path: a file, a bag, or a folder of bags and files, by name.

    Discarded bags do not count; of an interrupted bag and its recovered twin only the twin does.
    Raises UserError where there is none.
    """
    if root.is_file():
        if not root.name.endswith(SUFFIXES):
            raise UserError(f'{root}: not a recording; expected a folder of rosbag2, or a file '
                            + ', '.join(SUFFIXES))
        return [Recording(str(root), (root,))]
    if not root.is_dir():
        raise UserError(f'{root}: no such file or folder; name a bag, or a folder of bags')
    found = _of_folder(root)
    if not (root / METADATA_FILE).is_file():
        children = [child for child in sorted(root.iterdir()) if child.is_dir()
                    and child.name != DISCARDED and not child.name.startswith('.')]
        for child in children:
            twin = child.with_name(child.name + RECOVERED) / METADATA_FILE
            if (child / METADATA_FILE).is_file() or not twin.is_file():
                found += _of_folder(child)
    if not found:
        raise UserError(f'{root}: no bag in it')
    return found


def _of_folder(folder: Path) -> list[Recording]:
    files = sorted((path for path in folder.iterdir()
                    if path.is_file() and path.name.endswith(SUFFIXES)), key=_natural)
    if (folder / METADATA_FILE).is_file():
        return [Recording(str(folder), tuple(files), folder)]
    groups: dict[str, list[Path]] = {}      # splits of one recording: name_0, name_1
    for file in files:
        groups.setdefault(re.sub(r'(_\d+)?\.(mcap|db3)(\.zstd)?$', '', file.name), []).append(file)
    if len(groups) == 1:
        return [Recording(str(folder), tuple(files))]
    return [Recording(str(folder / stem), tuple(group)) for stem, group in groups.items()]


def _natural(path: Path) -> list:
    return [int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', path.name)]


def _is_database(file: Path) -> bool:
    return '.db3' in file.suffixes


@contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    """Give the file, or while it is used an unpacked copy of one that is compressed whole."""
    if file.suffix != '.zstd':
        yield file
        return
    with tempfile.TemporaryDirectory(prefix='robot_rl_') as folder:
        target, size = Path(folder) / file.stem, 0
        try:
            with open(file, 'rb') as source, open(target, 'wb') as sink:
                reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(source)
                while block := reader.read(1 << 20):
                    size += len(block)
                    if size > MAX_UNPACKED_BYTES:
                        raise UserError(f'{file}: unpacks to more than {MAX_UNPACKED_BYTES} bytes')
                    sink.write(block)
        except (zstandard.ZstdError, MemoryError) as error:
            if not size:
                raise UserError(f'{file}: not zstd: {error}') from None
        except OSError as error:
            raise UserError(f'{file}: {error.strerror}') from None
        yield target


def _decompressed(data: bytes) -> bytes:
    """Return a message's CDR bytes; raise ValueError where its compressed form is bad."""
    if data[:4] != _ZSTD:
        return data
    try:
        size = zstandard.frame_content_size(data)
        if size > MAX_RECORD_BYTES:
            raise ValueError(f'a message claims {size} bytes, at most {MAX_RECORD_BYTES}')
        return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(
            data, max_output_size=MAX_RECORD_BYTES if size < 0 else size)
    except (zstandard.ZstdError, MemoryError) as error:
        raise ValueError(f'a compressed message: {error}') from None


# MCAP


def _survey(path: Path, topics: dict[str, str], custom_data: dict[str, str],
            damaged) -> None:
    scan = Scan(path)
    for item in scan:
        if isinstance(item, Channel) and len(topics) < MAX_TOPICS:
            topics[item.topic] = item.type
        elif isinstance(item, Metadata) and item.name == 'rosbag2':
            text = item.values.get('serialized_metadata', '')
            custom_data |= parse_info(path, text, complete=False).custom_data if text else {}
    if scan.damage:
        damaged(path, scan.damage)


def _mcap(path: Path, topics: frozenset[str], damaged):
    scan = Scan(path)
    try:
        for item in scan:
            if isinstance(item, Message):
                channel, data, log_time, sent = item
                if channel.topic in topics:
                    yield channel.topic, channel.type, _decompressed(data), log_time, sent
    except ValueError as error:
        damaged(path, str(error))
    if scan.damage:
        damaged(path, scan.damage)


# sqlite3


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that may hold no more than tables and data, read-only and unlocked."""
    size = os.path.getsize(path)
    uri = f'{path.resolve().as_uri()}?mode=ro&immutable=1'
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
        database.text_factory = lambda data: data.decode(errors='replace')
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_RECORD_BYTES)
        budget = iter(range(1 + size // 16))    # a page that loops cannot run for ever
        database.set_progress_handler(lambda: next(budget, None) is None, _MAX_ROW_STEPS)
        for pragma in ('trusted_schema=OFF', 'query_only=ON', 'cell_size_check=ON',
                       'mmap_size=0'):
            database.execute(f'PRAGMA {pragma}')
        tables = dict(database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name IN "
            "('topics', 'messages') AND sql LIKE 'CREATE TABLE%'"))
        for table in _TABLES:
            if table not in tables:     # a view or a virtual table would run what it likes
                raise sqlite3.DatabaseError(f'no table {table}, not a bag')
        yield database


def _database_topics(path: Path, damaged) -> dict[str, str]:
    try:
        with _open(path) as database:
            rows = database.execute(f'SELECT name, type FROM topics LIMIT {MAX_TOPICS}')
            return {str(name): str(kind) for name, kind in rows}
    except (sqlite3.Error, OSError, OverflowError, MemoryError, ValueError) as error:
        damaged(path, str(error))
        return {}


def _database(path: Path, topics: frozenset[str], damaged):
    rows, most = 0, os.path.getsize(path) // 8      # none is shorter: more are a loop of pages
    try:
        with _open(path) as database:
            known = {number: (str(name), str(kind)) for number, name, kind in database.execute(
                f'SELECT id, name, type FROM topics LIMIT {MAX_TOPICS}')}
            wanted = [number for number, (name, _) in known.items()
                      if name in topics and isinstance(number, int)]
            marks = ', '.join('?' * len(wanted))
            for number, stamp, data in database.execute(
                    f'SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) '
                    'ORDER BY id', wanted):     # noqa: S608, only question marks go in
                rows += 1
                if rows > most or not isinstance(data, bytes) or not isinstance(stamp, int):
                    raise ValueError(f'row {rows} is not a message')
                yield (*known[number], _decompressed(data), stamp, 0)
    except (sqlite3.Error, OSError, OverflowError, MemoryError, ValueError, KeyError) as error:
        damaged(path, f'{" ".join(str(error).split()) or type(error).__name__} '
                f'(after {rows} messages)')
    if path.with_name(path.name + '-wal').exists():
        damaged(path, 'a -wal file lies beside it, from a recorder that was killed; what it '
                'holds is not read')
