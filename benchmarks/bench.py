"""Run the benchmarks in their fast settings, one after the other, and print one table.

They end in some 10 minutes on two cores: small samples on a machine that should do nothing else
meanwhile. Not among them are what takes hours, the experiments in learning (lock, sim2real_gap,
posterior, sample_efficiency) and the faults, and the soak, which in less than half an hour tells
nothing of growth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from robot_rl.benchmarking import machine, verdict
from robot_rl.files import write_atomic

FOLDER = Path(__file__).parent
OUT = Path('runs/bench')
BENCHMARKS = ('startup', 'learner', 'latency', 'recorder', 'ingest', 'simulator', 'control_tick',
              'scene_cost', 'growth')
LONGEST = 400.0     # s of one, then it is ended
WIDTH = 76          # of a claim


@dataclass(frozen=True)
class Outcome:
    """What one benchmark said."""

    name: str
    seconds: float
    claims: Sequence[dict]
    failure: str        # why it said nothing, or ''


def run(name: str, out: Path, extra: Sequence[str] = ()) -> Outcome:
    """Run one benchmark, its output to a file beside its result."""
    result, log = out / f'{name}.json', out / f'{name}.txt'
    result.unlink(missing_ok=True)      # of an earlier run
    begun = time.monotonic()
    with log.open('w', encoding='utf-8') as file:
        process = subprocess.Popen(
            [sys.executable, str(FOLDER / f'{name}.py'), '--fast', '--out', str(result), *extra],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True)
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            return Outcome(name, LONGEST, (), f'not done after {LONGEST:g} s; see {log}')
        finally:
            if process.poll() is None:      # its nodes end when it is gone
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    seconds = time.monotonic() - begun
    try:
        claims = json.loads(result.read_text(encoding='utf-8'))['claims']
    except (OSError, ValueError, KeyError):
        last = (log.read_text(encoding='utf-8', errors='replace').splitlines() or ['nothing'])[-1]
        return Outcome(name, seconds, (),
                       f'ended with code {process.returncode}: {last}; see {log}')
    return Outcome(name, seconds, claims, '')


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a row per claim: value, goal, holds."""
    lines = [f'{"benchmark":13}{"claim":{WIDTH}}{"value":>9}  {"goal":16}']
    for outcome in outcomes:
        if outcome.failure:
            lines.append(f'{outcome.name:13}FAILED: {outcome.failure}')
        for claim in outcome.claims:
            value = '' if claim['value'] is None else f'{claim["value"]:.2f}'
            goal = claim['goal'] if claim['holds'] is not None else f'({claim["reason"]})'
            lines.append(f'{outcome.name:13}{claim["claim"]:{WIDTH}}{value:>9}  {goal:<16}'
                         f'  {verdict(claim)}')
    claims = [claim for outcome in outcomes for claim in outcome.claims]
    held, missed = (sum(claim['holds'] is want for claim in claims) for want in (True, False))
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    about = machine()
    lines += ['', f'{held} hold, {missed} missed, {len(claims) - held - missed} not measured, '
              f'{failed} failed; {seconds / 60.0:.1f} minutes on {about["cpus"]} x '
              f'{about["processor"]}, load before {about["load_before"]:.1f}']
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run them; return 0 if no claim is missed and none failed."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('names', nargs='*', metavar='NAME',
                        help=f'of {", ".join(BENCHMARKS)} (default: all)')
    parser.add_argument('--peers', metavar='PYTHON', help='as of learner.py')
    parser.add_argument('--out', type=Path, default=OUT, metavar='DIR',
                        help=f'for results and outputs (default {OUT})')
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f'expected names among {", ".join(BENCHMARKS)}, found {", ".join(unknown)}')
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes = []
    try:
        names = options.names or BENCHMARKS
        for number, name in enumerate(names, 1):
            print(f'{name}, {number} of {len(names)}', flush=True)
            extra = ('--peers', options.peers) if options.peers and name == 'learner' else ()
            outcomes.append(run(name, options.out, extra))
    except KeyboardInterrupt:
        print('\ninterrupted')
        return 130
    finally:
        print(f'\n{table(outcomes)}')
    write_atomic(options.out / 'bench.json', json.dumps(
        {'machine': machine(), 'outcomes': [vars(outcome) for outcome in outcomes]},
        indent=1) + '\n')
    bad = any(outcome.failure or any(claim['holds'] is False for claim in outcome.claims)
              for outcome in outcomes)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
