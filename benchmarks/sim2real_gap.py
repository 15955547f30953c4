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
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
import io
import json
import os
from pathlib import Path
import statistics
import sys

from robot_rl.benchmarking import keep
from robot_rl.contract import load_contract
from robot_rl.engine import ENGINES, Failure, run_cells
from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.files import write_atomic
from robot_rl.progress import bar, ProgressLine
from robot_rl.report.figures import wilson
from robot_rl.sim.explorer_run import EXPLORERS, read_result, Result, run_identity, SIM_OPTIMAL
from robot_rl.sim.gap_cells import (draw, METHODS, RobotCell, run_cell, TASK, Training,
                                    VARIANTS)
from robot_rl.sim.trial import Budget, GOAL

DRAWS, FAST_DRAWS, SWEEP_DRAWS = range(6), range(3), range(3)
SIZES = (0.0, 0.5, 1.0, 1.6)
SIM_SEEDS = 2                   # draw i meets what was trained with seed i % SIM_SEEDS
FAST = ('exploration', 'direct', 'direct_sac', 'scratch')
SWEPT = ('exploration', 'direct', 'direct_sac')
BUDGET, FAST_BUDGET = Budget(), Budget(episodes=250)
COST = {'train': 140.0, 'exploration': 75.0, 'direct': 2.0}     # s of processor time, to begin
OTHER_COST = 100.0                                              # the estimate of what is left


