"""Decode many alike messages: what never changes in them is decoded once.

Names, labels and frames are most of the work of decoding, and the same in every message of a
topic. A decoder takes the short cut only for bytes that equal, up to the numbers,
those of a message that was decoded in full with the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
import struct
from types import SimpleNamespace as Tree

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data import cdr
from robot_rl.data.steps import Step, step_from_message, STEPS_TYPE

JOINT_STATE = 'sensor_msgs/msg/JointState'
_STAMP = slice(4, 12)       # of the header, after the encapsulation
_TIME = struct.Struct('<iI')
_LITTLE = b'\x00\x01'


class StepDecoder:
    """Step records of one contract."""

    def __init__(self, contract: Contract):
        self._sizes = len(contract.layout), len(contract.action.layout)
        self._head, self._layout, self._length = b'', None, -1

    def __call__(self, data: bytes) -> Step:
        """Return the step in CDR bytes, or raise BadMessage or BadStep."""
        size = len(self._head)
        if size and data.startswith(self._head) and len(data) == self._length:
            values = np.frombuffer(data, '<f8', offset=size)
            return step_from_message(Tree(layout=self._layout, data=values),
                                     *self._sizes)
        message = cdr.decode(STEPS_TYPE, data)
        step = step_from_message(message, *self._sizes)
        head = data[:len(data) - 8 * len(message.data)]
        if head[:2] == _LITTLE and data[len(head):] == message.data.tobytes():
            self._head, self._layout, self._length = head, message.layout, len(data)
        return step


class AlikeDecoder:
    """Messages of one topic and of a type that has a form."""

    def __init__(self, type_name: str):
        self._type, self._form = type_name, FORMS[type_name]
        self._length, self._fixed, self._arrays, self._first = -1, (), (), None

    def __call__(self, data: bytes):
        """Return the message in CDR bytes, or raise BadMessage."""
        if len(data) != self._length:
            return self._decode(data)
        for part, found in self._fixed:
            if data[part] != found:
                return self._decode(data)
        header = None
        if self._form.stamped:
            sec, nanosec = _TIME.unpack_from(data, _STAMP.start)
            header = Tree(stamp=Tree(sec=sec, nanosec=nanosec))
        arrays = [numbers.unpack_from(data, at) for at, numbers in self._arrays]
        return self._form.build(self._first, header, *arrays)

    def _decode(self, data: bytes):
        """Decode in full, and learn from it."""
        message = cdr.decode(self._type, data)
        self._learn(message, data)
        return message

    def _learn(self, message, data: bytes) -> None:
        """Remember where the numbers of a message lie, if they lie where they are looked for."""
        self._length = -1
        numbers, end = [], len(data)
        for array in reversed(self._form.numbers(message)):     # from the end: no text is there
            packed = struct.pack(f'<{len(array)}d', *array)
            start = end - len(packed)
            if start < _STAMP.stop or data[start:end] != packed:
                return
            numbers.insert(0, slice(start, end))
            end = start
            if self._form.counted:
                end -= 4 + ((start - 8) % 8 if packed else 0)
                if int.from_bytes(data[end:end + 4], 'little') != len(array):
                    return
        if data[:2] != _LITTLE:
            return
        free = [*([_STAMP] if self._form.stamped else []), *numbers]
        edges = [0, *(edge for part in free for edge in (part.start, part.stop)), len(data)]
        self._fixed = tuple((slice(*pair), data[slice(*pair)])
                            for pair in zip(edges[::2], edges[1::2]) if pair[0] < pair[1])
        self._arrays = tuple((part.start, struct.Struct(f'<{(part.stop - part.start) // 8}d'))
                             for part in numbers)
        self._first, self._length = message, len(data)


@dataclass(frozen=True)
class Form:
    """How messages of a type are laid out: bytes that stay, a stamp, and arrays of float64."""

    stamped: bool
    counted: bool               # a length stands before each array
    numbers: Callable           # message -> its arrays, in the order of the wire
    build: Callable             # (a message alike, header, *arrays) -> message


def _vector(numbers) -> Tree:
    x, y, z = numbers
    return Tree(x=x, y=y, z=z)


def _pose(first, header, numbers) -> Tree:
    x, y, z, w = numbers[3:]
    return Tree(header=header, pose=Tree(position=_vector(numbers[:3]),
                                         orientation=Tree(x=x, y=y, z=z, w=w)))


FORMS = {
    JOINT_STATE: Form(
        True, True, attrgetter('position', 'velocity', 'effort'),
        lambda first, header, position, velocity, effort: Tree(
            header=header, name=first.name, position=position, velocity=velocity, effort=effort)),
    'geometry_msgs/msg/PointStamped': Form(
        True, False, lambda message: [attrgetter('x', 'y', 'z')(message.point)],
        lambda first, header, numbers: Tree(header=header, point=_vector(numbers))),
    'geometry_msgs/msg/PoseStamped': Form(
        True, False, lambda message: [attrgetter('x', 'y', 'z')(message.pose.position)
                                      + attrgetter('x', 'y', 'z', 'w')(message.pose.orientation)],
        _pose),
    'std_msgs/msg/Float64MultiArray': Form(
        False, True, lambda message: [message.data],
        lambda first, header, numbers: Tree(layout=first.layout, data=numbers)),
}


def decoder(type_name: str) -> Callable:
    """Return a function from the CDR bytes of one topic to messages; it raises BadMessage."""
    return AlikeDecoder(type_name) if type_name in FORMS else partial(cdr.decode, type_name)
