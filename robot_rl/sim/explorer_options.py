"""The command line of a training of explorers: written by who asks, read by the child."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import sys

from robot_rl.learning.config import ExplorerConfig
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.gap import load_gap

# Its options, by the dataclass whose fields and defaults they are.
BUDGET = ('steps', 'updates', 'explorers', 'worlds', 'threads', 'batch', 'seed')
DIVERSITY = ('latents', 'alpha', 'gate', 'shared')
SAC = ('width', 'learning_rate')


def child_command(contract: Path, folder: Path, settings: TrainSettings,
                  gaps: Sequence[str]) -> list[str]:
    """Return the argv of a process that trains in a folder and ends with its parent.

    The gaps are given again, as the texts that `settings.gaps` were read from.
    """
    options = {'contract': contract, 'run_dir': folder}
    for names, source in ((BUDGET, settings), (DIVERSITY, settings.diversity),
                          (SAC, settings.sac)):
        options |= {name: getattr(source, name) for name in names}
    return [sys.executable, '-P', '-m', 'robot_rl.sim.train_explorers', '--with-parent',
            *(f'--{name.replace("_", "-")}={value}' for name, value in options.items()),
            *(f'--gap={text}' for text in gaps)]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line; SystemExit where they cannot be read."""
    parser = argparse.ArgumentParser(
        description='Train exploration policies in the simulator, and the sim-optimal policy.')
    parser.add_argument('--contract', required=True, help='file, or name of a shipped contract')
    parser.add_argument('--run-dir', required=True, type=Path, help='checkpoints and the result')
    parser.add_argument('--gap', action='append', help='randomise over these worlds; repeatable')
    parser.add_argument('--with-parent', action='store_true',
                        help='end when standard input ends, and let other processes go first')
    defaults = TrainSettings()
    for names, source in ((BUDGET, defaults), (DIVERSITY, defaults.diversity),
                          (SAC, defaults.sac)):
        for name in names:
            value = getattr(source, name)
            parser.add_argument(f'--{name.replace("_", "-")}', type=type(value), default=value)
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace) -> TrainSettings:
    """Return the settings that options stand for; raise UserError for a gap that is none."""
    def pick(names: tuple[str, ...]) -> dict:
        return {name: getattr(options, name) for name in names}

    return TrainSettings(
        **pick(BUDGET), gaps=tuple(load_gap(text) for text in options.gap or ['none']),
        diversity=ExplorerConfig(**pick(DIVERSITY)), sac=replace(TrainSettings().sac, **pick(SAC)))
