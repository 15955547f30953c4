"""`robot_rl report`: a page, pictures and figures of what happened in a run, or in several."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import json
from pathlib import Path
import sys

from robot_rl.commands.parsing import add_command
from robot_rl.errors import UserError

COMPARISON = 'comparison.html'


def add(commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, 'report', 'write report.html, report.json and pictures of runs',
        'Write report.html, report.json and pictures into the folder of each run, from what is\n'
        'in it alone. One run: print its figures in short. Several: compare them on one page,\n'
        'print a table. Works on unfinished and crashed runs as well.',
        {'robot_rl report runs/demo': 'five lines, and where the page is',
         'robot_rl report runs/demo --json': 'every figure, for programs',
         'robot_rl report runs/seed*': 'compares them'}, _run)
    parser.add_argument('runs', type=Path, nargs='+', metavar='RUN',
                        help='folder that holds bags/')
    parser.add_argument('-o', '--output', type=Path, metavar='FILE',
                        help=f'page that compares runs; default: {COMPARISON} beside the first')
    parser.add_argument('--json', action='store_true',
                        help='print report.json, all figures of one run')


def _run(arguments: argparse.Namespace) -> int:
    if len(arguments.runs) == 1:
        from robot_rl.report.page import PAGE
        from robot_rl.report.run import write_report

        report = write_report(arguments.runs[0])
        print(json.dumps(report, indent=2) if arguments.json else '\n'.join(_lines(report)))
        print(f'page: {arguments.runs[0] / PAGE}', file=sys.stderr)
        return 0
    if arguments.json:
        raise UserError(f'--json: expected one run, found {len(arguments.runs)}')
    from robot_rl.report.compare import write_comparison

    path = arguments.output or arguments.runs[0].resolve().parent / COMPARISON
    print(*write_comparison(arguments.runs, path), sep='\n')
    print(f'page: {path}', file=sys.stderr)
    return 0


def _lines(report: dict) -> Iterator[str]:
    """Yield what a person wants to know first; the page has the rest."""
    from robot_rl.run_folder import POLICIES

    counts, kept = report['evaluation_episodes'], report['kept']
    begun = {'first actor': report['success_first'],
             'sim-optimal policy': report['success_sim_optimal'],
             'demonstrator': (report['base'] or {}).get('base_success')}
    before = next((f'{share:.0%} ({name})' for name, share in begun.items() if share is not None),
                  'not measured')
    after = ('not measured' if report['success_final'] is None else
             f'{report["success_final"]:.0%} (learned policy, greedy, n = {counts[1]})')
    yield f'success before  {before}'
    yield f'success after   {after}'
    yield (f'episodes        {report["episodes"]:,}, '
           f'{report["episodes_learned_from"]:,} in training')
    yield (f'robot steps     {report["robot_steps"]:,} ({report["robot_seconds"] / 60:.1f} min), '
           f'{report["training_steps"]:,} in training')
    yield f'kept            {POLICIES[kept["policy"]] if kept else "nothing"}'
