"""report.html: one page with everything in it, for a browser without a network.

Names, reasons and warnings come from files that anybody may have written: all of it is escaped,
and the page's own policy forbids scripts and everything from outside.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from html import escape
import io
import json
from pathlib import Path
import re
import time
import warnings

from robot_rl.files import write_atomic
from robot_rl.report.charts import Chart
from robot_rl.report.episodes import HELPED, STOPPED
from robot_rl.run_folder import POLICIES
from robot_rl.terminal import printable

PAGE, PICTURES, VIDEO = 'report.html', 'plots', 'final.gif'
MAX_VIDEO_BYTES = 16 << 20
INK = '#1c2024'         # of every figure; in a page it is the colour of the text
SCALE = 130             # pixels of a browser per inch of a figure, at most
MOST_TROUBLES = 5       # lines of bags at the top
LATEST = 1e11           # s since 1970 that a calendar still shows
_IDS = re.compile(r' id="([A-Za-z0-9.]+_\d+|image[0-9a-f]+)"')     # they repeat, and none is used

STYLE = """
:root { color-scheme: light dark; --back: #fff; --ink: #1c2024; --soft: #5d6670; --line: #dfe3e8;
  --card: #f6f8fa; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --ink: #e4e7ea; --soft: #9aa4ae;
  --line: #30363c; --card: #1d2125; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--back);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .25rem; font-size: 1.15rem; }
p { margin: .25rem 0 .75rem; color: var(--soft); max-width: 46rem; overflow-wrap: anywhere; }
a { color: inherit; }
nav { margin: 1rem 0 0; font-size: .9rem; display: flex; flex-wrap: wrap; gap: .1rem .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.6rem, 1fr)); gap: .6rem;
  margin: 1.2rem 0; }
.tile { background: var(--card); border-radius: .5rem; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere; }
.tile span { color: var(--soft); font-size: .85rem; }
:is(th, td):has(.long) { text-align: left; white-space: normal; overflow-wrap: anywhere;
  min-width: 18rem; }
.bad { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; margin: .25rem 0 1rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; min-width: 30rem; height: auto; display: block; }
img { max-width: 100%; height: auto; display: block; }
pre { background: var(--card); border-radius: .5rem; padding: .8rem; overflow: auto;
  font-size: .8rem; }
summary { cursor: pointer; }
"""


def write_page(run_dir: Path, report: dict, drawn: list[Chart], name: str, started: float | None
               ) -> Path:
    """Write report.html into a run's folder; `drawn` are the charts, `name` is that of the run."""
    tables = {'success': _modes_table(report), 'calibration': _fits_table(report),
              'ends': _reasons_table(report)}
    sections = [(chart.name, chart.title, f'<p>{text(chart.says)}</p>' + tables.get(chart.name, '')
                 + (inline(chart) if chart.figure else '')) for chart in drawn]
    sections.append(('video', 'Video', _video(run_dir, report)))
    sections.append(('all', 'All figures', '<details><summary>report.json</summary>'
                     f'<pre>{escape(json.dumps(report, indent=2))}</pre></details>'))
    body = [f'<h1>{text(name)}</h1>', f'<p>{text(_told(report, started))}</p>',
            *(f'<p class="bad">{text(line)}</p>' for line in _troubles(report)),
            tiles(_figures(report)), contents(sections)]
    path = run_dir / PAGE
    write_atomic(path, page(name, body, sections))
    return path


def page(title: str, body: Iterable[str], sections: Iterable[tuple[str, str, str]]) -> str:
    """Return a whole page; sections are (anchor, title, HTML)."""
    parts = [f'<section id="{anchor}"><h2>{text(head)}</h2>{html}</section>'
             for anchor, head, html in sections]
    return '\n'.join([
        '<!DOCTYPE html>', '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        'img-src data:; style-src \'unsafe-inline\'">',
        f'<title>{text(title)}</title><style>{STYLE}</style></head><body>',
        *body, *parts, '</body></html>', ''])


def text(words: str) -> str:
    """Return text as HTML that shows it and does nothing else."""
    return escape(printable(str(words)))


