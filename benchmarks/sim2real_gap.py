"""A wrong simulator: exploration policies transferred from it, beside its optimal policy.

Task: puck_push with the sparse reward. The simulator is the model file and trains on a shaped
reward; the "real" robots are draws of a declared gap from it, which no method is told. What each
method does with the same simulator steps and the same real episodes:

    exploration     explorers of the simulator act on the robot, SAC learns from what they saw
    direct          the sim-optimal policy, greedy, no learning
    direct_sac      SAC from the sim-optimal actor
    direct_sac_rare the same with rare actor updates, 1 per 20 of the critics (arXiv 2602.20220)
    randomised_sac  as direct_sac, from a policy of random friction, mass, limits and latency
    scratch         SAC from nothing, zeta-greedy
    no_*            exploration without: diversity bonus, gate, selection, random tail

A method solves a draw when its greedy policy reaches 0.9 in a measurement of 50 fresh episodes
within the budget of real episodes. Measurements are not counted in the budget. Real minutes are
control steps at the robot's rate, without resets. Each cell is one JSON file in the run folder,
so what was killed goes on where it was.

The gap is one that robots have: a tool mounted some centimetres off, beside friction, mass,
limits and latency that differ. Without the tool the sim-optimal policy transfers: the others
alone hardly hurt a policy that sees where peg and puck are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
import io
from pathlib import Path
import statistics
import sys

from robot_rl.benchmarking import add_cells, given_up, keep
from robot_rl.cell_folder import CellFolder, run_cell
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.progress import ProgressLine
from robot_rl.report.figures import wilson
from robot_rl.sim.explorer_run import run_identity
from robot_rl.sim.gap_cells import draw, METHODS, RobotCell, TASK, Training, VARIANTS
from robot_rl.sim.trial import Budget, GOAL

DRAWS, FAST_DRAWS, SWEEP_DRAWS = range(6), range(3), range(3)
SIZES = (0.0, 0.5, 1.0, 1.6)
SIM_SEEDS = 2                   # draw i meets what was trained with seed i % SIM_SEEDS
FAST = ('exploration', 'direct', 'direct_sac', 'scratch')
SWEPT = ('exploration', 'direct', 'direct_sac')
BUDGET, FAST_BUDGET = Budget(), Budget(episodes=250)


def settings(cells: Sequence[RobotCell]) -> dict[str, dict]:
    """Return what the results depend on, beside what names a cell."""
    contract = load_contract(TASK)
    return {TASK: {
        'budget': asdict(cells[0].budget), 'reward': contract.reward_name,
        'methods': {name: asdict(method) for name, (_, method) in METHODS.items()},
        'robots': [asdict(draw(1.0, index)) for index in DRAWS],
        'training': {variant: run_identity(contract, found)
                     for variant, found in VARIANTS.items()}}}


def summarise(cells: list[RobotCell], found: dict[RobotCell, dict]) -> list[dict]:
    """Return a row per size and method, over its draws; a draw whose cell failed is not solved."""
    rows = []
    for size, method in dict.fromkeys((cell.size, cell.method) for cell in cells):
        planned = [cell for cell in cells if (cell.size, cell.method) == (size, method)]
        trials = [found[cell] for cell in planned if cell in found]
        if not trials:
            continue
        reached = [trial['reached'] for trial in trials if trial['reached']]
        successes = sum(trial['final']['successes'] for trial in trials)
        measured = sum(trial['final']['measured'] for trial in trials)
        explored = sum(trial['explored'] for trial in trials)
        rows.append({
            'size': size, 'method': method, 'solved': len(reached), 'draws': len(planned),
            'success': successes / measured, 'measured': measured,
            'interval': wilson(successes, measured),
            'episodes': sorted(point['episodes'] for point in reached),
            'minutes': sorted(point['minutes'] for point in reached),
            'explorers': sum(trial['explorer_successes'] for trial in trials) / explored
            if explored else None,
            'wall_seconds': statistics.mean(trial['wall_seconds'] for trial in trials),
            'cpu_seconds': statistics.mean(trial['cpu_seconds'] for trial in trials)})
    return rows


def check(rows: list[dict], budget: int) -> list[dict]:
    """Return each claim with its value, its goal, and whether it holds."""
    claims = []
    for row in (row for row in rows if row['size'] == 1.0):
        few = row['draws'] // 6
        goal, holds = {
            'exploration': (f'= {row["draws"]}', row['solved'] == row['draws']),
            'direct': (f'<= {few}', row['solved'] <= few),
            'direct_sac': (f'<= {few}', row['solved'] <= few)}.get(row['method'], ('', True))
        if goal:
            claims.append({'claim': f'{row["method"]}: draws of {row["draws"]} with success '
                           f'{GOAL} within {budget} real episodes', 'value': row['solved'],
                           'goal': goal, 'holds': holds})
    return claims


def show(result: dict) -> str:
    """Return a result as text."""
    table = '{:>5}  {:15}{:>7}{:>9}{:>15}{:>6}{:>18}{:>16}{:>11}{:>10}'
    lines = [table.format('gap', 'method', 'solved', 'success', '95 %', 'n', 'real episodes',
                          'real minutes', 'explorers', 'wall min'),
             table.format('', '', '', '', '', '', f'to {GOAL}, median', 'median', 'succeed',
                          'a trial')]
    for row in result['rows']:
        low, high = row['interval']
        episodes, minutes = row['episodes'], row['minutes']
        lines.append(table.format(
            f'{row["size"]:g}', row['method'], f'{row["solved"]}/{row["draws"]}',
            f'{row["success"]:.2f}', f'{low:.2f} to {high:.2f}', row['measured'],
            f'{statistics.median(episodes):g} (to {episodes[-1]})' if episodes else 'never',
            f'{statistics.median(minutes):.1f} (to {minutes[-1]:.1f})' if minutes else '',
            f'{row["explorers"]:.2f}' if row['explorers'] is not None else '',
            f'{row["wall_seconds"] / 60:.1f}'))
    lines += ['', *(
        f'{name}: {found["wall_seconds"] / 60:.1f} min; in the simulator the sim-optimal policy '
        f'succeeds in {found["task_success"]:.2f}, the explorers with tails in '
        f'{found["success"]:.2f}, {found["cells"]} cells'
        for name, found in result['trainings'].items())]
    lines += ['', *(f'FAILED: {cell}: {reason}' for cell, reason in result['failed'].items())]
    return '\n'.join(lines + ['{}: {claim}: {value}, goal {goal}'.format(
        'holds' if claim['holds'] else 'MISSED', **claim) for claim in result['claims']])


def plot(result: dict) -> bytes:
    """Return a PNG: success over real episodes at size 1, and at the end against the size."""
    from matplotlib.figure import Figure    # slow to import, and needed for the picture only
    figure, image = Figure(figsize=(10, 4.2), dpi=150, layout='constrained'), io.BytesIO()
    left, right = figure.subplots(1, 2, sharey=True)
    methods = list(dict.fromkeys(row['method'] for row in result['rows']))
    for method in methods:
        look = {'color': f'C{list(METHODS).index(method)}', 'label': method}
        curves = [trial['curve'] for trial in result['trials']
                  if (trial['method'], trial['size']) == (method, 1.0) and len(trial['curve']) > 1]
        shares = [[point['successes'] / point['measured'] for point in curve] for curve in curves]
        for curve, share in zip(curves, shares):
            left.plot([point['episodes'] for point in curve], share, lw=0.6, alpha=0.3,
                      color=look['color'])
        if curves:          # a curve that ended early was solved: it stays where it was
            ticks = [point['episodes'] for point in max(curves, key=len)]
            left.plot(ticks, [statistics.mean(share[min(tick, len(share) - 1)]
                                              for share in shares) for tick in range(len(ticks))],
                      lw=2, **look)
        rows = sorted((row for row in result['rows'] if row['method'] == method),
                      key=lambda row: row['size'])
        errors = [[abs(row['interval'][side] - row['success']) for row in rows]
                  for side in (0, 1)]
        right.errorbar([row['size'] for row in rows], [row['success'] for row in rows], errors,
                       fmt='o-', capsize=3, **look)
    left.axhline(GOAL, color='0.5', linewidth=0.8)
    left.set(xlabel='real episodes', ylabel='success of the greedy policy',
             title='size 1: mean, and every draw', ylim=(-0.04, 1.04))
    right.set(xlabel='size of the gap', title='after the budget (95 % interval)')
    right.legend(frameon=False, fontsize='small')
    figure.savefig(image, format='png')
    return image.getvalue()


def plan(full: bool, methods: list[str] | None = None, draws: list[int] | None = None,
         sizes: list[float] | None = None) -> list[RobotCell]:
    """Return the cells of a setting, without the simulator's."""
    budget, seeds = (BUDGET, SIM_SEEDS) if full else (FAST_BUDGET, 1)
    chosen = methods or (list(METHODS) if full else FAST)
    sizes = sizes or (SIZES if full else (1.0,))
    cells = [RobotCell(method, 1.0, index, seeds, budget) for index in
             draws or (DRAWS if full else FAST_DRAWS) for method in chosen if 1.0 in sizes]
    return cells + [RobotCell(method, size, index, seeds, budget)
                    for size in sizes if size != 1.0
                    for index in draws or SWEEP_DRAWS for method in chosen if method in SWEPT]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; SystemExit where they cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--full', action='store_true',
                        help='every method, 6 draws and 4 sizes of the gap, instead of '
                        f'{", ".join(FAST)} on 3 draws of size 1')
    parser.add_argument('--methods', nargs='+', choices=METHODS, metavar='NAME',
                        help='only these: ' + ', '.join(METHODS))
    parser.add_argument('--draws', nargs='+', type=int, metavar='N', help='only these robots')
    parser.add_argument('--sizes', nargs='+', type=float, metavar='S',
                        help='only these sizes of the gap')
    add_cells(parser, 'runs/sim2real_gap_fast, or _full',
              'sim2real_gap.json in the run folder; with --full in results/')
    options = parser.parse_args(arguments)
    if min([*(options.draws or []), *(options.sizes or []), 0]) < 0:
        parser.error('--draws, --sizes: expected at least 0')
    name = 'full' if options.full else 'fast'
    options.run_dir = options.run_dir or Path('runs') / f'sim2real_gap_{name}'
    if not options.out:
        whole = options.full and not (options.methods or options.draws or options.sizes)
        folder = Path(__file__).parent / 'results' if whole else options.run_dir
        options.out = folder / 'sim2real_gap.json'
    return options


