"""The charts of a report: each a figure with one line that says what it shows and of how much.

A chart without data has no figure; its line says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from robot_rl.curves import Curve
from robot_rl.report.bags import pooled
from robot_rl.report.demonstrators import calibration_figure, names
from robot_rl.report.episodes import Episode
from robot_rl.report.figures import success_figure, WINDOW
from robot_rl.report.reasons import UNKNOWN
from robot_rl.terminal import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANY = 1500         # points of a scatter from which on it is drawn as pixels, also in an SVG
CUT = 0.999         # quantile at which the histogram of times ends
GROUPS = {          # who acted -> modes, colour
    'while learning': (('random', 'learn'), 'tab:blue'),
    'explorers': (('explore',), 'tab:green'),
    'evaluation': (('evaluate',), 'tab:orange'),
    'sim-optimal': (('transfer',), 'tab:red'),
    'demonstrator': (('demonstrate',), 'tab:purple'),
    'the person': (('scripted',), 'tab:gray'),
}
LONGEST = 40        # letters of a reason beside its bar
POSITIVE, DECADES = ('critic_loss', 'temperature'), 30.0     # drawn on a log scale beyond that
NOT_STOPPED = 'No episode was stopped or cut off.'
LEFT_OUT = ('What was stopped or cut off (by the gate, the watchdog, an operator, a crash) could '
            'no longer succeed, and a policy that a person helped is not measured: such episodes '
            'count neither as successes nor as failures. How many there are stands beside each '
            'rate, and why under ends and stops.')
NO_REASON = (f' "{UNKNOWN}": no message in the bag tells why that episode ended; it was lost, or '
             'the recorder was not up when it came.')
NO_CURVES = 'No learner left curves in checkpoints/curves of this run.'


@dataclass(frozen=True)
class Chart:
    """One section of a report."""

    name: str               # of its picture
    title: str
    says: str               # what it shows, of how much; or why there is nothing to show
    figure: Figure | None = None


def charts(report: dict, episodes: list[Episode], curves: dict[str, Curve]) -> list[Chart]:
    """Return the charts of a run, in the order of the page."""
    return [
        _success(report, episodes),
        _per_episode(episodes, 'returns', 'Returns', 'sum of rewards', lambda one: one.reward),
        _per_episode(episodes, 'lengths', 'Lengths', 'actions', lambda one: one.actions),
        _coverage(report, episodes), _calibration(report), _losses(curves),
        _values(curves), _latency(report, episodes), _interventions(report, episodes),
        _ends(report)]


def new_figure(columns: int = 1, rows: int = 1, height: float = 3.4, **options):
    """Return a figure of the width of a page, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, height), dpi=150, layout='constrained')
    axes = figure.subplots(rows, columns, **options)
    for one in np.ravel(axes):
        one.grid(alpha=0.3)
    return figure, axes


def _success(report: dict, episodes: list[Episode]) -> Chart:
    title = 'Success against training steps'
    if not episodes:
        return Chart('success', title, 'No episode was recorded.')
    out = report['episodes_left_out']
    says = (f'Share of the last {WINDOW} episodes that succeeded, with its 95 % Wilson band; '
            f'marks are policies that were measured. n = {len(episodes) - sum(out.values())} '
            f'episodes. The axis counts the {report["training_steps"]:,} of '
            f'{report["robot_steps"]:,} robot steps that were taken in training episodes, those '
            'that the learner takes for experience; measuring a policy adds none. '
            f'{LEFT_OUT if any(out.values()) else NOT_STOPPED}')
    return Chart('success', title, says,
                 success_figure(episodes, names(report['demonstrators'])))


def _per_episode(episodes: list[Episode], name: str, title: str, label: str,
                 value: Callable) -> Chart:
    """Draw one number of every episode against robot steps, with the mean of the last WINDOW.

    Those that are left out of rates are crosses, and in no mean.
    """
    if not episodes:
        return Chart(name, title, 'No episode was recorded.')
    figure, axes = new_figure()
    ends = np.cumsum([one.steps for one in episodes])
    for group, (modes, color) in GROUPS.items():
        mine = [index for index, one in enumerate(episodes) if one.mode in modes]
        crossed = [index for index in mine if episodes[index].left_out]
        if crossed:
            axes.plot(ends[crossed], [value(episodes[index].details) for index in crossed], 'x',
                      color=color, markersize=4)
        chosen = [index for index in mine if not episodes[index].left_out]
        if not chosen:
            continue
        found = np.array([value(episodes[index].details) for index in chosen], float)
        axes.plot(ends[chosen], found, '.', color=color, alpha=0.35, markersize=4, label=group,
                  rasterized=len(chosen) > MANY)
        if group in ('while learning', 'explorers'):
            axes.plot(ends[chosen], _running_mean(found), color=color)
    axes.set(xlabel='robot steps', ylabel=label)
    if axes.get_legend_handles_labels()[0]:
        legend = figure.legend(loc='outside upper center', ncols=3, frameon=False, markerscale=2)
        for handle in legend.legend_handles:
            handle.set_alpha(1.0)
    crosses = ('; crosses were stopped or helped, and are in no mean'
               if any(one.left_out for one in episodes) else '')
    return Chart(name, title, f'{label.capitalize()} of every episode by who acted; lines are '
                 f'means of the last {WINDOW}{crosses}. n = {len(episodes)} episodes.', figure)


