"""Standard rosbag2 folders: one MCAP file and its metadata.yaml, written and read without ROS.

`ros2 bag info` and `ros2 bag play` accept what is written here. metadata.yaml is written last, so
a folder without it is a recording that was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
import fcntl
import json
import os
from pathlib import Path
import re
import shutil

from mcap.writer import CompressionType, Writer
from robot_rl import __version__
from robot_rl.bounded_yaml import load_bounded
from robot_rl.contract import Contract
from robot_rl.data import cdr
from robot_rl.data.bag_metadata import (BagInfo, dump, MAX_METADATA_VALUES, METADATA_FILE,
                                        METADATA_VERSION, parse_info, quoted, read_metadata, TOP,
                                        TopicInfo)
from robot_rl.data.scan import Message, Metadata, Scan
from robot_rl.data.steps import BadStep, Step, step_from_message, STEPS_TYPE
from robot_rl.data.transitions import derive_transitions, label_transitions, Transitions
from robot_rl.errors import InvalidFile, Problem, UserError
from robot_rl.fields import BadMessage
from robot_rl.files import sync_folder, write_atomic
import yaml

CHUNK_BYTES = 768 << 10             # rosbag2's own
RECOVERED = '_recovered'
DISCARDED = 'discarded'             # folder of bags that do not count
NOTHING = 'its recorder died before the first messages were on the disk: nothing to recover'


class BagWriter:
    """Writes one bag; owned by one thread. What the disk refuses raises OSError.

    Its file is locked until it is closed, so that a look can tell that somebody writes (locks.py).
    """

    def __init__(self, folder: Path, custom_data: dict[str, str], name: str = ''):
        if folder.exists():
            raise UserError(f'{folder}: exists already, recordings are never overwritten; '
                            'name a new folder')
        folder.mkdir(parents=True)
        self.folder = folder
        self.message_count = 0
        self._file = f'{name or folder.name}_0.mcap'
        self._topics: dict[int, dict] = {}          # channel -> topic_metadata
        self._counts: Counter[int] = Counter()
        self._first, self._last = 0, 0              # ns, of log times
        self._schemas: dict[tuple, int] = {}
        self._stream = open(folder / self._file, 'xb')
        with suppress(OSError):         # a disk without locks: then nobody sees who writes
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._mcap = Writer(self._stream, CHUNK_BYTES, CompressionType.NONE)
        try:
            self._mcap.start(profile='ros2', library=f'robot_rl {__version__}')
            self.update(custom_data)    # at once: a crash must not lose whose data this is
            sync_folder(folder)
            sync_folder(folder.parent)
        except OSError:
            self.abandon()
            shutil.rmtree(folder, ignore_errors=True)   # nothing was recorded into it
            raise

    def add_topic(self, name: str, type_name: str, qos: str = '',
                  definition: tuple[str, str] | None = None) -> int:
        """Return the id of a new topic; `qos` is YAML text, `definition` is for unknown types."""
        text, type_hash = definition or cdr.definition(type_name)
        try:
            profiles = load_bounded(qos or '[]', MAX_METADATA_VALUES)
        except yaml.YAMLError as error:
            raise UserError(f'{name}: QoS profiles are not YAML: {error}') from None
        schema = (type_name, text)
        if schema not in self._schemas:
            self._schemas[schema] = self._mcap.register_schema(type_name, 'ros2msg', text.encode())
        topic_id = self._mcap.register_channel(
            name, 'cdr', self._schemas[schema],
            {'offered_qos_profiles': qos or '[]', 'topic_type_hash': type_hash})
        self._topics[topic_id] = {
            'name': name, 'type': type_name, 'serialization_format': 'cdr',
            'offered_qos_profiles': profiles, 'type_description_hash': type_hash}
        return topic_id

    def write(self, topic_id: int, data: bytes, log_time: int, publish_time: int) -> None:
        """Append one serialised message; times are in ns, not negative."""
        self._mcap.add_message(topic_id, log_time, data, publish_time)
        self._counts[topic_id] += 1
        self._first = min(self._first, log_time) if self.message_count else log_time
        self._last = max(self._last, log_time)
        self.message_count += 1

    def flush(self) -> None:
        """Hand everything to the operating system: a killed process then loses nothing."""
        self._mcap.flush()

    def sync(self) -> None:
        """Put everything on the disk: a power cut then loses nothing."""
        self._mcap.flush()
        os.fsync(self._stream.fileno())

    def update(self, custom_data: dict[str, str]) -> None:
        """Put new custom data on the disk, for the case that the bag is never closed."""
        self._add_metadata(custom_data)
        self.sync()

    def close(self, custom_data: dict[str, str]) -> None:
        """Finish the file, then write metadata.yaml, the mark of a complete bag."""
        self._add_metadata(custom_data)
        self._mcap.finish()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        write_atomic(self.folder / METADATA_FILE, dump({TOP: self._metadata(custom_data)}))

    def abandon(self) -> None:
        """Let go of a file that the disk refuses; it stays without metadata.yaml."""
        try:
            self._stream.close()
        except OSError:
            pass

    def _add_metadata(self, custom_data: dict[str, str]) -> None:
        self._mcap.add_metadata(
            'rosbag2', {'serialized_metadata': dump(self._metadata(custom_data))})

    def _metadata(self, custom_data: dict[str, str]) -> dict:
        span = {'starting_time': {'nanoseconds_since_epoch': self._first},
                'duration': {'nanoseconds': self._last - self._first},
                'message_count': self.message_count}
        return {
            'version': METADATA_VERSION, 'storage_identifier': 'mcap', **span,
            'topics_with_message_count': [
                {'topic_metadata': topic, 'message_count': self._counts[topic_id]}
                for topic_id, topic in self._topics.items()],
            'compression_format': '', 'compression_mode': '',
            'relative_file_paths': [self._file], 'files': [{'path': self._file, **span}],
            'custom_data': quoted(custom_data),
            'ros_distro': os.environ.get('ROS_DISTRO') or 'kilted'}


@dataclass(frozen=True)
class BagMessage:
    """One recorded message; times in ns."""

    topic: str
    type: str
    data: bytes
    log_time: int
    publish_time: int


def read_bag(folder: Path, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
    """Yield the messages in file order, up to the first damaged byte."""
    for path in mcap_files(folder):
        for item in Scan(path):
            if isinstance(item, Message) and (topics is None or item.channel.topic in topics):
                yield BagMessage(item.channel.topic, item.channel.type, item.data, item.log_time,
                                 item.publish_time)


def read_info(folder: Path) -> BagInfo:
    """Return what metadata.yaml says, or for an interrupted bag what its file still tells."""
    files = mcap_files(folder)
    if (folder / METADATA_FILE).is_file():
        return read_metadata(folder)
    texts = [item.values.get('serialized_metadata', '') for item in Scan(files[0])
             if isinstance(item, Metadata) and item.name == 'rosbag2']
    text = texts[-1] if texts else ''           # rosbag2 also takes the last
    custom_data = parse_info(files[0], text, complete=False).custom_data if text else {}
    counts = Counter((message.topic, message.type) for message in read_bag(folder))
    return BagInfo(folder, custom_data, False, counts.total(), {
        topic: TopicInfo(kind, count) for (topic, kind), count in counts.items()})


def set_custom_data(folder: Path, **values: str) -> None:
    """Change entries of metadata.yaml, for instance the label; the recording is not touched."""
    path = folder / METADATA_FILE
    custom_data = {**read_info(folder).custom_data, **values}
    document = load_bounded(path.read_text(encoding='utf-8'), MAX_METADATA_VALUES)
    document[TOP]['custom_data'] = quoted(custom_data)
    write_atomic(path, dump(document))


def find_bags(root: Path) -> list[Path]:
    """Return the bags in a folder by name, or the folder itself where it is one.

    Discarded bags do not count; of an interrupted bag and its recovered twin only the twin does.
    """
    if not root.is_dir():
        raise UserError(f'{root}: no such folder; name a bag, or a folder that holds bags')
    if _is_bag(root):
        return [root]
    return [folder for folder in sorted(root.iterdir())
            if _is_bag(folder) and folder.name != DISCARDED
            and not folder.name.startswith('.') and not _superseded(folder)]


def mcap_files(folder: Path) -> list[Path]:
    """Return the files of a bag in recording order, or raise UserError where it is not a bag."""
    if not folder.is_dir():
        raise UserError(f'{folder}: no such bag; name the folder that holds metadata.yaml')
    files = sorted(folder.glob('*.mcap'), key=lambda path: [
        int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', path.name)])
    if not files and any(folder.glob('*.db3')):
        raise UserError(f'{folder}: a sqlite3 bag, expected MCAP; use `ros2 bag convert`')
    if not files:
        raise UserError(f'{folder}: not a bag, it holds no .mcap file; name the folder that '
                        '`ros2 bag record` or the recorder made')
    return files


def is_empty(files: Iterable[Path]) -> bool:
    """Tell whether the MCAP files of an interrupted bag are good to their end without a message.

    So are those of a recorder that was killed before it first flushed.
    """
    for path in files:
        scan = Scan(path)
        if any(isinstance(item, Message) for item in scan) or not (
                0 < scan.end == path.stat().st_size):
            return False
    return True


def decode_step(data: bytes, contract: Contract) -> Step:
    """Return the step in CDR bytes, or raise BadMessage or BadStep."""
    return step_from_message(cdr.decode(STEPS_TYPE, data), len(contract.layout),
                             len(contract.action.layout))


def bag_steps(folder: Path, contract: Contract) -> list[Step]:
    """Return the step records of a bag made under this contract; raise UserError or Mismatch."""
    return _steps(read_info(folder), contract)


def bag_transitions(folder: Path, contract: Contract) -> Transitions:
    """Return what an episode taught: the same bits that the recorder published live."""
    info = read_info(folder)
    return label_transitions(derive_transitions(_steps(info, contract), contract),
                             info.custom_data.get('label', ''))


def _steps(info: BagInfo, contract: Contract) -> list[Step]:
    if 'interface' in info.custom_data:
        try:
            interface = json.loads(info.custom_data['interface'])
        except (ValueError, RecursionError) as error:
            raise InvalidFile(info.folder, [Problem('custom_data.interface', 'JSON', str(error))]
                              ) from None
        contract.check_interface(interface, source=str(info.folder))
    wanted = info.custom_data.get('steps_topic')
    names = [name for name, topic in info.topics.items() if topic.type == STEPS_TYPE
             and (name == wanted if wanted else name.rpartition('/')[2] == 'steps')]
    if info.complete and not names:
        raise UserError(f'{info.folder}: has no topic `steps`, so the recorder did not make it; '
                        'demonstrations of other tools go through demo_ingest')
    steps, reasons, found = [], [], 0
    for message in read_bag(info.folder, names):
        found += 1
        try:
            steps.append(decode_step(message.data, contract))
        except (BadMessage, BadStep) as error:
            reasons.append(str(error))
    expected = sum(info.topics[name].count for name in names)
    if reasons:
        raise UserError(f'{info.folder}: {len(reasons)} of {found} step records cannot be read: '
                        f'{reasons[0]}')
    if found != expected:
        raise UserError(f'{info.folder}: damaged, {found} of {expected} step records are left; '
                        f'rename its {METADATA_FILE} and restart the recorder to recover them')
    return steps


def _is_bag(folder: Path) -> bool:
    return (folder / METADATA_FILE).is_file() or folder.is_dir() and any(folder.glob('*.mcap'))


def _superseded(folder: Path) -> bool:
    original = folder.with_name(folder.name.removesuffix(RECOVERED))
    if folder != original:
        return (original / METADATA_FILE).is_file()
    twin = folder.with_name(folder.name + RECOVERED)
    return (twin / METADATA_FILE).is_file() and not (folder / METADATA_FILE).is_file()