def long(words: str) -> str:
    """Return text as the HTML of a cell that may have several lines."""
    return f'<span class="long">{text(words)}</span>'


def tiles(figures: Sequence[tuple[str, str]]) -> str:
    """Return (value, what it is) as tiles."""
    return '<div class="tiles">' + ''.join(
        f'<div class="tile"><b>{text(value)}</b><span>{text(name)}</span></div>'
        for value, name in figures) + '</div>'


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is its head; cells are HTML."""
    head, *others = rows
    lines = [f'<tr>{"".join(f"<th>{cell}</th>" for cell in head)}</tr>']
    lines += [f'<tr>{"".join(f"<td>{cell}</td>" for cell in row)}</tr>' for row in others]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def contents(sections: Iterable[tuple[str, str, str]]) -> str:
    """Return links to the sections."""
    return '<nav>' + ''.join(f'<a href="#{anchor}">{text(title)}</a>'
                             for anchor, title, _ in sections) + '</nav>'


@contextmanager
def drawing():
    """Draw with the ink of a page; text is shown as it is, also where it looks like TeX."""
    import matplotlib

    inks = ('text.color', 'axes.edgecolor', 'axes.labelcolor', 'xtick.color', 'ytick.color')
    options = {'svg.fonttype': 'none', 'text.parse_math': False, 'font.size': 10.0,
               'axes.spines.top': False, 'axes.spines.right': False, **dict.fromkeys(inks, INK)}
    with matplotlib.rc_context(options), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph .* missing')
        yield


def inline(chart: Chart) -> str:
    """Return the figure as SVG inside a page: it scales, and takes the colour of the text."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({'svg.hashsalt': chart.name}):       # ids differ between figures
        chart.figure.savefig(out, format='svg', transparent=True,
                             metadata=dict.fromkeys(('Creator', 'Date', 'Format', 'Type')))
    found = out.getvalue()
    found = _IDS.sub('', found[found.index('<svg'):]).replace(INK, 'currentColor')
    head, _, rest = found.partition('>')
    head = re.sub(r' (width|height)="[^"]*"', '', head)
    width = SCALE * chart.figure.get_figwidth()
    return (f'<div class="wide">{head} role="img" aria-label="{text(chart.title)}" '
            f'style="max-width:{width:.0f}px">{rest}</div>')


def save_pictures(drawn: Iterable[Chart], folder: Path) -> None:
    """Write every chart as PNG."""
    folder.mkdir(exist_ok=True)
    for chart in drawn:
        if chart.figure:
            out = io.BytesIO()
            chart.figure.savefig(out, format='png')
            write_atomic(folder / f'{chart.name}.png', out.getvalue())


def rate(one: dict) -> str:
    """Return a success rate with its interval and count; `counted` says of how many it is."""
    count = one.get('counted', one['episodes'])
    low, high = one['success_low'], one['success_high']
    return f'{one["success"]:.0%} ({low:.0%} to {high:.0%}, n = {count})' if count else '–'


def beside(told: str, out: dict[str, int]) -> str:
    """Return what is told of episodes, and how many `stopped` and `helped` ones are not in it."""
    return ', '.join([told, *(f'{out[why]} {why}' for why in (STOPPED, HELPED) if out[why])])


def number(value: float | None, form: str = ',') -> str:
    """Return a number of a report, or a dash."""
    return '–' if not isinstance(value, (int, float)) else format(value, form)


def _told(report: dict, started: float | None) -> str:
    """Return one line about the run."""
    when = ''
    if isinstance(started, (int, float)) and 0.0 <= started < LATEST:
        when = time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(started))
    ended = ('running' if report['ended'] == 'running' else
             f'ended: {report["ended"] or "no record; killed, or no demo"}')
    return '; '.join(filter(None, [
        f'task {report["task"]}', when, ended,
        f'seed {report["seed"]}' if report['seed'] is not None else '',
        f'gap {report["gap"]}' if report['gap'] else '', f'contract {report["contract_hash"]}']))


