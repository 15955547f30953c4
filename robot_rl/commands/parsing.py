"""What the commands share: a parser each, whose help has a description and examples."""

from __future__ import annotations

import argparse
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping


def add_command(commands, name: str, text: str, about: str, examples: Mapping[str, str],
                run: Callable[[argparse.Namespace], int] | None = None,
                formatter: type = RawDescriptionHelpFormatter) -> argparse.ArgumentParser:
    """Return the parser of a new command among `commands`.

    `text` is its line in the list of commands, `about` what its own help says, `examples` what
    one may type and what that does; `run` gets the arguments and returns the exit code.
    """
    parser = commands.add_parser(name, help=text, description=about, formatter_class=formatter,
                                 epilog=listed('examples', examples))
    if run:
        parser.set_defaults(run=run)
    return parser


def add_group(commands, name: str, text: str, about: str, examples: Mapping[str, str]):
    """Return where the commands of a new group are added, such as `bag inspect`."""
    parser = add_command(commands, name, text, about, examples)
    return parser.add_subparsers(required=True, metavar='COMMAND')


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands whose output programs may want to read."""
    parser.add_argument('--json', action='store_true', help='print JSON in place of a table')


def listed(title: str, lines: Mapping[str, str]) -> str:
    """Return a titled list of names and what they mean."""
    width = max(map(len, lines))
    return '\n'.join([f'{title}:', *(f'  {name:<{width}}  {text}'.rstrip()
                                     for name, text in lines.items())])
