"""CDR bytes <-> message objects of the standard types, without a ROS installation."""

from __future__ import annotations

from functools import cache

from robot_rl.errors import UserError
from robot_rl.fields import BadMessage
from rosbags.typesys import get_typestore, Stores
from rosbags.typesys.store import Typestore


@cache
def _store() -> Typestore:
    return get_typestore(Stores.ROS2_JAZZY)


def new(type_name: str, **fields):
    """Return a message of that type; every field must be given, arrays as numpy."""
    return _store().types[type_name](**fields)


def decode(type_name: str, data: bytes):
    """Return the message in CDR bytes from anywhere, or raise BadMessage."""
    try:
        return _store().deserialize_cdr(data, type_name)
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