class Run:
    """The cells of a run, their files, and what they wait for."""

    def __init__(self, folder: Path, cells: list[RobotCell], engine: str):
        """Take up what is there; raise UserError for the folder of another run."""
        self.folder, self.engine, self.contract = folder, engine, load_contract(TASK)
        (folder / 'cells').mkdir(parents=True, exist_ok=True)
        self._check_settings(cells[0].budget)
        self.cells = cells
        self.found = {cell: self._read(self._file(cell.file)) for cell in cells
                      if self._file(cell.file).is_file()}
        self.trainings: dict[str, dict] = {}
        self.failed: dict[str, str] = {}
        self._waiting = [cell for cell in cells if cell not in self.found]
        self._left: list[str] = []      # methods of the cells to run
        self._scale: list[float] = []   # cost found over cost expected
        needs = dict.fromkeys(cell.needs for cell in cells if cell.needs)
        self._trained = [Training(*need, self._training(*need) if engine == 'processes' else '')
                         for need in needs]

    def work(self, workers: int) -> Iterator[str]:
        """Run all that is not there; yield a line of progress after each cell."""
        ready = []
        for cell in self._trained:
            found = self._artifacts(cell)
            if found:
                self.trainings[str(cell)] = self._read(self._file(cell.file))
                ready += self._freed(cell, found)
            elif any(waiting.needs == (cell.variant, cell.seed) for waiting in self._waiting):
                ready.insert(0, cell)       # long, and others wait for it
        ready += self._take(None, None)
        self._left = [cell.method for cell in (*ready, *self._waiting)]
        with closing(run_cells(run_cell, ready, workers, self.engine, self._then)) as finished:
            for cell, outcome in finished:
                self._left.remove(cell.method)
                yield self._keep(cell, outcome, workers)
        for cell in self._waiting:
            self.failed[str(cell)] = 'not run: the training that it needs has failed'

    def _then(self, cell: Training | RobotCell, outcome) -> list[RobotCell]:
        if isinstance(cell, RobotCell) or isinstance(outcome, Failure):
            return []
        return self._freed(cell, outcome[0])

    def _freed(self, training: Training, result: Result) -> list[RobotCell]:
        return self._take((training.variant, training.seed), result)

    def _take(self, need: tuple[str, int] | None, result: Result | None) -> list[RobotCell]:
        """Return the cells that wait for a training, with what it found."""
        free = [cell for cell in self._waiting if cell.needs == need]
        self._waiting = [cell for cell in self._waiting if cell.needs != need]
        return [replace(cell, simulated=result) for cell in free]

    def _keep(self, cell: Training | RobotCell, outcome, workers: int) -> str:
        if isinstance(outcome, Failure):
            self.failed[str(cell)] = outcome.reason
            return f'FAILED {cell}: {outcome.reason}'
        found, spent = outcome
        self._scale.append(spent['wall_seconds'] / COST.get(cell.method, OTHER_COST))
        if isinstance(cell, Training):
            folder = Path(self._training(cell.variant, cell.seed))
            folder.mkdir(parents=True, exist_ok=True)
            row = self.trainings[str(cell)] = {**found.summary, **spent}
            write_atomic(self._file(cell.file), json.dumps(row) + '\n')
            write_atomic(folder / SIM_OPTIMAL, found.sim_optimal)
            write_atomic(folder / EXPLORERS, found.explorers)
            text = f'success {found.summary["task_success"]:.2f}'
        else:
            row = {'method': cell.method, 'size': cell.size, 'draw': cell.index,
                   'gap': asdict(draw(cell.size, cell.index)), **asdict(found), **spent}
            write_atomic(self._file(cell.file), json.dumps(row) + '\n')
            self.found[replace(cell, simulated=None)] = row
            text = f'success {found.final.success:.2f} after {found.final.episodes} real episodes'
        left = sum(COST.get(method, OTHER_COST) for method in self._left) / workers
        done, count = len(self.found), len(self.cells)
        return (f'{bar(done / count)} {done}/{count}  ETA '
                f'{left * statistics.mean(self._scale) / 60:.0f} min  {cell}: {text}, '
                f'{spent["wall_seconds"]:.0f} s')

    def _file(self, name: str) -> Path:
        return self.folder / 'cells' / name

    def _training(self, variant: str, seed: int) -> str:
        return str(self.folder / 'training' / f'{variant}_{seed}')

    @staticmethod
    def _read(path: Path) -> dict:
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise UserError(f'{path}: expected the result of a cell, found {error}; '
                            'move it away') from None

    def _artifacts(self, training: Training) -> Result | None:
        settings = replace(VARIANTS[training.variant], seed=training.seed)
        if not self._file(training.file).is_file():
            return None
        return read_result(Path(self._training(training.variant, training.seed)), self.contract,
                           run_identity(self.contract, settings))

    def _check_settings(self, budget: Budget) -> None:
        """Hold what every cell depends on against that of the cells that are there."""
        path = self.folder / 'settings.json'
        settings = json.loads(json.dumps({
            'budget': asdict(budget), 'reward': self.contract.reward_name,
            'methods': {name: asdict(method) for name, (_, method) in METHODS.items()},
            'robots': [asdict(draw(1.0, index)) for index in DRAWS],
            'training': {variant: run_identity(self.contract, settings)
                         for variant, settings in VARIANTS.items()}}))
        if not path.is_file():
            write_atomic(path, json.dumps(settings, indent=1) + '\n')
        found = self._read(path)
        for key, value in settings.items():
            if found.get(key) != value:
                raise UserError(f'{path}: {key}: not that of this run; choose another --run-dir')


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
    parser.add_argument('--workers', type=int, default=os.cpu_count(), metavar='N',
                        help='cells at a time (default: the processors of this machine)')
    parser.add_argument('--engine', choices=ENGINES, default='processes')
    parser.add_argument('--run-dir', type=Path, help='results of the cells; what is there is not '
                        'run again (default runs/sim2real_gap_fast, or _full)')
    parser.add_argument('--methods', nargs='+', choices=METHODS, metavar='NAME',
                        help='only these: ' + ', '.join(METHODS))
    parser.add_argument('--draws', nargs='+', type=int, metavar='N', help='only these robots')
    parser.add_argument('--sizes', nargs='+', type=float, metavar='S',
                        help='only these sizes of the gap')
    parser.add_argument('--out', type=Path, help='JSON file; the plot goes beside it as PNG '
                        '(default sim2real_gap.json in the run folder; with --full in results/)')
    options = parser.parse_args(arguments)
    if min([*(options.draws or []), *(options.sizes or []), 0]) < 0 or options.workers < 1:
        parser.error('--draws, --sizes: expected at least 0, --workers: at least 1')
    name = 'full' if options.full else 'fast'
    options.run_dir = options.run_dir or Path('runs') / f'sim2real_gap_{name}'
    if not options.out:
        whole = options.full and not (options.methods or options.draws or options.sizes)
        folder = Path(__file__).parent / 'results' if whole else options.run_dir
        options.out = folder / 'sim2real_gap.json'
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    options, line = parse(arguments), ProgressLine()
    try:
        cells = plan(options.full, options.methods, options.draws, options.sizes)
        run = Run(options.run_dir, cells, options.engine)
        for text in run.work(options.workers):
            line.show(text, final=True)
    except KeyboardInterrupt:
        print(f'\ninterrupted; the same command goes on, with what is in {options.run_dir}')
        return 130
    except (UserError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    rows, budget = summarise(run.cells, run.found), run.cells[0].budget
    result = {'benchmark': 'sim2real_gap', 'full': options.full, 'budget': asdict(budget),
              'claims': check(rows, budget.episodes), 'failed': run.failed, 'rows': rows,
              'trainings': run.trainings,
              'trials': [run.found[cell] for cell in run.cells if cell in run.found]}
    print(show(result))
    return keep(result, options.out, plot)


if __name__ == '__main__':
    sys.exit(main())
