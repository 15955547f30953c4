"""Updates per second of our SAC beside stable-baselines3 and SBX, on one thread of one core.

    UTD 1       2 critics of 256 x 256, batch 256, one actor update per critic update
    UTD 20      10 critics of 256 x 256 with layer norm, batch 256, 20 critic updates at a time and
                one of the actor; stable-baselines3 has no such setting

Every side is a process, asked in turn for as many updates (learner_sides.py), of networks with
as many weights; all draw their batches from a buffer. What counts is the ratio of processor
times, round by round. Peers are held against the faster of our two in float32; `bfloat16`, which
is compiled, too, pays where the processor has instructions for it (AMX). The roofline is how many
such updates the matrix products alone would allow, by the speed of a large float32 product on the
same thread; `share` is what we reach of it.

Peers that are not installed beside robot_rl may be elsewhere: --peers /their/venv/bin/python.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
import json
import os
from pathlib import Path
import subprocess
import sys
from types import MappingProxyType

from learner_sides import ONE_THREAD
import numpy as np
from robot_rl.benchmarking import (at_least, finish, not_measured, parser_of, verdicts,
                                   versions)

SIZES = {'n': 32, 'm': 7, 'width': 256, 'batch': 256}
SETTINGS = {
    'UTD 1': {**SIZES, 'critics': 2, 'subset': 2, 'layer_norm': False, 'actor_period': 1,
              'utd': 1},
    'UTD 20': {**SIZES, 'critics': 10, 'subset': 10, 'layer_norm': True, 'actor_period': 20,
               'utd': 20},
}
OURS = ('ours', 'ours, compiled', 'ours, bfloat16')
EXACT = OURS[:2]                # products in float32, as the peers'
SIDES = {'UTD 1': (*OURS, 'stable-baselines3', 'SBX'), 'UTD 20': (*OURS, 'SBX')}
GOALS = (       # (setting, who is as fast as whom, times)
    ('UTD 1', 'stable-baselines3', 2.0), ('UTD 1', 'SBX', 1.0),
    ('UTD 20', 'SBX', 1.0), ('UTD 20', 'ours', 1.5))
UPDATES = {'UTD 1': 60, 'UTD 20': 20}       # of a round
ROUNDS, FAST_ROUNDS = 25, 7                 # after one to warm up
PEERS = ('stable-baselines3', 'SBX')


class Side:
    """A process that makes updates when asked to."""

    def __init__(self, python: str, name: str, setting: dict,
                 environment: Mapping = MappingProxyType({})):
        self.name = name
        self._process = subprocess.Popen(
            [python, str(Path(__file__).parent / 'learner_sides.py'), name, json.dumps(setting)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **ONE_THREAD, **environment})
        self.facts = self._read()
        self.missing = self.facts.get('missing', '')

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'{self.name} ended: {self._process.stderr.read()}')
        return json.loads(line)

    def update(self, count: int) -> tuple[float, float]:
        """Return s on the clock and of the processor for so many updates."""
        self._process.stdin.write(f'{count}\n')
        self._process.stdin.flush()
        wall, processor = self._read()
        return wall, processor

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()
        self._process.wait()


def operations(setting: dict) -> float:
    """Return the floating-point operations of one critic update, with its share of the actor's.

    Matrix products only: two operations per weight and row; backwards as much again for the
    weights, and for the inputs of all layers but the first.
    """
    n, m, width, critics = (setting[name] for name in ('n', 'm', 'width', 'critics'))
    first, first_actor = (n + m) * width, n * width
    critic = first + width * width + width
    actor = first_actor + width * width + width * 2 * m
    critic_update = (actor + setting['subset'] * critic             # what follows
                     + critics * (3 * critic - first))
    actor_update = 3 * actor - first_actor + critics * 2 * critic   # through critics to the action
    return 2.0 * setting['batch'] * (critic_update + actor_update / setting['actor_period'])


def measure(name: str, rounds: int, pythons: dict[str, str]) -> list[dict]:
    """Return one row per side that is there; those that are not have a reason."""
    setting, count, rows = SETTINGS[name], UPDATES[name], []
    with ExitStack() as stack:
        sides = []
        for side in SIDES[name]:
            process = Side(pythons.get(side, sys.executable), side, setting)
            stack.callback(process.close)
            if process.missing:
                rows.append({'setting': name, 'side': side, 'missing': process.missing})
            else:
                sides.append(process)
        weights = {side.facts['weights'] for side in sides}
        assert len(weights) == 1, f'different networks: {weights}'
        times = np.array([[side.update(count) for side in sides]
                          for _ in range(rounds + 1)][1:]) / count      # (rounds, sides, 2)
    walls, processors = times[..., 0], times[..., 1]
    roofline = 1e9 * sides[0].facts['gflops'] / operations(setting)
    for index, side in enumerate(sides):
        rate = 1.0 / float(np.median(processors[:, index]))
        rows.append({
            'setting': name, 'side': side.name, 'versions': side.facts['versions'],
            'updates_per_second': round(rate, 1),
            'on_the_clock': round(1.0 / float(np.median(walls[:, index])), 1),
            'share': round(rate / roofline, 3), 'roofline': round(roofline, 1),
            # How many times as fast ours are as this one.
            'ratios': {one.name: ratio(processors[:, index] / processors[:, number])
                       for number, one in enumerate(sides) if one.name in OURS}})
    return rows


def ratio(found: np.ndarray) -> list[float]:
    """Return median and quartiles."""
    return [round(float(value), 3) for value in np.quantile(found, (0.5, 0.25, 0.75))]


def counted(row: dict) -> list[list[float]]:
    """Return the ratios to this row that count: to our eager update those of the others."""
    sides = OURS[1:] if row['side'] == 'ours' else EXACT
    return [row['ratios'][side] for side in sides if side in row['ratios']]


def claims(rows: list[dict]) -> list[dict]:
    """Return what is claimed; of our updates that count the fastest one does."""
    by_side = {(row['setting'], row['side']): row for row in rows}
    found = []
    for setting, peer, goal in GOALS:
        text = f'{setting}: times as fast as {peer}'
        if peer == 'ours':
            text = f'{setting}: compiled, in bfloat16 where that is faster, to our eager update'
        row = by_side[setting, peer]
        if 'ratios' in row and (ratios := counted(row)):
            found.append(at_least(text, max(value[0] for value in ratios), goal))
        else:
            reason = row.get('missing') or by_side[setting, 'ours, compiled']['missing']
            found.append(not_measured(text, reason))
    return found


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = [f'{"setting":9}{"side":20}{"updates/s":>11}{"share of roofline":>19}'
             f'{"ours is as fast times (quartiles)":>36}']
    for row in result['rows']:
        head = f'{row["setting"]:9}{row["side"]:20}'
        if 'missing' in row:
            lines.append(f'{head}   {row["missing"]}')
            continue
        ratios = max(counted(row) or row['ratios'].values())
        text = f'{ratios[0]:.2f} ({ratios[1]:.2f} to {ratios[2]:.2f})'
        lines.append(f'{head}{row["updates_per_second"]:11.1f}'
                     f'{row["share"]:12.2f} of {row["roofline"]:<5.0f}{text:>35}')
    return '\n'.join([*lines, '', *verdicts(result['claims'])])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'learner', 'fewer rounds')
    parser.add_argument('--peers', default=sys.executable, metavar='PYTHON',
                        help='interpreter that has stable-baselines3 and SBX (default: this one)')
    options = parser.parse_args(arguments)
    rounds = FAST_ROUNDS if options.fast else ROUNDS
    rows = [row for name in SETTINGS
            for row in measure(name, rounds, dict.fromkeys(PEERS, options.peers))]
    result = {'benchmark': 'learner', 'rounds': rounds, 'settings': SETTINGS,
              'versions': versions('torch', 'numpy'), 'rows': rows, 'claims': claims(rows)}
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(main())
