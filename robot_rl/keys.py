"""What the keys of a contract file mean, kept with the fields that they become.

docs/contract.md is written from them (`make docs`); a test holds them against what is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Key:
    """One key of a contract file."""

    name: str                   # below its section; a dot goes further down
    kind: str                   # of its value
    meaning: str
    unit: str = ''
    otherwise: str | None = None    # what holds without it, as YAML; '': nothing; None: required


def key(name: str, kind: str, meaning: str, unit: str = '', otherwise: str | None = None,
        **given):
    """Return a dataclass field that one key becomes; `given` goes to dataclasses.field."""
    return keys(Key(name, kind, meaning, unit, otherwise), **given)


def keys(*found: Key, **given):
    """Return a dataclass field that some keys become."""
    return field(metadata={'keys': found}, **given)


def keys_of(kind: type) -> Iterator[Key]:
    """Yield the keys that become the fields of a dataclass, in their order."""
    for item in fields(kind):
        yield from item.metadata.get('keys', ())
