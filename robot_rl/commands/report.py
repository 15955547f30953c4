"""`robot_rl report`: a page, pictures and figures of what happened in a run, or in several."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys

from robot_rl.commands.parsing import add_command

COMPARISON = 'comparison.html'


def add(commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, 'report', 'write report.html, report.json and pictures of runs',
        'Write report.html, report.json and pictures into the folder of each run, from what is\n'
        'in it alone. One run: print the report. Several: compare them on one page, print a\n'
        'table. Works on unfinished and crashed runs as well.',
        {'robot_rl report runs/demo': '', 'robot_rl report runs/seed*': 'compares them'}, _run)
    parser.add_argument('runs', type=Path, nargs='+', metavar='RUN',
                        help='folder that holds bags/')
    parser.add_argument('-o', '--output', type=Path, metavar='FILE',
                        help=f'page that compares runs; default: {COMPARISON} beside the first')


def _run(arguments: argparse.Namespace) -> int:
    if len(arguments.runs) == 1:
        from robot_rl.report.page import PAGE
        from robot_rl.report.run import write_report

        print(json.dumps(write_report(arguments.runs[0]), indent=2))
        print(f'page: {arguments.runs[0] / PAGE}', file=sys.stderr)
        return 0
    from robot_rl.report.compare import write_comparison

    path = arguments.output or arguments.runs[0].resolve().parent / COMPARISON
    print(*write_comparison(arguments.runs, path), sep='\n')
    print(f'page: {path}', file=sys.stderr)
    return 0
