"""Decode many alike messages: what never changes in them is decoded once.

Names, labels and frames are most of the work of decoding, and the same in every message of a
topic. The short cut is taken only for bytes that say the same, up to the numbers, as those of a
message that was decoded in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import struct
from types import SimpleNamespace as Tree
from typing import NamedTuple

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data import cdr
from robot_rl.data.steps import Step, step_from_message, STEPS_TYPE
from robot_rl.fields import BadMessage, Selection, stamp_of

MAX_ALIKE_BYTES = 64 << 10      # a longer message is always decoded in full
MAX_LESSONS = 32                # messages of a topic that are learned from
_TIME = struct.Struct('<4xiI')  # a header comes first, and its stamp first in it


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
        if head[:2] == cdr.LITTLE and data[len(head):] == message.data.tobytes():
            self._head, self._layout, self._length = head, message.layout, len(data)
        return step


class TopicReader:
    """Reads the same numbers from every message of one topic."""

    def __init__(self, type_name: str, selections: Sequence[Selection]):
        """Begin; each of the selections is read from every message."""
        self.type = type_name
        self._selections = selections
        self._forms: dict[int, _Form] = {}      # by the length of the message
        self.begin()

    def begin(self) -> None:
        """Begin a recording: what was learned of others holds, more may be learned of it."""
        self._lessons = MAX_LESSONS
        if len(self._forms) > MAX_LESSONS:
            self._forms.clear()

    def __call__(self, data: bytes) -> tuple[int, list[Sequence[float] | BadMessage]]:
        """Return the stamp in ns, 0 without, and for each selection its numbers or why not.

        Raises BadMessage where the bytes are not a message of the type.
        """
        form = self._forms.get(len(data))
        if not form or form.rest.unpack_from(data) != form.expected:
            return self._read(data)
        found = []
        for finish, numbers, order in form.picked:
            picked = numbers.unpack_from(data)
            if order:
                picked = [picked[index] for index in order]
            try:
                found.append(finish(picked))
            except BadMessage as error:
                found.append(error)
        if not form.stamped:
            return 0, found
        seconds, nanoseconds = _TIME.unpack_from(data)
        return seconds * 1_000_000_000 + nanoseconds, found

    def _read(self, data: bytes) -> tuple[int, list[Sequence[float] | BadMessage]]:
        """Decode in full, and learn from it."""
        message = cdr.decode(self.type, data)
        if self._lessons and len(data) <= MAX_ALIKE_BYTES and data[:2] == cdr.LITTLE:
            self._lessons -= 1
            form = self._learn(message, data)
            if form:
                self._forms[len(data)] = form
        found = []
        for selection in self._selections:
            try:
                found.append(selection.finish(selection.pick(message)))
            except BadMessage as error:
                found.append(error)
        return stamp_of(message), found

    def _learn(self, message, data: bytes) -> _Form | None:
        """Find where the picked numbers lie, by a message in which each tells its own place.

        Its padding is all ones, to show that it says nothing.
        """
        offsets, rest = cdr.find_numbers(self.type, data)
        if not offsets:         # a Float32: short enough to be decoded in full
            return None
        rest.insert(0, [0, len(cdr.LITTLE)])
        probe = bytearray(b'\xff' * len(data))
        for start, stop in rest:
            probe[start:stop] = data[start:stop]
        for index, offset in enumerate(offsets):
            struct.pack_into('<d', probe, offset, index)
        try:
            found = cdr.decode(self.type, bytes(probe))
            picked = [(selection.finish, *_numbers([offsets[int(index)] for index in
                                                    selection.pick(found)]))
                      for selection in self._selections]
        except (BadMessage, ValueError):        # a number that is not there
            return None
        stamped = hasattr(message, 'header')
        if stamped:
            rest[1][0] = _TIME.size
        fixed = _struct('s', rest)
        return _Form(fixed, fixed.unpack_from(data), stamped, picked)


class _Form(NamedTuple):
    """How messages are alike."""

    rest: struct.Struct             # all that they say but the stamp and the numbers
    expected: tuple[bytes, ...]     # what stands there
    stamped: bool
    picked: list[tuple[Callable, struct.Struct, list[int]]]     # of each selection: what finishes
    # it, where its numbers lie, and in which order it takes them where that is another


def _numbers(offsets: list[int]) -> tuple[struct.Struct, list[int]]:
    """Return what unpacks the float64 at some offsets, and in which order to take them then."""
    places = sorted(set(offsets))
    order = [] if places == offsets else [places.index(offset) for offset in offsets]
    return _struct('d', [(place, place + 8) for place in places]), order


def _struct(code: str, parts: Iterable[Sequence[int]]) -> struct.Struct:
    """Return a struct of the parts (start, stop) of a message, in ascending order."""
    text, at, size = '<', 0, struct.calcsize(f'<{code}')
    for start, stop in parts:
        text += f'{start - at}x{(stop - start) // size}{code}'
        at = stop
    return struct.Struct(text)
