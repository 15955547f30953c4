"""What the cells of the benchmark posterior come to: rows over their seeds, and claims."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, hypot, inf, isinf, sqrt
import statistics

from robot_rl.cell_folder import CellFolder
from robot_rl.intervals import wilson
from robot_rl.learning.calibration import LEVELS
from robot_rl.sim.posterior_cells import ALL, FEW, FitCell, TuneCell
from robot_rl.sim.trial import GOAL

OF_BC, OF_SIGMA_BC = 0.5, 0.8   # share of their robot steps that postbc may take
IMPERFECT = (0.2, 0.5)          # success of a base that steering is to repair
STEPS, EPISODES, MINUTES = 4000, 40, 30     # it has for that


def summarise(run: CellFolder) -> tuple[list[dict], list[dict]]:
    """Return a row per task, number of demonstrations and method, and one per tuner of each."""
    fits, tunes = {}, {}
    for cell in run.cells:
        name = named(cell)
        name.pop('seed')
        rows = (fits if isinstance(cell, FitCell) else tunes).setdefault(
            tuple(name.values()), (name, []))[1]
        rows.append(run.found.get(cell))
    return ([{**name, **fitted(found)} for name, rows in fits.values()
             if (found := [row for row in rows if row])],
            [{**name, **tuned(rows)} for name, rows in tunes.values() if any(rows)])


def named(cell: FitCell | TuneCell) -> dict:
    """Return which cell a result is of."""
    fit = cell if isinstance(cell, FitCell) else cell.needs
    found = {'task': fit.task, 'method': fit.method, 'demos': fit.demos, 'seed': fit.seed}
    return found if cell is fit else {**found, 'tuner': cell.tuner}


def fitted(rows: list[dict]) -> dict:
    """Return what the fits of several seeds come to."""
    successes, measured = (sum(row[key] for row in rows) for key in ('successes', 'measured'))
    rates = [row['successes'] / row['measured'] for row in rows]
    return {'seeds': len(rows), 'success': successes / measured, 'measured': measured,
            'interval': wilson(successes, measured),
            'standard_error': standard_error(rates, rows[0]['measured']),
            'covered': [statistics.mean(shares) for shares in zip(*(
                row['covered'] for row in rows))],
            'alpha': statistics.mean(row['alpha'] for row in rows),
            'wall_seconds': statistics.mean(row['wall_seconds'] for row in rows)}


def tuned(rows: list[dict | None]) -> dict:
    """Return what the fine-tunings of several seeds come to; one that failed does not solve."""
    found = [row for row in rows if row]
    steps = [steps_to_goal(row) if row else inf for row in rows]
    unsolved = [row['final']['steps'] for row in found if isinf(steps_to_goal(row))]
    low, high = median_interval(steps)
    return {'seeds': len(rows), 'solved': sum(not isinf(value) for value in steps),
            'steps': [_finite(value) for value in sorted(steps)],
            'median': _finite(statistics.median(steps)),
            'interval': [_finite(low), _finite(high)],
            'spent': min(unsolved, default=0),      # that did not suffice
            'base': statistics.mean(share(row['curve'][0]) for row in found),
            'success': statistics.mean(share(row['final']) for row in found),
            'wall_seconds': statistics.mean(row['wall_seconds'] for row in found)}


def steps_to_goal(row: dict) -> float:
    """Return the robot's steps until two measurements in a row come to GOAL, inf where none do."""
    points = [*row['curve'], row['final']]
    shares = [point['successes'] / point['measured'] for point in points]
    return next((point['steps'] for point, now, then in zip(points, shares, shares[1:])
                 if min(now, then) >= GOAL), inf)


