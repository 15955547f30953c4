"""Return against steps of the environment: our learner, with and without a simulator's explorers.

On gymnasium's MuJoCo tasks, version 5, for 100,000 steps:

    default             what a robot's small computer runs: 2 critics of 256, one update per step
    wide                XQC: batch-normed distributional critics, 4 layers of 256, two updates per
                        step (arXiv 2509.25174)
    stable-baselines3   its SAC as it comes, in the same process

On cartpole-swingup-sparse, which pays for nothing but a pole that stands:

    alone               finds out by itself
    explorers           the first 20 episodes are policies that were explored in the simulator, of
                        which this world differs by the gap `mild`

Returns are means of 10 greedy episodes; `at the end` is the last measurement, the mean over the
seeds with its standard error. Published curves at 100,000 steps, from the repositories of SimbaV2
and XQC (Hopper, Walker2d, HalfCheetah, Ant): SAC 1103, 690, 6156, 747; REDQ 2750, 3459, 7823,
3288; XQC 2828, 3612, 8597, 3018. A cell is one JSON file in the run folder, so what was killed
goes on where it was. A cell of `default` takes 10 to 20 minutes of one processor, of `wide` 50 to
75.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import io
from pathlib import Path
import statistics
import sys

from robot_rl.benchmarking import add_cells, at_least, given_up, keep, machine, verdicts, versions
from robot_rl.cell_folder import CellFolder, run_cell
from robot_rl.errors import UserError
from robot_rl.progress import ProgressLine
from sample_efficiency_cells import CARTPOLE, Cell, LOCOMOTION, PEER, settings, SIDES

RUN = Path('runs/sample_efficiency')
STEPS, EVERY = 100_000, 20_000
SEEDS, SPARSE_SEEDS = range(3), range(5)
WIDE_GOALS = dict(zip(LOCOMOTION, (2800.0, 3300.0, 8500.0, 3000.0)))
SOLVED = 700.0                  # of cartpole's 1000
ON = {'alone': (CARTPOLE,), 'explorers': (CARTPOLE,)}      # the other sides: LOCOMOTION


def plan(options: argparse.Namespace) -> list[Cell]:
    """Return the cells that options ask for; whatever ends the run, the seeds are whole."""
    cells = []
    for side in options.sides or SIDES:
        for task in ON.get(side, LOCOMOTION):
            if not options.tasks or task in options.tasks:
                seeds = options.seeds or (SPARSE_SEEDS if task == CARTPOLE else SEEDS)
                cells += [Cell(task, side, seed, options.steps, min(EVERY, options.steps))
                          for seed in seeds]
    return sorted(cells, key=lambda cell: cell.seed)


def rows(run: CellFolder) -> list[dict]:
    """Return a row per task and side."""
    found: dict[tuple[str, str], list[dict]] = {}
    for cell in run.cells:
        if cell in run.found:
            found.setdefault((cell.task, cell.side), []).append(run.found[cell])
    result = []
    for (task, side), cells in found.items():
        ends = [cell['curve'][-1][1] for cell in cells]
        error = statistics.stdev(ends) / len(ends) ** 0.5 if len(ends) > 1 else None
        result.append({
            'task': task, 'side': side, 'seeds': len(ends), 'returns': ends,
            'steps': min(cell['curve'][-1][0] for cell in cells),
            'mean': statistics.mean(ends), 'standard_error': error,
            'minutes': statistics.mean(cell['cpu_seconds'] for cell in cells) / 60.0})
    return result


def claims(found: Sequence[dict]) -> list[dict]:
    """Return what is claimed of the rows that are there."""
    by = {(row['task'], row['side']): row for row in found}
    result = []
    for task, goal in WIDE_GOALS.items():
        if (task, 'wide') in by:
            result.append(at_least(f'{task}, wide: return at the end', by[task, 'wide']['mean'],
                                   goal))
        if (task, 'default') in by and (task, PEER) in by:
            result.append(at_least(f'{task}, default: return at the end, beside {PEER}',
                                   by[task, 'default']['mean'], round(by[task, PEER]['mean'])))
    if (CARTPOLE, 'explorers') in by:
        row = by[CARTPOLE, 'explorers']
        result.append(at_least(f'{CARTPOLE}, explorers: seeds that reach {SOLVED:g}',
                               sum(end >= SOLVED for end in row['returns']), row['seeds']))
    return result


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = [f'{"task":25}{"side":20}{"seeds":>5}{"steps":>9}{"at the end":>12}{"+-":>8}'
             f'{"CPU minutes":>13}   each']
    for row in result['rows']:
        error = '' if row['standard_error'] is None else f'{row["standard_error"]:.0f}'
        each = ' '.join(f'{end:.0f}' for end in row['returns'])
        lines.append(f'{row["task"]:25}{row["side"]:20}{row["seeds"]:5}{row["steps"]:9}'
                     f'{row["mean"]:12.0f}{error:>8}{row["minutes"]:13.0f}   {each}')
    lines += ['', *(f'FAILED: {cell}: {reason}' for cell, reason in result['failed'].items())]
    return '\n'.join([*lines, *verdicts(result['claims'])])


def plot(result: dict) -> bytes:
    """Return a PNG, a panel per task: return against steps, a thin line per seed."""
    from matplotlib.figure import Figure    # slow to import, and needed for the picture only
    tasks = list(dict.fromkeys(curve['task'] for curve in result['curves']))
    figure = Figure(figsize=(4.2 * max(len(tasks), 1), 3.6), dpi=130, layout='constrained')
    for task, axes in zip(tasks, figure.subplots(1, max(len(tasks), 1), squeeze=False)[0]):
        mine = [curve for curve in result['curves'] if curve['task'] == task]
        for side in dict.fromkeys(curve['side'] for curve in mine):
            color = f'C{list(SIDES).index(side)}'
            points = [curve['curve'] for curve in mine if curve['side'] == side]
            for curve in points:
                axes.plot(*zip(*curve), color=color, alpha=0.35, linewidth=0.8)
            ticks = list(zip(*points))      # the n-th measurement of every seed
            axes.plot([statistics.mean(step for step, _ in tick) for tick in ticks],
                      [statistics.mean(value for _, value in tick) for tick in ticks],
                      'o-', markersize=3, color=color, label=side)
        axes.set(title=task, xlabel='steps of the environment', ylim=(0, None))
        axes.legend(frameon=False, fontsize='small')
    figure.axes[0].set(ylabel='return, mean of greedy episodes')
    image = io.BytesIO()
    figure.savefig(image, format='png')
    return image.getvalue()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; SystemExit where they cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--tasks', nargs='+', choices=(*LOCOMOTION, CARTPOLE), metavar='NAME',
                        help='only these: ' + ', '.join((*LOCOMOTION, CARTPOLE)))
    parser.add_argument('--sides', nargs='+', choices=SIDES, metavar='NAME',
                        help='only these: ' + ', '.join(SIDES))
    parser.add_argument('--seeds', nargs='+', type=int, metavar='N',
                        help=f'only these (default: {len(SEEDS)}, {CARTPOLE} '
                        f'{len(SPARSE_SEEDS)})')
    parser.add_argument('--steps', type=int, default=STEPS, metavar='N',
                        help=f'of the environment (default {STEPS})')
    add_cells(parser, str(RUN), 'sample_efficiency.json in the run folder')
    options = parser.parse_args(arguments)
    if min(options.seeds or [0]) < 0 or options.steps < 1000:
        parser.error('--seeds: expected at least 0, --steps: at least 1000')
    options.run_dir = options.run_dir or RUN
    options.out = options.out or options.run_dir / 'sample_efficiency.json'
    return options


def described(cell: Cell, row: dict) -> str:
    """Return what a cell found, as text."""
    return f'return {row["curve"][-1][1]:.0f}, {row["wall_seconds"] / 60:.1f} min'


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    options, line = parse(arguments), ProgressLine()
    try:
        cells = plan(options)
        run = CellFolder(options.run_dir, cells, settings(cells))
        for cell in run.work(run_cell, lambda cell: None, options.workers, options.engine):
            line.show(run.told(cell, described, options.workers, lambda other: other.side),
                      final=True)
    except (KeyboardInterrupt, UserError, OSError, ValueError) as error:
        return given_up(error, options.run_dir)
    found = rows(run)
    result = {'benchmark': 'sample_efficiency', 'machine': machine(), 'rows': found,
              'versions': versions('torch', 'gymnasium', 'mujoco', 'stable-baselines3'),
              'claims': claims(found),
              'failed': run.failures,
              'curves': [{'task': cell.task, 'side': cell.side, 'seed': cell.seed,
                          **run.found[cell]} for cell in run.cells if cell in run.found]}
    print(show(result))
    return keep(result, options.out, plot)


if __name__ == '__main__':
    sys.exit(main())
