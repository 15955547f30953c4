"""The argument that names a contract, with the shipped ones as completions."""

from __future__ import annotations

import argparse

from robot_rl.paths import shipped_contracts


def add_contract(parser: argparse.ArgumentParser, *flags: str, **settings) -> None:
    """Add an argument or an option for a contract."""
    argument = parser.add_argument(*flags, **settings,
                                   help='a YAML file, or the name of a shipped contract')
    argument.completer = shipped        # of argcomplete; where none fits the shell names files


def shipped(**_) -> list[str]:
    """Return the names of the contracts that come with the package."""
    return shipped_contracts()
