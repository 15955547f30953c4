"""What the benchmarks with the options --fast and --out share: those, claims, and the end.

A claim has the keys claim, value, goal and holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
from pathlib import Path

from robot_rl.files import write_atomic


def parser_of(description: str, name: str, fast: str) -> argparse.ArgumentParser:
    """Return the parser of a benchmark; `fast` says what it leaves out then."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--fast', action='store_true', help=fast)
    parser.add_argument('--out', type=Path, help=f'JSON file (default results/{name}.json here, '
                        f'with --fast runs/{name}.json)')
    return parser


def verdicts(claims: Sequence[dict], unit: str = '') -> list[str]:
    """Return a line on each claim."""
    return ['{}: {claim} {value:.2f}{unit}, goal {goal}{unit}'.format(
        'holds' if claim['holds'] else 'MISSED', unit=unit, **claim) for claim in claims]


def finish(parser: argparse.ArgumentParser, options: argparse.Namespace, script: str,
           result: dict) -> int:
    """Write the result beside the script, or where asked; return 0 if every claim holds."""
    folder = Path('runs') if options.fast else Path(script).parent / 'results'
    out = options.out or folder / f'{result["benchmark"]}.json'
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, json.dumps(result, indent=1) + '\n')
    except OSError as error:
        parser.error(f'--out: expected a file to write, found {error}')
    return 0 if all(claim['holds'] for claim in result['claims']) else 1
