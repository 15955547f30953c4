"""`robot_rl runs`: what is in a folder of runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
import json
from pathlib import Path
import time
from typing import TYPE_CHECKING

from robot_rl.commands.parsing import add_command, add_json
from robot_rl.progress import followed
from robot_rl.terminal import aligned

if TYPE_CHECKING:
    from robot_rl.run_summary import RunSummary

HEAD = ('run', 'started', 'kind', 'task', 'state', 'episodes', 'newest', 'kept', 'size (MB)',
        'note')
STYLES = {'finished': 'good', 'interrupted': 'odd', 'failed': 'bad'}


def add(commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, 'runs', 'list the runs in a folder, newest first',
        'List the runs in a folder, newest first; also those that crashed or still run.\n'
        '`newest` is how many of the last 20 episodes of its mode succeeded, without those that\n'
        'were stopped or cut off.',
        {'robot_rl runs': 'what is in ./runs', 'robot_rl runs /data': 'somewhere else',
         'robot_rl runs --json': 'for a program'}, _run)
    parser.add_argument('folder', type=Path, nargs='?', default=Path('runs'), metavar='DIR',
                        help='folder of runs, or one run (default: runs)')
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from robot_rl.run_summary import find_runs, summarize

    runs = [summarize(folder) for folder in followed(find_runs(arguments.folder), 'runs')]
    runs.sort(key=lambda run: run.started, reverse=True)
    if arguments.json:
        print(json.dumps([asdict(run) for run in runs], indent=2))
    else:
        print('\n'.join(aligned([HEAD, *map(_row, runs)], STYLES)) if runs
              else f'{arguments.folder}: no runs')
    return 0


def _row(run: RunSummary) -> tuple[str, ...]:
    started = time.strftime('%Y-%m-%d %H:%M', time.localtime(run.started))
    newest = f'{run.mode} {run.successes}/{run.counted}' if run.counted else ''
    return (run.name, started, run.kind, run.task, run.state, str(run.episodes), newest, run.kept,
            f'{run.bytes / 1e6:.1f}', run.note)