def described(cell: Training | RobotCell, row: dict) -> str:
    """Return what a cell found, as text."""
    if isinstance(cell, Training):
        text = f'success {row["task_success"]:.2f}'
    else:
        final = row['final']
        text = (f'success {final["successes"] / final["measured"]:.2f} after '
                f'{final["episodes"]} real episodes')
    return f'{text}, {row["wall_seconds"]:.0f} s'


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    options, line = parse(arguments), ProgressLine()

    def folder(cell: Training | RobotCell) -> str:      # which other machines do not share
        shared = isinstance(cell, Training) and options.engine == 'processes'
        return str(options.run_dir / 'training' / cell.file) if shared else ''

    try:
        cells = plan(options.full, options.methods, options.draws, options.sizes)
        trainings = [needed for needed in dict.fromkeys(cell.needs for cell in cells) if needed]
        run = CellFolder(options.run_dir, [*trainings, *cells], settings(cells))
        for cell in run.work(run_cell, folder, options.workers, options.engine):
            line.show(run.told(cell, described, options.workers, lambda other: other.method),
                      final=True)
    except (KeyboardInterrupt, UserError, OSError, ValueError) as error:
        return given_up(error, options.run_dir)
    rows, budget = summarise(cells, run.found), cells[0].budget
    result = {'benchmark': 'sim2real_gap', 'full': options.full, 'budget': asdict(budget),
              'claims': check(rows, budget.episodes), 'failed': run.failures, 'rows': rows,
              'trainings': {str(cell): run.found[cell] for cell in trainings
                            if cell in run.found},
              'trials': [run.found[cell] for cell in cells if cell in run.found]}
    print(show(result))
    return keep(result, options.out, plot)


if __name__ == '__main__':
    sys.exit(main())
