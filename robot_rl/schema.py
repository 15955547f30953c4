"""Read a YAML mapping key by key and collect every problem instead of stopping at the first."""

from __future__ import annotations

from collections.abc import Iterable
import difflib
import math
from pathlib import Path
import re
import reprlib
import sys

from robot_rl.bounded_yaml import load_bounded, MergesBounded
from robot_rl.errors import InvalidFile, Problem
import yaml

MAX_FILE_BYTES = 1 << 20
MAX_VALUES = 10_000          # of a file: a robot of hundred joints needs a tenth
MAX_UNKNOWN = 20            # keys that are refused one by one
MISSING = object()
ROS_NAME = re.compile(r'(~/|/)?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)


class _UniqueKeyLoader(MergesBounded, yaml.SafeLoader):
    """A safe loader that refuses a key given twice, which YAML would silently overwrite."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        for key_node, _ in pairs:
            if key_node.tag == 'tag:yaml.org,2002:merge':       # <<: *anchor
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'key {key!r} is given twice', key_node.start_mark)
            if isinstance(key, str):
                seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict:
    """Return the mapping in a YAML file of at most 1 MiB, or raise InvalidFile."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidFile(path, [Problem('file', f'at most {MAX_FILE_BYTES} bytes',
                                             f'{path.stat().st_size} bytes')])
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, 'strerror', None) or error       # without the path once more
        raise InvalidFile(path, [Problem('file', 'a readable YAML file', str(found))]) from None
    try:
        document = load_bounded(text, MAX_VALUES, _UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise InvalidFile(path, [Problem('file', 'valid YAML', ' '.join(str(error).split()))]
                          ) from None
    if not isinstance(document, dict):
        raise InvalidFile(path, [Problem('file', 'a mapping of keys', show(document))])
    return document


def show(value) -> str:
    """Describe a found value in one short line."""
    if value is MISSING:
        return 'nothing'
    if isinstance(value, bool):
        return f'{value} (YAML reads unquoted yes, no, on, off as booleans: quote it)'
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + '...'


def suggestion(found: str, known: Iterable[str], most: int = 1) -> str:
    """Ask whether one of the nearest known words, `most` at most, was meant; '' where none is."""
    near = difflib.get_close_matches(found, list(known), n=most)
    return f'did you mean {" or ".join(near)}?' if near else ''


_SHORT = reprlib.Repr()         # repr of a few nested YAML aliases could fill the memory
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60
_SHORT.maxlevel = 2


class Section:
    """One mapping of the file: typed getters that record a Problem and return a stand-in."""

    def __init__(self, data, key: str, problems: list[Problem]):
        self.key = key
        self.problems = problems
        self.used: set[str] = set()
        self.data = data if isinstance(data, dict) else {}
        if not isinstance(data, dict):
            self.problem('', 'a mapping', data)

    def path(self, key: str) -> str:
        """Return the full dotted key."""
        return '.'.join(part for part in (self.key, str(key)) if part) or 'file'

    def problem(self, key: str, expected: str, found, advice: str = '') -> None:
        """Record one problem at a key of this mapping."""
        self.problems.append(Problem(self.path(key), expected, show(found), advice))

    def raw(self, key: str, default=MISSING):
        """Return the value as parsed, and mark the key as known."""
        self.used.add(key)
        return self.data.get(key, default)

    def has(self, key: str) -> bool:
        """Tell whether a key is there, and mark it as known."""
        self.used.add(key)
        return key in self.data

    def text(self, key: str, default=MISSING, choices=None) -> str:
        """Return a non-empty string."""
        value = self.raw(key, default)
        if value is default and default is not MISSING:
            return default
        if not isinstance(value, str) or not value:
            self.problem(key, 'text', value)
        elif choices and value not in choices:
            self.problem(key, 'one of ' + ', '.join(choices), value, suggestion(value, choices))
        return value if isinstance(value, str) else ''

    def ros_name(self, key: str) -> str:
        """Return the name of a topic or service."""
        name = self.text(key)
        if name and not ROS_NAME.fullmatch(name):
            self.problem(key, 'a ROS name such as arm/joint_states', name)
        return name

    def number(self, key: str, default=MISSING, above=None, least=None) -> float:
        """Return a finite float within its range."""
        value = self.raw(key, default)
        if value is default and default is not MISSING:
            return default
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        good = good and abs(value) <= sys.float_info.max    # an integer may be larger than that
        if not good or (above is not None and value <= above) or (
                least is not None and value < least):
            bound = f' > {above}' if above is not None else ''
            bound = f' >= {least}' if least is not None else bound
            self.problem(key, f'a finite number{bound}', value)
            return math.nan
        return float(value)

    def integer(self, key: str, default=MISSING, least: int = 0) -> int:
        """Return an integer of at least `least`."""
        value = self.raw(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.problem(key, f'an integer >= {least}', value)
            return least
        return value

    def texts(self, key: str, default=MISSING) -> tuple[str, ...]:
        """Return a non-empty list of different strings."""
        value = self.raw(key, default)
        if value is default and default is not MISSING:
            return default
        if not isinstance(value, list) or not value:
            self.problem(key, 'a list of names', value)
            return ()
        seen = set()
        for index, item in enumerate(value):
            if not isinstance(item, str) or not item:
                self.problem(f'{key}[{index}]', 'a name', item)
            elif item in seen:
                self.problem(f'{key}[{index}]', 'a name used once', item)
            else:
                seen.add(item)
        return tuple(str(item) for item in value)   # as many as given: other keys are counted

    def numbers(self, key: str, count: int, default=MISSING, above=None) -> tuple[float, ...]:
        """Return `count` finite floats."""
        value = self.raw(key, default)
        if value is default and default is not MISSING:
            return default
        if not isinstance(value, list) or len(value) != count:
            self.problem(key, f'a list of {count} numbers', value)
            return (math.nan,) * count
        items = Section({f'{key}[{i}]': item for i, item in enumerate(value)}, self.key,
                        self.problems)
        return tuple(items.number(f'{key}[{i}]', above=above) for i in range(count))

    def section(self, key: str, required: bool = True) -> Section:
        """Return a nested mapping."""
        value = self.raw(key)
        if value is MISSING and not required:
            value = {}
        return Section(value, self.path(key), self.problems)

    def refuse_unknown(self) -> None:
        """Record every key that no getter asked for."""
        unknown = [str(key) for key in self.data if key not in self.used]
        for key in unknown[:MAX_UNKNOWN]:
            known = sorted(self.used)
            self.problem(key, f'a known key ({", ".join(known)})', key, suggestion(key, known))