def share(point: dict) -> float:
    """Return the success of a measurement."""
    return point['successes'] / point['measured']


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return order statistics around the median, with 90 % confidence where there are 5 or more.

    The median lies outside the i-th smallest and largest of n with chance 2 P(Bin(n, 1/2) < i).
    """
    values, count = sorted(values), len(values)
    tails = [2 * sum(comb(count, less) for less in range(rank + 1)) / 2 ** count
             for rank in range(count)]
    rank = max((rank for rank in range((count + 1) // 2) if tails[rank] <= 0.1), default=0)
    return values[rank], values[-1 - rank]


def standard_error(rates: Sequence[float], measured: int) -> float:
    """Return that of the mean over seeds; of one seed, that of its episodes."""
    if len(rates) == 1:
        return sqrt(rates[0] * (1.0 - rates[0]) / measured)
    return statistics.stdev(rates) / sqrt(len(rates))


def _finite(value: float) -> float | None:
    return None if isinf(value) else value          # JSON knows no infinity


def check(run: CellFolder, fits: list[dict], tunes: list[dict]) -> list[dict]:
    """Return each claim with its value, its goal, and whether it holds."""
    by_fit = {(row['task'], row['demos'], row['method']): row for row in fits}
    by_tune = {(row['task'], row['demos'], row['method'], row['tuner']): row for row in tunes}
    claims = []

    def claim(text: str, value: str, goal: str, holds: bool) -> None:
        claims.append({'claim': text, 'value': value, 'goal': goal, 'holds': bool(holds)})

    for (task, demos, method), post in by_fit.items():
        bc = by_fit.get((task, demos, 'bc'))
        if method != 'postbc' or not bc:
            continue
        where, error = _where(task, demos), bc['standard_error']
        claim(f'{where}: pretrained success of postbc, not below bc',
              f'{post["success"]:.2f}', f'>= {bc["success"]:.2f} - {error:.2f}',
              post['success'] >= bc['success'] - error)
        if demos == ALL:
            most = 2.0 * hypot(error, post['standard_error'])
            apart = abs(post['success'] - bc['success'])
            claim(f'{where}: pretrained success coincides', f'{apart:.2f} apart',
                  f'<= {most:.2f}, two standard errors', apart <= most)
        found, cloned = (row['covered'][LEVELS.index(0.9)] for row in (post, bc))
        claim(f'{where}: actions in the 90 % regions', f'{found:.2f}, of bc {cloned:.2f}',
              '0.85 to 0.95, of bc less', 0.85 <= found <= 0.95 and cloned < 0.85)
    for (task, demos, method, tuner), post in by_tune.items():
        for other, most in (('bc', OF_BC), ('sigma_bc', OF_SIGMA_BC)):
            row = by_tune.get((task, demos, other, tuner))
            if method == 'postbc' and demos in FEW and row:
                claim(f'{_where(task, demos)}, {tuner}: robot steps to {GOAL}, of those of '
                      f'{other}', *ratio(post, row, most))
    repaired = [steps_in_time(row) for cell, row in run.found.items()
                if isinstance(cell, TuneCell) and cell.tuner == 'steer'
                and cell.needs.method == 'postbc' and cell.needs.task == 'puck_push'
                and IMPERFECT[0] <= share(row['curve'][0]) <= IMPERFECT[1]]
    if repaired:
        claim(f'puck_push: steering takes a base of {IMPERFECT[0]} to {IMPERFECT[1]} to {GOAL} '
              f'within {STEPS} robot steps or {EPISODES} episodes, and {MINUTES} minutes',
              f'{sum(repaired)} of {len(repaired)}', 'all', all(repaired))
    return claims


def ratio(post: dict, other: dict, most: float) -> tuple[str, str, bool]:
    """Return the ratio of two medians as value, goal and verdict; what never came took longer."""
    if post['median'] is None:
        return f'never in {post["spent"]}', f'<= {most}', False
    bound = '<= ' if other['median'] is None else ''
    steps = other['spent'] if bound else other['median']
    if not steps:
        return f'{post["median"]:g} of 0 steps', f'<= {most}', not post['median']
    return f'{bound}{post["median"] / steps:.2f}', f'<= {most}', post['median'] <= most * steps


def steps_in_time(row: dict) -> bool:
    """Tell whether a fine-tuning came to GOAL within the robot's and our time."""
    steps = steps_to_goal(row)
    episodes = next((point['episodes'] for point in row['curve'] if point['steps'] == steps), inf)
    return (steps <= STEPS or episodes <= EPISODES) and row['wall_seconds'] <= 60 * MINUTES


def _where(task: str, demos: int) -> str:
    return f'{task}, {demos or "all"} demonstrations'
