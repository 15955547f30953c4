"""YAML that anybody may have written: what it may cost is known before it is built.

A safe loader runs no code, but a short text can still nest so deeply that libyaml ends the
process, or merge mappings of mappings until the memory is full.
"""

from __future__ import annotations

import yaml

MAX_DEPTH = 100
MAX_MERGED = 10_000         # keys that `<<` may copy within one text
_MERGE = 'tag:yaml.org,2002:merge'


class MergesBounded:
    """Before a safe loader: `<<` takes one mapping, and all of them together few keys."""

    _merged = 0

    def flatten_mapping(self, node):
        merges = [value for key, value in node.value if key.tag == _MERGE]
        if len(merges) > 1 or any(isinstance(value, yaml.SequenceNode) for value in merges):
            raise yaml.constructor.ConstructorError(
                None, None, 'expected << once, with one mapping', node.start_mark)
        super().flatten_mapping(node)
        self._merged += len(node.value) if merges else 0
        if self._merged > MAX_MERGED:
            raise yaml.constructor.ConstructorError(
                None, None, f'<< copies more than {MAX_MERGED} keys', node.start_mark)


class _Loader(MergesBounded, getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
    """Six times as fast where libyaml is there."""


def load_bounded(text: str, most: int, loader: type = _Loader):
    """Return the document in a text of at most `most` nodes, or raise yaml.YAMLError."""
    try:
        _measure(text, most, loader)
        return yaml.load(text, loader)  # noqa: S506, a safe loader
    except yaml.YAMLError:
        raise
    except Exception as error:  # noqa: B902, such as the date 2001-99-99, or an unhashable key
        raise yaml.YAMLError(f'{type(error).__name__}: {error}') from None


def _measure(text: str, most: int, loader: type) -> None:
    """Count in what the parser tells one by one: it builds nothing and does not recurse."""
    depth = count = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        count += 1
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f'nested more than {MAX_DEPTH} deep')
        if count > most:
            raise yaml.YAMLError(f'more than {most} values')