def _coverage(report: dict, episodes: list[Episode]) -> Chart:
    """Draw how often the robot was where, in the first features of the task, two by two."""
    title, seen = 'Coverage', [one for one in episodes if one.details.actions]
    if not seen:
        return Chart('coverage', title, 'No transition was recorded.')
    parts = {'all episodes': seen, 'explorers': [one for one in seen if one.mode == 'explore']}
    parts = {name: np.concatenate([one.details.features for one in ones])
             for name, ones in parts.items() if ones}
    pairs = [(place, place + 1) for place in range(0, len(report['features']) - 1, 2)][:2] or [
        (0, 0)]
    figure, axes = new_figure(len(parts), len(pairs), 0.4 + 2.8 * len(pairs), squeeze=False,
                              sharex='row', sharey='row')
    for line, pair in zip(axes, pairs):
        for place, (name, values) in zip(line, parts.items()):
            _map(figure, place, values[:, pair], parts['all episodes'][:, pair])
            place.set_xlabel(report['features'][pair[0]])
            place.set_title(f'{name}, n = {len(values):,}', fontsize='medium')
        line[0].set_ylabel(report['features'][pair[1]])
    says = (f'How often the robot was where, in n = {len(parts["all episodes"]):,} observations; '
            'darker is less')
    compared = report['coverage'] or {}
    if compared.get('robot'):
        robot, simulator = compared['robot']['all'], compared['simulator']
        says += (f'. Of the grid it reached {robot["cells"]} cells, the simulator '
                 f'{simulator["cells"]}')
    return Chart('coverage', title, f'{says}. {compared.get("warning") or ""}'.strip(), figure)


def _map(figure, axes, values: np.ndarray, whole: np.ndarray) -> None:
    """Draw the counts of `values` (k, 2) on a grid over the range of `whole`."""
    low, high = whole.min(0), whole.max(0)
    high = np.maximum(high, low + 1e-6)
    counts, *edges = np.histogram2d(*values.T, bins=60, range=list(zip(low, high)))
    mesh = axes.pcolormesh(*edges, np.log10(np.where(counts, counts, np.nan)).T, rasterized=True)
    figure.colorbar(mesh, ax=axes, label='log10 of observations')


def _calibration(report: dict) -> Chart:
    title, figure = 'Calibration', calibration_figure(report['demonstrators'])
    if figure is None:
        return Chart('calibration', title, 'No demonstrator was fitted in this run.')
    fits = [one['name'] + (f' of {one["demonstrations"]} demonstrations'
                           if one['demonstrations'] else '')
            for one in report['demonstrators'] if one.get('covered')]
    return Chart('calibration', title, "Share of held-out actions in each fit's regions of a "
                 'stated probability; on the dotted line it holds what it says. '
                 f'n = {len(fits)}: {", ".join(fits)}.', figure)


def _losses(curves: dict[str, Curve]) -> Chart:
    shown = {name: curves[f'learner/{name}'] for name in (
        'critic_loss', 'actor_loss', 'entropy', 'temperature') if f'learner/{name}' in curves}
    if not shown:
        return Chart('losses', 'Losses', NO_CURVES if not curves else
                     'The learner made no update while its curves were written.')
    figure, axes = new_figure(2, 2, 4.6, sharex=True)
    for place, (name, curve) in zip(axes.flat, shown.items()):
        place.plot(curve.steps, curve.values, color='tab:blue', linewidth=0.9)
        if name in POSITIVE and 0.0 < DECADES * min(curve.values) < max(curve.values):
            _logarithmic(place)
        place.set_title(name.replace('_', ' '), fontsize='medium')
    for place in axes[1]:
        place.set_xlabel('updates')
    points = max(len(curve.steps) for curve in shown.values())
    return Chart('losses', 'Losses', 'Losses, entropy and its weight over updates, of one batch '
                 f'at each of n = {points} moments.', figure)


def _values(curves: dict[str, Curve]) -> Chart:
    title, mean = 'Q values against returns', curves.get('learner/q_mean')
    first, came = curves.get('episode/q_first'), curves.get('episode/return_discounted')
    if not mean and not first:
        return Chart('values', title, NO_CURVES if not curves else 'No Q value was written.')
    figure, (over, against) = new_figure(2)
    if mean:
        over.plot(mean.steps, mean.values, color='tab:blue', linewidth=0.9, label='Q of batches')
    count = 0
    if first and came:
        count = len(first.values)
        over.plot(came.steps, came.values, '.', color='tab:orange', alpha=0.4, markersize=4,
                  label='discounted return')
        dots = against.scatter(first.values, came.values, c=first.steps, s=9,
                               rasterized=count > MANY)
        ends = [min(first.values + came.values), max(first.values + came.values)]
        against.plot(ends, ends, ':', color='tab:gray')
        figure.colorbar(dots, ax=against, label='updates')
    over.set(xlabel='updates')
    over.legend(frameon=False, fontsize='small')
    against.set(xlabel='Q of the first action', ylabel='discounted return')
    return Chart('values', title, 'What the critics expected of an episode of their policy when '
                 'it came, and what came of it; above the dotted line they expect too little. A '
                 f'return that a time limit cuts off lacks the rest. n = {count} episodes.',
                 figure)


