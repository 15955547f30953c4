"""What rosbag2 keeps of a bag as YAML, in metadata.yaml or in a record of the file itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robot_rl.bounded_yaml import load_bounded
from robot_rl.errors import InvalidFile, Problem, UserError
import yaml

METADATA_FILE = 'metadata.yaml'
METADATA_VERSION = 9                # Jazzy and later
MAX_METADATA_BYTES, MAX_METADATA_VALUES = 16 << 20, 1_000_000
TOP = 'rosbag2_bagfile_information'


@dataclass(frozen=True)
class TopicInfo:
    """A recorded topic and how many messages it has."""

    type: str
    count: int


@dataclass(frozen=True)
class BagInfo:
    """What a bag says about itself."""

    folder: Path
    custom_data: dict[str, str]
    complete: bool                  # False: interrupted, counts are of what is readable
    message_count: int
    topics: dict[str, TopicInfo]
    duration: int = 0               # ns, as metadata.yaml says


class _Dumper(yaml.SafeDumper):
    """Quotes custom data, as readers disagree on which plain scalars are numbers."""


class _Quoted(str):
    pass


_Dumper.add_representer(_Quoted, lambda dumper, text: dumper.represent_scalar(
    'tag:yaml.org,2002:str', str(text), style='|' if '\n' in text else "'"))


def read_metadata(folder: Path) -> BagInfo:
    """Return what the metadata.yaml of a bag says, whatever the storage of the bag."""
    path = folder / METADATA_FILE
    try:
        if path.stat().st_size > MAX_METADATA_BYTES:
            raise InvalidFile(path, [Problem('file', f'at most {MAX_METADATA_BYTES} bytes',
                                             f'{path.stat().st_size} bytes')])
        return parse_info(path, path.read_text(encoding='utf-8', errors='replace'))
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None


def parse_info(path: Path, text: str, complete: bool = True) -> BagInfo:
    """Return what metadata in YAML says; `complete` is that of metadata.yaml, not of a record."""
    try:
        document = load_bounded(text, MAX_METADATA_VALUES)
        document = document[TOP] if complete else document
        topics = {item['topic_metadata']['name']: TopicInfo(_text(item['topic_metadata']['type']),
                                                            int(item['message_count']))
                  for item in document['topics_with_message_count']}
        custom_data = {str(key): _text(value)
                       for key, value in (document.get('custom_data') or {}).items()}
        return BagInfo(path.parent, custom_data, complete, int(document['message_count']), topics,
                       int((document.get('duration') or {}).get('nanoseconds', 0)))
    except (yaml.YAMLError, AttributeError, KeyError, OverflowError, TypeError,
            ValueError) as error:
        found = f'{type(error).__name__}: {" ".join(str(error).split())}'
        raise InvalidFile(path, [Problem(
            'file', "rosbag2's metadata", found,
            'rename it and restart the recorder to recover the bag')]) from None


def _text(value) -> str:
    if isinstance(value, (dict, list)):     # aliases of aliases: its text could fill the memory
        raise TypeError('a nested value where text belongs')
    return str(value)


def quoted(custom_data: dict[str, str]) -> dict[str, str]:
    """Return custom data as `dump` is to write it."""
    return {str(key): _Quoted(value) for key, value in custom_data.items()}


def dump(document: dict) -> str:
    """Return a document as YAML."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1 << 20)
