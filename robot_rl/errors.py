"""Errors that a user can act on: which file and key, what was expected, what was found."""

from __future__ import annotations

from dataclasses import dataclass
import errno

FULL = errno.ENOSPC, errno.EDQUOT
NOT_WRITABLE = errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130      # by Ctrl-C, as shells count


class UserError(Exception):
    """Bad input from a file, topic or command line; shown without a traceback, exit code 2."""


def refusal(error: OSError) -> str:
    """Return what the machine refused: the path, why, and what to do about it."""
    if error.filename is None or not error.strerror:
        return str(error)
    if error.errno in FULL:
        return f'{error.filename}: cannot be written: {error.strerror}; free some room'
    if error.errno in NOT_WRITABLE:
        return (f'{error.filename}: cannot be written: {error.strerror}; name a folder that can '
                'be written')
    return f'{error.filename}: {error.strerror}'


@dataclass(frozen=True)
class Problem:
    """One thing wrong at one key of a file."""

    key: str
    expected: str
    found: str
    advice: str = ''

    def __str__(self) -> str:
        text = f'{self.key}: expected {self.expected}, found {self.found}'
        return f'{text}; {self.advice}' if self.advice else text


class InvalidFile(UserError):
    """A file whose content is refused; carries every problem, not only the first."""

    def __init__(self, file: str, problems: list[Problem]):
        self.file = str(file)
        self.problems = list(problems)
        super().__init__('\n'.join(f'{self.file}: {problem}' for problem in self.problems))


class Mismatch(UserError):
    """A policy, bag or checkpoint that was made under another contract."""

    def __init__(self, file: str, problems: list[Problem]):
        self.file = str(file)
        self.problems = list(problems)
        lines = [f'{self.file}: made under another contract, refused']
        lines += [f'  {problem}' for problem in self.problems]
        super().__init__('\n'.join(lines))
