"""What benchmarks and experiments of cells share: their options, claims, and the end.

A claim has the keys claim, value, goal and holds. One that could not be measured has no value,
`holds` None, and the reason why: that is no failure.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
import json
import os
from pathlib import Path
import platform
import shutil
import sys
import tempfile

from robot_rl.engine import ENGINES
from robot_rl.errors import EXIT_BAD_INPUT
from robot_rl.files import write_atomic

LOAD = os.getloadavg()[0]       # processes that wanted a processor before the benchmark began


def parser_of(description: str, name: str, fast: str) -> argparse.ArgumentParser:
    """Return the parser of a benchmark; `fast` says what it leaves out then."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--fast', action='store_true', help=fast)
    parser.add_argument('--out', type=Path, help=f'JSON file (default results/{name}.json here, '
                        f'with --fast runs/{name}.json)')
    return parser


def add_cells(parser: argparse.ArgumentParser, folder: str, out: str) -> None:
    """Add how an experiment's cells run, and where results go: by default as the texts say."""
    parser.add_argument('--workers', type=_workers, default=os.cpu_count(), metavar='N',
                        help='cells at a time (default: the processors of this machine)')
    parser.add_argument('--engine', choices=ENGINES, default='processes')
    parser.add_argument('--run-dir', type=Path, help='results of the cells; what is there is not '
                        f'run again (default {folder})')
    parser.add_argument('--out', type=Path, help='JSON file; the plot goes beside it as PNG '
                        f'(default {out})')


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected at least 1, found {text}')
    return int(text)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Give a new folder, which stays where the block fails: the logs are in it."""
    folder = Path(tempfile.mkdtemp(prefix=f'{name}_'))
    yield folder
    shutil.rmtree(folder)


def at_least(claim: str, value: float, goal: float) -> dict:
    """Return the claim that a value reaches a goal."""
    return {'claim': claim, 'value': round(value, 3), 'goal': f'at least {goal:g}',
            'holds': bool(value >= goal)}


def at_most(claim: str, value: float, goal: float) -> dict:
    """Return the claim that a value stays within a goal."""
    return {'claim': claim, 'value': round(value, 3), 'goal': f'at most {goal:g}',
            'holds': bool(value <= goal)}


def not_measured(claim: str, reason: str) -> dict:
    """Return a claim that this machine cannot tell of."""
    return {'claim': claim, 'value': None, 'goal': '', 'holds': None, 'reason': reason}


def verdict(claim: dict) -> str:
    """Return one word on a claim."""
    return {True: 'holds', False: 'MISSED', None: 'not measured'}[claim['holds']]


def verdicts(claims: Sequence[dict], unit: str = '') -> list[str]:
    """Return a line on each claim."""
    return [f'{verdict(claim)}: {claim["claim"]}' + (
        f' ({claim["reason"]})' if claim['value'] is None else
        f' {claim["value"]:.2f}{unit}, goal {claim["goal"]}{unit}') for claim in claims]


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of these packages, without those that are not there."""
    found = {'python': platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict:
    """Return what the figures were measured on, and how busy it was with something else."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    model = next((line.partition(':')[2].strip() for line in lines
                  if line.startswith('model name')), platform.machine())
    return {'processor': model, 'cpus': os.cpu_count(), 'system': platform.system(),
            'load_before': round(LOAD, 2)}


def finish(parser: argparse.ArgumentParser, options: argparse.Namespace, script: str,
           result: dict) -> int:
    """Write the result beside the script, or where asked; return 0 if no claim is missed."""
    folder = Path('runs') if options.fast else Path(script).parent / 'results'
    out = options.out or folder / f'{result["benchmark"]}.json'
    result = {**result, 'fast': options.fast, 'machine': machine()}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, json.dumps(result, indent=1) + '\n')
    except OSError as error:
        parser.error(f'--out: expected a file to write, found {error}')
    return 1 if any(claim['holds'] is False for claim in result['claims']) else 0


def given_up(error: BaseException, folder: Path) -> int:
    """Tell why an experiment ended early whose cells are in a folder; return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        print(f'\ninterrupted; the same command goes on, with what is in {folder}')
        return 130
    print(error, file=sys.stderr)
    return EXIT_BAD_INPUT


def keep(result: dict, out: Path, plot: Callable[[dict], bytes]) -> int:
    """Write an experiment's result, and its plot (PNG) beside it; return the exit code.

    That is 0 if every claim holds and none of its cells, where it has some, has failed.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out.with_suffix('.json'), json.dumps(result) + '\n')
        write_atomic(out.with_suffix('.png'), plot(result))
    except (OSError, ValueError) as error:
        print(f'--out: expected a file to write, found {error}', file=sys.stderr)
        return EXIT_BAD_INPUT
    holds = all(claim['holds'] for claim in result['claims'])
    return 0 if holds and not result.get('failed') else 1
