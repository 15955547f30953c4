"""CDR bytes <-> message objects of the standard types, without a ROS installation."""

from __future__ import annotations

from functools import cache
from string import ascii_lowercase

from robot_rl.errors import UserError
from robot_rl.fields import BadMessage
from rosbags.interfaces import Nodetype
from rosbags.typesys import get_typestore, Stores
from rosbags.typesys.store import Typestore

LITTLE = b'\x00\x01'            # first bytes of plain CDR whose numbers begin with the low byte
_BIG = b'\x00\x00'
_HEAD = 4                       # bytes before the message; offsets within it count from there
_MAX_PADDING = 7                # bytes at the end


@cache
def _store() -> Typestore:
    return get_typestore(Stores.ROS2_JAZZY)


def new(type_name: str, **fields):
    """Return a message of that type; every field must be given, arrays as numpy."""
    return _store().types[type_name](**fields)


def decode(type_name: str, data: bytes):
    """Return the message in CDR bytes from anywhere, or raise BadMessage."""
    try:
        if data[:2] not in (LITTLE, _BIG):
            raise ValueError(f'they begin with {data[:2].hex() or "nothing"}')
        form = _store().get_msgdef(type_name)
        read = form.deserialize_cdr_le if data[:2] == LITTLE else form.deserialize_cdr_be
        message, size = read(data[_HEAD:], 0, form.cls, _store())
        # rclpy's serialize_message leaves another 4 bytes for each empty array, which has 4 itself
        if not 0 <= len(data) - _HEAD - size <= max(_MAX_PADDING, size):
            raise ValueError(f'the message in them has {_HEAD + size}')
        return message
    except Exception as error:  # noqa: B902, hostile bytes fail in more ways than are declared
        raise BadMessage(f'{type_name}: {len(data)} bytes are not a message: '
                         f'{type(error).__name__}: {error}') from None


def encode(type_name: str, message) -> bytes:
    """Return the CDR bytes of a message made by `new`, or raise BadMessage."""
    try:
        return bytes(_store().serialize_cdr(message, type_name))
    except Exception as error:  # noqa: B902, generated code fails in more ways than are declared
        raise BadMessage(f'{type_name}: {type(error).__name__}: {error}') from None


@cache
def definition(type_name: str) -> tuple[str, str]:
    """Return (ros2msg text with all nested types, RIHS01 hash); raise UserError if unknown.

    The text is rosbag2's: the type itself, then each nested type after a line of 80 '=' and a
    line `MSG: package/Type`.
    """
    if type_name not in _store().fielddefs:
        raise UserError(f'{type_name}: not a standard message type, cannot be recorded; '
                        'name a type of the common interfaces, such as std_msgs/msg/Float64')
    text, _ = _store().generate_msgdef(type_name, ros_version=2)
    return text, _store().hash_rihs01(type_name)


def find_numbers(type_name: str, data: bytes) -> tuple[list[int], list[list[int]]]:
    """Return where in a message each float64 begins, and [start, stop] of all else that it says.

    Neither holds the padding, whose bytes may be anything. `data` begins with LITTLE and can be
    decoded.
    """
    walk = _Walk(data)
    walk.field((Nodetype.NAME, type_name))
    return walk.numbers, walk.rest


class _Walk:
    """Goes through the fields of a message in the order of the wire, and notes what lies where."""

    def __init__(self, data: bytes):
        self.numbers: list[int] = []
        self.rest: list[list[int]] = []
        self._data, self._at = data, _HEAD

    def field(self, kind) -> None:
        node, of = kind
        if node is Nodetype.NAME:
            for _, inner in _store().fielddefs[of][1]:
                self.field(inner)
        elif node is Nodetype.BASE:
            self._values(of[0], 1)
        else:
            element, count = of
            count = count if node is Nodetype.ARRAY else self._count()
            if element[0] is Nodetype.BASE:
                self._values(element[1][0], count)
            else:
                for _ in range(count):
                    self.field(element)

    def _count(self) -> int:
        self._values('uint32', 1)
        return int.from_bytes(self._data[self._at - 4:self._at], 'little')

    def _values(self, name: str, count: int) -> None:
        if name == 'string':
            for _ in range(count):
                self._values('char', self._count())
        elif count:             # an empty array is not even aligned
            size = int(name.strip(ascii_lowercase) or 8) // 8       # of float64, uint8, bool
            start = self._at + (_HEAD - self._at) % size
            self._at = start + size * count
            if name == 'float64':
                self.numbers.extend(range(start, self._at, size))
            elif self.rest and self.rest[-1][1] == start:
                self.rest[-1][1] = self._at
            else:
                self.rest.append([start, self._at])