def _troubles(report: dict) -> list[str]:
    """Return what a person should look at first."""
    refused: dict[str, list[str]] = {}      # why -> bags
    for line in report['bags_unreadable']:
        bag, _, why = line.partition(': ')
        refused.setdefault(why, []).append(bag)
    lines = [f'{bags[0]}{f" and {len(bags) - 1} more" if bags[1:] else ""}: {why}'
             for why, bags in refused.items()]
    if len(lines) > MOST_TROUBLES:
        lines[MOST_TROUBLES:] = [f'{len(report["bags_unreadable"])} bags cannot be read']
    if report['messages_dropped']:
        lines.append(f'{report["messages_dropped"]} messages were dropped while recording')
    warning = (report['coverage'] or {}).get('warning')
    return [*lines, warning] if warning else lines


def _figures(report: dict) -> list[tuple[str, str]]:
    """Return the figures at the top of the page."""
    final, counts = report['success_final'], report['evaluation_episodes']
    kept, reached = report['kept'], report['reached']
    figures = [
        ('–' if final is None else f'{final:.0%}',
         beside(f'success at the end, greedy, n = {counts[1]}', report['evaluation_left_out'])),
        (number(report['episodes']), 'episodes'),
        (number(report['robot_steps']), f'robot steps, {report["robot_seconds"] / 60:.1f} min'),
        (number(report['updates']), 'updates'),
        (str(sum(report['stops'].values())), 'stops'),
        (str(report['interventions']['times']), 'times a person took over')]
    if kept:
        figures.append((POLICIES[kept['policy']], 'policy that was kept' + _succeeded(kept)))
    if isinstance(reached, dict) and 'robot_steps' in reached:
        figures.append((number(reached['robot_steps']),
                        f'training steps to {number(report["target"], ".0%")}, greedy'))
    return figures


def _succeeded(kept: dict) -> str:
    """Return how often the kept policy succeeded when it was measured, if the record says so."""
    counts = [kept.get(f'{kept["policy"]}_{name}') for name in ('successes', 'episodes')]
    return ', {:,} of {:,}'.format(*counts) if all(type(one) is int for one in counts) else ''


def _modes_table(report: dict) -> str:
    if not report['modes']:
        return ''
    rows = [[text(mode), rate(one), str(one[STOPPED]), str(one[HELPED]),
             number(one['return'], '.3g'), number(one['length'], '.1f')]
            for mode, one in report['modes'].items()]
    return table([['who acted', 'success (95 % Wilson)', 'stopped', 'helped by a person',
                   'mean return', 'mean length'], *rows])


def _fits_table(report: dict) -> str:
    fits = [one for one in report['demonstrators'] if one['version'] >= 0]
    if not fits:
        return ''
    rows = [[text(one['name']), number(one['alpha'], '.2g'), number(one['demonstrations']),
             rate(one) if one['episodes'] else 'not measured'] for one in fits]
    return table([['fit', 'alpha', 'demonstrations', 'success (95 % Wilson)'], *rows])


def _reasons_table(report: dict) -> str:
    """Return how often each reason ended an episode and stopped the robot, with an example."""
    stops: dict[str, list[str]] = {}
    for name, count in report['stops'].items():
        node, _, kind = name.partition(': ')
        stops.setdefault(kind, []).append(f'{count} by {node}')
    rows = [[text(kind), number(report['ended_by'].get(kind, 0)),
             text(', '.join(stops.get(kind, ['–']))), long(report['reasons'].get(kind, ''))]
            for kind in {**report['ended_by'], **stops}]
    return table([['reason', 'episodes ended', 'stops', long('for example')], *rows]
                 ) if rows else ''


def _video(run_dir: Path, report: dict) -> str:
    path = run_dir / VIDEO
    try:
        with open(path, 'rb') as file:
            data = file.read(MAX_VIDEO_BYTES + 1)
    except OSError:
        return f'<p>{text(report["video"] or "No video was made of this run.")}</p>'
    if not data.startswith(b'GIF8'):
        return f'<p>{VIDEO} is no GIF.</p>'
    if len(data) > MAX_VIDEO_BYTES:
        return f'<p>{VIDEO} is too large for a page; it lies beside it.</p>'
    return (f'<p>One episode of the policy that was kept.</p><img alt="{VIDEO}" '
            f'src="data:image/gif;base64,{base64.b64encode(data).decode()}">')
