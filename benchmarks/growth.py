"""How time and memory grow: with the hours recorded, explorers, ensemble members, and robots.

Every figure is of a process of its own (growth_cells.py), the sizes in turn. The exponent is the
slope of a line through the largest sizes, both axes logarithmic: what does not depend on the size
has 0, what is done for each hour or robot has 1. Time is that of the processor, without waiting
for the disk or for other processes; memory is the most that was held, beyond what the least size
needs. An hour has 120 episodes of 30 s at 20 Hz, 72,000 transitions.

    restart             a recorder starts on what was recorded before
    one more            an episode is recorded there, until its transitions leave
    send again          the recorder reads every bag of the session again, for a learner that asks
    take in             the learner is given all that was recorded, from the bytes on
    update, checkpoint  of the learner that holds as many transitions
    robots              one learner is given 100 episodes of each robot, in turns
    explorers received  by the policy server
    explorers trained   one update of their training in the simulator
    members             K of the ensemble: one update of a demonstrator's fit
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import json
import os
from pathlib import Path
import subprocess
import sys

import numpy as np
from robot_rl.benchmarking import at_most, finish, parser_of, verdicts, versions
from robot_rl.progress import ProgressLine

HOURS = (1 / 60, 1 / 6, 1.0, 10.0, 100.0)
FAST_HOURS = HOURS[:4]
ROBOTS, EXPLORERS, MEMBERS = (1, 2, 4, 8, 16, 32), (1, 4, 16, 64), (2, 5, 10, 40, 100)
LARGEST = 3         # sizes that tell the exponent
NOISE = 0.15        # of an exponent, by which a goal may be missed
LEAST_MEMORY = 1.0  # MB, below which growth is not told from noise


@dataclass(frozen=True)
class Cell:
    """What is measured, and how it may grow."""

    name: str
    unit: str
    sizes: Sequence[float]
    goal: float         # exponent of the time
    memory: float | None = 1.0      # and of the memory; None: that of another cell

    @property
    def text(self) -> str:
        """The name in words."""
        return self.name.replace('_', ' ')


def cells(fast: bool) -> list[Cell]:
    """Return what is measured."""
    hours = FAST_HOURS if fast else HOURS
    return [*(Cell(name, 'hours', hours, goal) for name, goal in (
                ('restart', 1.0), ('one_more', 0.0), ('send_again', 1.0), ('take_in', 1.0))),
            *(Cell(name, 'hours', hours, 0.0, memory=None) for name in ('update', 'checkpoint')),
            Cell('robots', 'robots', ROBOTS, 1.0),
            *(Cell(name, 'explorers', EXPLORERS, 1.0) for name in (
                'explorers_received', 'explorers_trained')),
            Cell('members', 'members', MEMBERS, 1.0)]


def measure(cell: Cell, size: float) -> tuple[float, float]:
    """Return seconds and megabytes of one cell at one size."""
    result = subprocess.run(
        [sys.executable, str(Path(__file__).parent / 'growth_cells.py'), cell.name,
         str(cell.sizes[0]), str(size)], capture_output=True, text=True, check=False,
        env={**os.environ, 'OMP_NUM_THREADS': '1'})
    if result.returncode:
        raise RuntimeError(f'{cell.name} {size}: {result.stderr}')
    seconds, megabytes = json.loads(result.stdout.splitlines()[-1])
    return seconds, megabytes


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return b of values ~ sizes ** b, over the largest sizes."""
    logs = np.log(np.array([sizes[-LARGEST:], values[-LARGEST:]]))
    return float(np.polyfit(*logs, 1)[0])


def row(cell: Cell, found: Sequence[tuple[float, float]]) -> dict:
    """Return the figures of a cell."""
    seconds, megabytes = zip(*found)
    told = [pair for pair in zip(cell.sizes, megabytes) if pair[1] > LEAST_MEMORY]
    memory = None
    if cell.memory is not None and len(told) >= LARGEST:
        memory = round(exponent(*zip(*told)), 2)
    return {'cell': cell.text, 'unit': cell.unit, 'sizes': [round(size, 3) for size in cell.sizes],
            'seconds': [float(f'{value:.4g}') for value in seconds],
            'megabytes': [round(value, 1) for value in megabytes], 'goal': cell.goal,
            'exponent': round(exponent(cell.sizes, seconds), 2),
            'memory_exponent': memory, 'memory_goal': cell.memory}


def claims(rows: Sequence[dict]) -> list[dict]:
    """Return what is claimed of the rows."""
    found = []
    for one in rows:
        found.append(at_most(f'{one["cell"]}: exponent of the time by {one["unit"]}',
                             one['exponent'], one['goal'] + NOISE))
        if one['memory_exponent'] is not None:
            found.append(at_most(f'{one["cell"]}: exponent of the memory by {one["unit"]}',
                                 one['memory_exponent'], one['memory_goal'] + NOISE))
    return found


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = []
    for one in result['rows']:
        sizes = ''.join(f'{size:>10g}' for size in one['sizes'])
        lines += [f'{one["cell"] + ", " + one["unit"]:30}{sizes}   exponent',
                  f'{"":21}ms       ' + ''.join(f'{1e3 * value:10.1f}' for value in one['seconds'])
                  + f'{one["exponent"]:11.2f}',
                  f'{"":21}MB       ' + ''.join(f'{value:10.1f}' for value in one['megabytes'])
                  + (f'{one["memory_exponent"]:11.2f}' if one['memory_exponent'] is not None
                     else '')]
    return '\n'.join([*lines, '', *verdicts(result['claims'])])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'growth', f'up to {FAST_HOURS[-1]:g} hours, not {HOURS[-1]:g}')
    options = parser.parse_args(arguments)
    rows, line = [], ProgressLine()
    for cell in cells(options.fast):
        found = []
        for size in cell.sizes:
            line.show(f'{cell.text}, {size:.3g} {cell.unit}')
            found.append(measure(cell, size))
        rows.append(row(cell, found))
    line.end()
    result = {'benchmark': 'growth', 'rows': rows, 'versions': versions('torch', 'numpy', 'mcap'),
              'claims': claims(rows)}
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(main())
