"""Few demonstrations: the demonstrator's posterior beside clones, and what RL makes of them.

Tasks: puck_push with its scripted demonstrator, on a robot with a declared gap from the world that
it was recorded in; push_t with human demonstrations, where success is the share of the goal that
people leave covered. Every method is a diffusion policy of the same size, fitted to the same
demonstrations:

    bc                  behavioural cloning: the fit of postbc with alpha = 0
    sigma_bc            learns the same noise on every action: 0.1 of its standard deviation
    postbc              clones, with latents for what the demonstrations leave open, scaled by
                        held-out coverage; they rest while it acts, steering may move them
    postbc_members_3    an ensemble of 3 in place of 10
    noise               learns noise of the posterior's variance, scaled by held-out coverage
    noise_alpha_1       of that variance as it is (arXiv 2512.16911)
    noise_full          with what the numbers of a chunk share
    noise_noised        the ensemble sees noise on its targets in place of bootstraps
    noise_members_3     an ensemble of 3
    noise_constant      as sigma_bc, scaled by held-out coverage
    noise_long          noise with twice the width and some four times the updates
    bc_long             cloning so

Fine-tuners, with the demonstrations in the replay buffer: `steer` learns the latent noise (arXiv
2506.15799), `full` starts SAC in action space as the policy acts and holds it there while the
critics know little (arXiv 1803.03835); four updates per robot step, compiled.
Pretrained success is of sampled plans, in fresh episodes on the robot. Coverage is of actions in
demonstrations that no fit has seen. Robot steps to 0.9: until the first of two measurements in a
row, 50 episodes each of the greedy policy, which reach it; measurements are not counted. A seed
decides which demonstrations a fit gets, the same for all methods. Each cell is one JSON file in
the run folder, so what was killed goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
import io
from math import inf
from pathlib import Path
import statistics
import sys

from robot_rl.benchmarking import add_cells, given_up, keep
from robot_rl.cell_folder import CellFolder, run_cell
from robot_rl.errors import UserError
from robot_rl.fit_run import data_digest
from robot_rl.learning.calibration import LEVELS
from robot_rl.progress import ProgressLine
from robot_rl.sim.posterior_cells import (
    ALL, chosen, CLONE, contract_of, demonstrations, FEW, FitCell, METHODS, POSTERIOR,
    SAC, TASKS, TuneCell, TUNERS)
from robot_rl.sim.posterior_rows import check, named, share, summarise
from robot_rl.sim.trial import Budget, GOAL

MAIN = (CLONE, 'sigma_bc', POSTERIOR)
DEMOS, FAST_DEMOS = (*FEW, ALL), (10,)
ABLATED = 10                    # demonstrations of the other methods
SEEDS, FAST_SEEDS = range(5), range(2)
MEASURED, FAST_MEASURED = 100, 50
FAST_BUDGET = Budget(episodes=20, period=5, measured=30, final=50)


def plan(options: argparse.Namespace) -> list[FitCell | TuneCell]:
    """Return the cells that options ask for; whatever ends the run, the seeds are whole."""
    full, cells = options.full, []
    measured = MEASURED if full else FAST_MEASURED
    methods = list(options.methods or (METHODS if full else MAIN))
    if CLONE in methods and POSTERIOR not in methods:   # whose fit it is made of
        methods.append(POSTERIOR)
    for seed in options.seeds or (SEEDS if full else FAST_SEEDS):
        for task in options.tasks or (TASKS if full else ['puck_push']):
            for demos in options.demos or (DEMOS if full else FAST_DEMOS):
                for method in methods:
                    if method not in MAIN and demos != ABLATED:
                        continue
                    tuners = list(TUNERS) if full and method in MAIN else ['steer']
                    tuners = tuners if options.tuners is None else options.tuners
                    fit = FitCell(task, method, demos, seed, measured)
                    cells += [fit, *(TuneCell(fit, tuner, budget(task, full))
                                     for tuner in tuners)]
    return cells


def budget(task: str, full: bool) -> Budget:
    """Return what a fine-tuning may take."""
    return TASKS[task].budget if full else FAST_BUDGET


def settings(cells: Sequence[FitCell | TuneCell], recorded, full: bool) -> dict[str, dict]:
    """Return what the results of each task depend on, beside what names a cell."""
    found = {}
    for cell in (cell for cell in cells if isinstance(cell, FitCell)):
        contract = contract_of(cell.task)
        found.setdefault(cell.task, {
            'measured': cell.measured, 'reward': contract.reward_name,
            'success': contract.success_name, 'gap': asdict(TASKS[cell.task].gap),
            'demonstrations': data_digest(recorded(cell.task)),
            'methods': {name: asdict(config) for name, config in METHODS.items()},
            'tuners': {name: asdict(tuner) for name, tuner in TUNERS.items()},
            'sac': asdict(SAC), 'budget': asdict(budget(cell.task, full))})
    return found


def show(result: dict) -> str:
    """Return a result as text."""
    table = '{:10}{:>6}  {:18}{:>7}{:>9}{:>15}{:>6}{:>7}' + '{:>6}' * len(LEVELS) + '{:>9}'
    lines = ['Fitted: success on the robot, and share of held-out actions in the regions', '',
             table.format('task', 'demos', 'method', 'seeds', 'success', '95 %', 'n', 'alpha',
                          *(f'{100 * level:.0f} %' for level in LEVELS), 'minutes')]
    lines += [table.format(
        row['task'], row['demos'] or 'all', row['method'], row['seeds'], f'{row["success"]:.2f}',
        '{:.2f} to {:.2f}'.format(*row['interval']), row['measured'], f'{row["alpha"]:.2f}',
        *(f'{held:.2f}' for held in row['covered']), f'{row["wall_seconds"] / 60:.1f}')
        for row in result['fits']]
    table = '{:10}{:>6}  {:18}{:8}{:>7}{:>8}{:>7}{:>13}{:>20}{:>9}'
    lines += ['', f'Fine-tuned: robot steps to {GOAL}, median over seeds', '',
              table.format('task', 'demos', 'method', 'tuner', 'before', 'solved', 'after',
                           'robot steps', '90 %', 'minutes')]
    for row in result['tunes']:
        never = f'> {row["spent"]}'
        steps, low, high = (never if value is None else f'{value:g}'
                            for value in (row['median'], *row['interval']))
        lines.append(table.format(
            row['task'], row['demos'] or 'all', row['method'], row['tuner'], f'{row["base"]:.2f}',
            f'{row["solved"]}/{row["seeds"]}', f'{row["success"]:.2f}', steps, f'{low} to {high}',
            f'{row["wall_seconds"] / 60:.1f}'))
    lines += ['', *(f'FAILED: {cell}: {reason}' for cell, reason in result['failed'].items())]
    return '\n'.join(lines + ['{}: {claim}: {value}, goal {goal}'.format(
        'holds' if claim['holds'] else 'MISSED', **claim) for claim in result['claims']])


def plot(result: dict) -> bytes:
    """Return a PNG, a row per task: success before, regions, and success while steering."""
    from matplotlib.figure import Figure    # slow to import, and needed for the picture only
    tasks = list(dict.fromkeys(row['task'] for row in result['fits']))
    figure = Figure(figsize=(13, 4.2 * max(len(tasks), 1)), dpi=130, layout='constrained')
    image = io.BytesIO()
    for task, axes in zip(tasks, figure.subplots(max(len(tasks), 1), 3, squeeze=False)):
        _plot_fits(axes[0], axes[1], [row for row in result['fits'] if row['task'] == task])
        _plot_curves(axes[2], [trial for trial in result['trials']
                               if trial['task'] == task and trial.get('tuner') == 'steer'])
    figure.savefig(image, format='png')
    return image.getvalue()


def _plot_fits(before, regions, rows: list[dict]) -> None:
    counts = sorted({row['demos'] for row in rows}, key=lambda demos: demos or inf)
    fewest = 10 if 10 in counts else counts[0]
    for method in dict.fromkeys(row['method'] for row in rows):
        mine = sorted((row for row in rows if row['method'] == method),
                      key=lambda row: counts.index(row['demos']))
        look = {'color': f'C{list(METHODS).index(method)}', 'label': method}
        errors = [[abs(row['interval'][side] - row['success']) for row in mine]
                  for side in (0, 1)]
        aside = 0.05 * list(METHODS).index(method)
        before.errorbar([counts.index(row['demos']) + aside for row in mine],
                        [row['success'] for row in mine], errors, fmt='o-', capsize=3, **look)
        for row in (row for row in mine if row['demos'] == fewest):
            regions.plot(LEVELS, row['covered'], 'o-', **look)
    before.set(xlabel='demonstrations', ylabel='pretrained success (95 %)', ylim=(-0.04, 1.04),
               title=rows[0]['task'])
    before.set_xticks(range(len(counts)), [str(demos or 'all') for demos in counts])
    before.legend(frameon=False, fontsize='small')
    regions.plot([0, 1], [0, 1], color='0.6', linestyle=':')
    regions.set(xlabel='probability of the region', ylabel='held-out actions in it',
                xlim=(0.45, 1), ylim=(0, 1.02), title=f'{fewest or "all"} demonstrations')


def _plot_curves(axes, trials: list[dict]) -> None:
    """Draw the mean over seeds; a curve that ended early stays where it was."""
    counts = sorted({trial['demos'] for trial in trials}, key=lambda demos: demos or inf)
    shown = 10 if 10 in counts else next(iter(counts), ALL)
    trials = [trial for trial in trials if trial['demos'] == shown]
    for method in dict.fromkeys(trial['method'] for trial in trials):
        curves = [trial['curve'] for trial in trials if trial['method'] == method]
        longest = max(curves, key=len)
        axes.plot([point['episodes'] for point in longest],
                  [statistics.mean(share(curve[min(tick, len(curve) - 1)]) for curve in curves)
                   for tick in range(len(longest))],
                  color=f'C{list(METHODS).index(method)}', label=method)
    axes.axhline(GOAL, color='0.5', linewidth=0.8)
    axes.set(xlabel='episodes on the robot', ylabel='success of the greedy policy',
             ylim=(-0.04, 1.04), title=f'steered, {shown or "all"} demonstrations')


def count(text: str) -> int:
    """Return a number of demonstrations, ALL for the word; ValueError for what is neither."""
    number = ALL if text == 'all' else int(text)
    if number < 2 and text != 'all':
        raise ValueError
    return number


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; SystemExit where they cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--full', action='store_true',
                        help='both tasks, every method, 5, 10, 25 and all demonstrations, both '
                        'tuners, 5 seeds, instead of puck_push, '
                        f'{", ".join(MAIN)}, 10 demonstrations, steer, 2 seeds and short trials')
    parser.add_argument('--pusht', type=Path, metavar='FILE',
                        help='the human demonstrations of push_t, .npz')
    parser.add_argument('--tasks', nargs='+', choices=TASKS, help='only these')
    parser.add_argument('--methods', nargs='+', choices=METHODS, metavar='NAME',
                        help='only these: ' + ', '.join(METHODS))
    parser.add_argument('--demos', nargs='+', type=count, metavar='N',
                        help='only so many demonstrations; all: the word')
    parser.add_argument('--tuners', nargs='*', choices=TUNERS, metavar='NAME',
                        help='only these, or none: ' + ', '.join(TUNERS))
    parser.add_argument('--seeds', nargs='+', type=int, metavar='N', help='only these')
    add_cells(parser, 'runs/posterior_fast, or _full',
              'posterior.json in the run folder; with --full in results/')
    options = parser.parse_args(arguments)
    if min(options.seeds or [0]) < 0:
        parser.error('--seeds: expected at least 0')
    chosen_tasks = options.tasks or (TASKS if options.full else ())
    if 'push_t' in chosen_tasks and not options.pusht:
        parser.error('--pusht: expected the file of the human demonstrations, or --tasks '
                     'puck_push')
    name = 'full' if options.full else 'fast'
    options.run_dir = options.run_dir or Path('runs') / f'posterior_{name}'
    if not options.out:
        parts = (options.tasks, options.methods, options.demos, options.tuners, options.seeds)
        whole = options.full and all(part is None for part in parts)
        folder = Path(__file__).parent / 'results' if whole else options.run_dir
        options.out = folder / 'posterior.json'
    return options


def described(cell: FitCell | TuneCell, row: dict) -> str:
    """Return what a cell found, as text."""
    if isinstance(cell, FitCell):
        text = f'success {row["successes"] / row["measured"]:.2f}'
    else:
        text = (f'success {share(row["curve"][0]):.2f} to {share(row["final"]):.2f} in '
                f'{row["final"]["steps"]} robot steps')
    return f'{text}, {row["wall_seconds"]:.0f} s'


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    options, line = parse(arguments), ProgressLine()
    recorded = cache(lambda task: demonstrations(task, options.pusht))
    try:
        cells = plan(options)
        run = CellFolder(options.run_dir, cells, settings(cells, recorded, options.full))

        def taught(cell: FitCell | TuneCell):
            fit = cell if isinstance(cell, FitCell) else cell.needs
            return chosen(recorded(fit.task), fit.demos, fit.seed)

        for cell in run.work(run_cell, taught, options.workers, options.engine):
            line.show(run.told(cell, described, options.workers, lambda other: other.kind),
                      final=True)
    except (KeyboardInterrupt, UserError, OSError, ValueError) as error:
        return given_up(error, options.run_dir)
    fits, tunes = summarise(run)
    result = {'benchmark': 'posterior', 'full': options.full,
              'claims': check(run, fits, tunes), 'fits': fits, 'tunes': tunes,
              'failed': run.failures,
              'trials': [{**named(cell), **run.found[cell]} for cell in run.cells
                         if cell in run.found]}
    print(show(result))
    return keep(result, options.out, plot)


if __name__ == '__main__':
    sys.exit(main())
