"""One line of progress on a terminal, or in a log a line now and then, each of them once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import sys
import time
from typing import TextIO

PRINT_PERIOD = 5.0          # s between lines where the output is not a terminal
REDRAW_PERIOD = 0.2         # s between redraws where it is
WIDTH = 24                  # characters of a bar


def bar(share: float) -> str:
    """Return a bar that is filled to a share from 0 to 1."""
    full = round(WIDTH * share)
    return '[' + '#' * full + '-' * (WIDTH - full) + ']'


class Rates:
    """How fast some counters grow, per second, over the last second or more."""

    def __init__(self):
        self._at, self._counts, self._rates = time.monotonic(), (0, 0), (0.0, 0.0)

    def __call__(self, *counts: int) -> tuple[float, ...]:
        now = time.monotonic()
        if now - self._at > 1.0 and counts != self._counts:
            self._rates = tuple(max(0, new - old) / (now - self._at)
                                for new, old in zip(counts, self._counts))
            self._at, self._counts = now, counts
        return self._rates


class ProgressLine:
    """One line that is rewritten on a terminal; elsewhere now and then a new one, if it is new."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._at, self._open = 0.0, False
        self._last = ''             # that was printed where it is no terminal

    def show(self, text: str, final: bool = False) -> None:
        """Show the newest state; `final` leaves it standing."""
        now = time.monotonic()
        if not final and now - self._at < (REDRAW_PERIOD if self._live else PRINT_PERIOD):
            return
        self._at = now
        if self._live:
            self._print(f'\r\x1b[2K{text}', '\n' if final else '')
            self._open = not final
        elif text != self._last:
            self._print(text, '\n')
            self._last = text

    def end(self) -> None:
        """Move on from an unfinished line."""
        if self._open:
            self._print('', '\n')
            self._open = False

    def clear(self) -> None:
        """Take an unfinished line away."""
        if self._open:
            self._print('\r\x1b[2K', '')
            self._open = False

    def _print(self, text: str, end: str) -> None:
        print(text, end=end, file=self._stream, flush=True)


def followed(items: Sequence, name: str) -> Iterator:
    """Yield the items; where standard error is a terminal, a bar there shows how far it is."""
    if not sys.stderr.isatty():
        yield from items
        return
    line = ProgressLine(sys.stderr)
    for count, item in enumerate(items):
        line.show(f'{bar(count / len(items))} {count} of {len(items)} {name}')
        yield item
    line.clear()
