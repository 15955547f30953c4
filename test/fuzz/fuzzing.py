"""Mutate good inputs by a seed, feed them to a reader, and count what comes of it.

A plain mutator does some thousand inputs a second, several times what hypothesis does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
import random
import re
import resource
import time

LONGEST = 5.0       # s for one input
INTERESTING = (0, 1, 2, 0x7f, 0x80, 0xfe, 0xff)
INTEGERS = (0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 63 - 1, 2 ** 64 - 1)
TOKENS = [token.encode() for token in (
    '{', '}', '[', ']', ',', ': ', '- ', '&a ', '*a', '<<: *a', '"', "'", '!!float', '!!python/',
    '!!binary ', 'null', '~', 'true', 'nan', '.inf', '-1', '0', '1e309', '9' * 400, '0x',
    '2001-99-99', '\0', '\n', '\t', '\N{BYTE ORDER MARK}', '\N{PILE OF POO}', '[' * 200, 'F32',
    'shape', '?', '|', 'os:getcwd', 'robot_rl.tasks.reach:missing', 'data_offsets', '-0.0', 'NaN',
    '../', '..', '%')]


@dataclass(frozen=True)
class Target:
    """A reader of untrusted bytes."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]            # good inputs
    declared: tuple[type, ...]          # what it may raise
    forge: Callable[[bytes, random.Random], bytes] | None = None    # makes mutants get further


@dataclass
class Result:
    """What came of the inputs of one target."""

    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    errors: Counter = field(default_factory=Counter)        # declared ones by kind
    crashes: list[tuple[bytes, str]] = field(default_factory=list)


def try_input(target: Target, data: bytes, result: Result) -> None:
    """Read one input and count; whatever is raised undeclared, or takes too long, is a crash."""
    begun = time.perf_counter()
    try:
        target.read(data)
        result.accepted += 1
    except target.declared as error:
        result.errors[type(error).__name__] += 1
    except Exception as error:  # noqa: B902, this is what is looked for
        result.crashes.append((data, f'{type(error).__name__}: {error}'))
    spent = time.perf_counter() - begun
    if spent > LONGEST:
        result.crashes.append((data, f'{spent:.1f} s'))
    result.inputs += 1
    result.seconds += spent
    result.slowest = max(result.slowest, spent)


def fuzz(target: Target, inputs: int, seed: int = 0) -> Result:
    """Feed so many mutants; the same seed gives the same ones."""
    rng, result = random.Random(seed), Result()
    for _ in range(inputs):
        data = mutate(rng.choice(target.seeds), rng)
        if target.forge and rng.random() < 0.5:
            data = target.forge(data, rng)
        try_input(target, data, result)
    return result


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes after one to eight small changes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        rng.choice(_CHANGES)(data, rng)
    return bytes(data)


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _replace(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((*INTERESTING, rng.randrange(256)))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1):]


def _remove(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    del data[start:start + rng.choice((1, 2, 4, 8, 64))]


def _repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = data[start:start + rng.choice((1, 4, 16, 64))] * rng.choice((1, 2, 50))


def _move(data: bytearray, rng: random.Random) -> None:
    start, size = rng.randrange(len(data) + 1), rng.choice((4, 16, 64))
    piece = data[start:start + size]
    del data[start:start + size]
    at = rng.randrange(len(data) + 1)
    data[at:at] = piece


def _token(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start + rng.choice((0, 1, 4))] = rng.choice(TOKENS)


def _word(data: bytearray, rng: random.Random) -> None:
    """Put a token in place of a word or number of a text."""
    words = list(re.finditer(rb'[\w.+-]+', bytes(data)))
    if words:
        data[slice(*rng.choice(words).span())] = rng.choice(TOKENS)


def _integer(data: bytearray, rng: random.Random) -> None:
    size = rng.choice((2, 4, 8))
    if len(data) >= size:
        start = rng.randrange(len(data) - size + 1)
        value = rng.choice(INTEGERS) % (1 << 8 * size)
        data[start:start + size] = value.to_bytes(size, 'little')


_CHANGES = (_flip, _replace, _cut, _remove, _repeat, _move, _token, _word, _integer, _integer)


def peak_megabytes() -> float:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
