"""Several runs beside each other: one page with their success and how they ended."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from robot_rl.data.episode import SOURCES
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.intervals import wilson
from robot_rl.report.charts import Chart, new_figure
from robot_rl.report.episodes import Episode
from robot_rl.report.figures import draw_curve, TRAINING_STEPS
from robot_rl.report.page import beside, contents, drawing, inline, number, PAGE, page, table, text
from robot_rl.report.run import write_run
from robot_rl.run_folder import WINDOW
from robot_rl.terminal import aligned

MOST = 10       # runs in one picture: so many colours can be told apart
COLUMNS = ('run', 'success at the end', 'n', 'episodes', 'robot steps', 'training steps to target',
           'updates', 'kept', 'stops', 'taken over')


def write_comparison(run_dirs: list[Path], path: Path) -> list[str]:
    """Write the report of every run, and one page that compares them; return its table as text.

    Raises UserError where a folder is no run, or there are more than a picture can tell apart.
    """
    if len(run_dirs) > MOST:
        raise UserError(f'expected at most {MOST} runs to compare, found {len(run_dirs)}')
    runs = []
    for run_dir, name in zip(run_dirs, short_names(run_dirs)):
        report, episodes = write_run(run_dir)
        runs.append((run_dir, name, report, episodes))
    with drawing():
        chart = compared([(name, episodes) for _, name, _, episodes in runs])
        picture = inline(chart) if chart.figure else ''
    rows = [row(name, report) for _, name, report, _ in runs]
    linked = [[_link(run_dir, path.parent, name), *map(text, cells[1:])]
              for (run_dir, name, _, _), cells in zip(runs, rows)]
    sections = [('success', chart.title, f'<p>{text(chart.says)}</p>{picture}'),
                ('figures', 'End figures', table([COLUMNS, *linked]))]
    hashes = {report['contract_hash'] for _, _, report, _ in runs}
    odd = [] if len(hashes) == 1 else ['<p class="bad">These runs are of different contracts: '
                                       'their successes may mean different things.</p>']
    title = f'{len(runs)} runs'
    write_atomic(path, page(title, [f'<h1>{title}</h1>', *odd, contents(sections)], sections))
    return aligned([COLUMNS, *rows])


def compared(runs: list[tuple[str, list[Episode]]]) -> Chart:
    """Draw success while learning against training steps, one colour per run."""
    title, figure = 'Success against training steps', None
    counts = []
    for place, (name, episodes) in enumerate(runs):
        steps, points = 0, []
        for one in episodes:
            if not one.learned_from:
                continue
            steps += one.steps
            if SOURCES.get(one.mode) == 'online' and not one.left_out:
                points.append((steps, one.success))
        counts.append(f'{name} {len(points)}')
        if points:
            if figure is None:
                figure, axes = new_figure(height=4.2)
            draw_curve(axes, points, name, f'C{place}')
    if figure is None:
        return Chart('compared', title, 'No run has an episode of a learner.')
    axes.set(xlabel=TRAINING_STEPS, ylabel='success rate', ylim=(-0.03, 1.03))
    figure.legend(loc='outside upper center', ncols=3, frameon=False)
    return Chart('compared', title, f'Share of the last {WINDOW} episodes of the learner that '
                 'succeeded, with its 95 % Wilson band; what was stopped counts neither way. '
                 'n, episodes: ' + ', '.join(counts) + '.', figure)


def row(name: str, report: dict) -> list[str]:
    """Return what a table says of a run."""
    count, out = report['evaluation_episodes'][1], report['evaluation_left_out']
    low, high = wilson(round((report['success_final'] or 0.0) * count), count)
    reached = report['reached'] if isinstance(report['reached'], dict) else {}
    final = f'{report["success_final"]:.0%} ({low:.0%} to {high:.0%})' if count else '–'
    return [name, final, beside(str(count), out), number(report['episodes']),
            number(report['robot_steps']), number(reached.get('robot_steps')),
            number(report['updates']),
            (report['kept'] or {}).get('policy', '–'), str(sum(report['stops'].values())),
            str(report['interventions']['times'])]


def short_names(run_dirs: list[Path]) -> list[str]:
    """Return the names of the folders, with as many of their parents as tell them apart."""
    parts = [run_dir.resolve().parts for run_dir in run_dirs]
    for depth in range(1, max(map(len, parts)) + 1):
        found = ['/'.join(part[-depth:]) for part in parts]
        if len(set(found)) == len(set(parts)):
            break
    return found


def _link(run_dir: Path, base: Path, name: str) -> str:
    target = os.path.relpath(run_dir.resolve() / PAGE, base.resolve())
    return f'<a href="{quote(target)}">{text(name)}</a>'