def _latency(report: dict, episodes: list[Episode]) -> Chart:
    details = [one.details for one in episodes]
    parts = {'latency': ('latency_ms', 'from the newest observation to the action'),
             'intervals': ('tick_ms', 'between two control ticks')}
    parts = {name: told for name, told in parts.items() if report[told[0]]}
    if not parts:
        return Chart('latency', 'Latency', 'No two step records are in any bag.')
    figure, axes = new_figure(len(parts), squeeze=False)
    says = []
    for place, (name, (key, told)) in zip(axes[0], parts.items()):
        values, found = 1000.0 * pooled(details, name), report[key]
        place.hist(values, bins=60, range=_span(values), color='tab:blue')
        for share, style in (('p50', '-'), ('p99', '--')):
            place.axvline(found[share], color='tab:red', linestyle=style,
                          label=f'{share} {found[share]:.3g} ms')
        place.set(xlabel=f'ms {told}', ylabel='ticks')
        _logarithmic(place)
        place.legend(frameon=False, fontsize='small')
        says.append(f'{told}: median {found["p50"]:.4g}, 99 % {found["p99"]:.4g}, at most '
                    f'{found["max"]:.4g} ms, n = {found["count"]:,}')
    why = '' if 'latency' in parts else (
        ' The clock of the observations is simulated, so there is no latency to measure, and a '
        'world in lockstep ticks as fast as it can.')
    return Chart('latency', 'Latency', f'Time {"; ".join(says)}; the picture ends at the '
                 f'{CUT:.1%} quantile.{why}', figure)


def _interventions(report: dict, episodes: list[Episode]) -> Chart:
    found, count = report['interventions'], sum(one.mode != 'scripted' for one in episodes)
    if not found['actions']:
        return Chart('interventions', 'Interventions',
                     f'No person took over in {count} episodes.')
    figure, axes = new_figure(height=2.6)
    ends = np.cumsum([one.steps for one in episodes])
    helped = [(end, one.details.human / one.details.actions) for end, one in zip(ends, episodes)
              if one.mode != 'scripted' and one.details.human]
    axes.vlines([end for end, _ in helped], 0.0, [share for _, share in helped], 'tab:orange')
    axes.plot(*zip(*helped), 'o', color='tab:orange', markersize=3)
    axes.set(xlabel='robot steps', ylabel='share of actions\nby a person', ylim=(0.0, 1.03),
             xlim=(0, 1.02 * ends[-1]))
    return Chart('interventions', 'Interventions', f'A person took over {found["times"]} times, '
                 f'for {found["actions"]} actions, in {found["episodes"]} of n = {count} '
                 'episodes.', figure)


def _ends(report: dict) -> Chart:
    title, ended, stops = 'Ends and stops', report['ended_by'], report['stops']
    if not ended:
        return Chart('ends', title, 'No episode was recorded.')
    rows = [*((name, count, 'tab:blue') for name, count in ended.items()),
            *((f'stop: {name}', count, 'tab:red') for name, count in stops.items())][:24]
    figure, axes = new_figure(height=1.0 + 0.26 * len(rows))
    texts = [printable(name if len(name) <= LONGEST else f'{name[:LONGEST]}…')
             for name, _, _ in rows]
    axes.barh(range(len(rows)), [count for _, count, _ in rows], color=[row[2] for row in rows])
    axes.set_yticks(range(len(rows)), texts)
    axes.invert_yaxis()
    axes.set_xlabel('times')
    if max(count for _, count, _ in rows) > DECADES:    # a single stop has to be seen as well
        axes.set_xscale('log')
        axes.set_xlim(left=0.7)
        axes.xaxis.set_major_formatter('{x:g}')
        axes.xaxis.set_minor_formatter('')
    for place, (_, count, _) in enumerate(rows):
        axes.annotate(f' {count}', (count, place), va='center', fontsize='small')
    total = sum(stops.values())
    return Chart('ends', title, f'What ended n = {sum(ended.values())} episodes, and {total} '
                 f'stop{"" if total == 1 else "s"} by reason. Stops between episodes are in no '
                 f'bag.{NO_REASON if UNKNOWN in ended else ""}', figure)


def _logarithmic(axes) -> None:
    axes.set_yscale('log')
    axes.yaxis.set_major_formatter('{x:g}')        # the usual labels are TeX
    axes.yaxis.set_minor_formatter('')


def _running_mean(values: np.ndarray) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(0, ends - WINDOW)
    return (sums[ends] - sums[begins]) / (ends - begins)


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(np.quantile(values, CUT))
    return low, max(high, low + 1e-6)
