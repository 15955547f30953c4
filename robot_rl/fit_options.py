"""The command line of a fit: written by who asks, read by the child."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
import sys

from robot_rl.data.ingest import IngestSettings
from robot_rl.fit_run import FitSettings
from robot_rl.learning.config import FitConfig

OPTIONS = (IngestSettings, FitConfig)       # whose fields are its options


def child_command(contract: Path, folder: Path, settings: FitSettings,
                  bags: Sequence[Path]) -> list[str]:
    """Return the argv of a process that fits in a folder and ends with its parent."""
    options = {'contract': contract, 'run_dir': folder, 'threads': settings.threads}
    options |= vars(settings.ingest) | vars(settings.fit)
    return [sys.executable, '-P', '-m', 'robot_rl.fit_demonstrator', '--with-parent',
            *(f'--{name.replace("_", "-")}={value}' for name, value in options.items()),
            *(f'--bag={path.absolute()}' for path in bags)]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line; SystemExit where they cannot be read."""
    parser = argparse.ArgumentParser(description='Fit the posterior demonstrator to recordings.')
    parser.add_argument('--contract', required=True, help='file, or name of a shipped contract')
    parser.add_argument('--run-dir', required=True, type=Path, help='checkpoints and the result')
    parser.add_argument('--bag', action='append', required=True, type=Path,
                        help='a recording, or a folder that holds recordings; repeatable')
    parser.add_argument('--with-parent', action='store_true',
                        help='end when standard input ends, and let other processes go first')
    parser.add_argument('--threads', type=int, default=FitSettings().threads)
    for kind in OPTIONS:
        for item in fields(kind):
            parser.add_argument(f'--{item.name.replace("_", "-")}', type=type(item.default),
                                default=item.default)
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace) -> FitSettings:
    """Return the settings that options stand for."""
    ingest, fit = (kind(**{item.name: getattr(options, item.name) for item in fields(kind)})
                   for kind in OPTIONS)
    return FitSettings(ingest, fit, options.threads)
