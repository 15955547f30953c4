#!/usr/bin/env python3
"""Fuzz every reader of untrusted data; print what came of it, exit with 1 where one crashed.

For instance: python test/fuzz/run.py --inputs 10000
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
import hashlib
import multiprocessing
from pathlib import Path
import sys

sys.path.insert(0, str(Path(__file__).parent))

from fuzzing import fuzz, peak_megabytes, Result  # noqa: E402, I100, I202
from targets import new_folder, TARGETS  # noqa: E402


def work(name: str, inputs: int, seed: int) -> tuple[Result, float, float]:
    """Return the result of one target, and MB held before and at most."""
    with new_folder() as folder:
        target = TARGETS[name](Path(folder))
        fuzz(target, 20, seed=-1)
        before = peak_megabytes()
        return fuzz(target, inputs, seed), before, peak_megabytes()


def alone(name: str, inputs: int, seed: int):
    """Run in a process of its own: its memory is its own, and it may die."""
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(work, name, inputs, seed).result()


def main() -> int:
    """Print one row per target."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--inputs', type=int, default=1000, help='for each target')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--targets', nargs='+', choices=TARGETS, default=TARGETS)
    parser.add_argument('--save', type=Path, help='folder for the inputs that crash')
    arguments = parser.parse_args()
    print(f'{"target":10}{"inputs":>9}{"s":>8}{"slowest":>9}{"MB more":>9}{"taken":>8}'
          f'{"crashes":>9}  refused')
    crashed = 0
    for name in arguments.targets:
        try:
            result, before, peak = alone(name, arguments.inputs, arguments.seed)
        except BrokenProcessPool:
            crashed += 1
            print(f'{name:10} the process died')
            continue
        crashed += len(result.crashes)
        refused = ', '.join(f'{kind} {count}' for kind, count in result.errors.most_common())
        print(f'{name:10}{result.inputs:9}{result.seconds:8.1f}{result.slowest:8.2f}s'
              f'{peak - before:9.0f}{result.accepted:8}{len(result.crashes):9}  {refused}',
              flush=True)
        for reason in sorted({reason for _, reason in result.crashes})[:10]:
            print(f'    {reason[:200]}')
        if arguments.save:
            for data, _ in result.crashes:
                folder = arguments.save / name
                folder.mkdir(parents=True, exist_ok=True)
                (folder / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    return 1 if crashed else 0


if __name__ == '__main__':
    sys.exit(main())
