"""The commands that documents show: in fenced blocks of shell, and in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import re
import shlex

ROOT = Path(__file__).parents[1]
FILES = ('README.md', 'SECURITY.md',
         *(f'docs/{file.name}' for file in sorted((ROOT / 'docs').glob('*.md'))))
SHELL = ('', 'sh', 'bash', 'shell', 'console')      # languages of a block; of others nothing runs
FENCED = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
INLINE = re.compile(r'`((?:robot_rl|python|make|ros2 (?:launch|service|param|topic)) [^`]+)`')
CONTROL = ('for', 'done')


@dataclass(frozen=True)
class Command:
    """One command, as a shell would start it."""

    words: tuple[str, ...]
    shown: str              # as it stands there, on one line
    inline: bool = False    # in the text, where it may be a part of one


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Yield (file, text) of every fenced block in that language."""
    for name in FILES:
        for found, text in FENCED.findall((ROOT / name).read_text(encoding='utf-8')):
            if found == language:
                yield name, text


def documented() -> dict[str, Command]:
    """Return every command once, by the file where it is first and its text."""
    found: dict[str, Command] = {}
    for name in FILES:
        text = (ROOT / name).read_text(encoding='utf-8')
        shown = [command for language, block in FENCED.findall(text) if language in SHELL
                 for command in commands(block)]
        shown += [command for span in INLINE.findall(FENCED.sub('', text))
                  for command in commands(' '.join(span.split()), inline=True)]
        for command in shown:
            if command.words not in {known.words for known in found.values()}:
                found[f'{name}: {command.shown}'] = command
    return found


def commands(text: str, inline: bool = False) -> Iterator[Command]:
    """Yield the commands of a script; assignments and loops around them are none."""
    for line in text.replace('\\\n', ' ').splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars='&|;')
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ';']:
            if set(word) <= set('&|;'):
                yield from _command(words, inline)
                words = []
            else:
                words.append(word)


def _command(words: list[str], inline: bool) -> Iterator[Command]:
    while words and (words[0] == 'do' or re.match(r'\w+=', words[0])):
        words = words[1:]
    if words and words[0] not in (*CONTROL, 'export'):
        yield Command(tuple(words), ' '.join(words), inline)
