"""Text for a terminal: tables that are easy to read, and colour where somebody sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
import re
import sys
from typing import TextIO

COLORS = {'good': '32', 'odd': '33', 'bad': '31', 'faint': '2'}     # of ANSI terminals
_NUMBER = re.compile(r'-?[\d,]+(\.\d+)?(e[+-]\d+)?')


def painted(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return the text in a style of COLORS, '' for none; as it is where the stream shows none.

    Colour is for terminals, and for people who have not set NO_COLOR (https://no-color.org).
    """
    stream = stream or sys.stdout
    seen = (stream.isatty() and not os.environ.get('NO_COLOR')
            and os.environ.get('TERM') != 'dumb')
    return f'\x1b[{COLORS[style]}m{text}\x1b[0m' if seen and style else text


def printable(text: str) -> str:
    """Return text of a file that anybody may have written: it cannot command the terminal."""
    return ''.join(letter if letter.isprintable() or letter == '\n'
                   else letter.encode('unicode_escape').decode() for letter in text)


def aligned(rows: Sequence[Sequence[str]], styles: Mapping[str, str] | None = None) -> list[str]:
    """Return the lines of a table; the first row is its head.

    Columns of numbers are flushed right, and those without any text left out. `styles` says for
    whole cells which of COLORS they have.
    """
    columns = []
    for head, *cells in zip(*([printable(cell).replace('\n', ' ') for cell in row]
                              for row in rows)):
        if any(cells) or not cells:
            width = max(len(cell) for cell in (head, *cells))
            numbers = all(_NUMBER.fullmatch(cell) for cell in cells if cell)
            pad = str.rjust if numbers else str.ljust
            columns.append([_cell(head, pad(head, width), 'faint')] + [
                _cell(cell, pad(cell, width), (styles or {}).get(cell, '')) for cell in cells])
    return ['  ' + '  '.join(row).rstrip() for row in zip(*columns)]


def _cell(text: str, padded: str, style: str) -> str:
    return padded.replace(text, painted(text, style)) if text and style else padded
