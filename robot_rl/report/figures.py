"""What happened in a run, from its folder alone: the bags, the checkpoints and run.json.

It works on an unfinished or crashed run: what is missing is null in report.json.
run.py writes it, with its page and pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robot_rl.contract import Contract, load_contract
from robot_rl.curves import Curve, FOLDER as CURVES_FOLDER, read_curves
from robot_rl.data.bag import bag_steps, bag_transitions, find_bags, read_info
from robot_rl.data.bag_metadata import BagInfo
from robot_rl.data.episode import SOURCES
from robot_rl.data.steps import Step
from robot_rl.errors import UserError
from robot_rl.intervals import wilson
from robot_rl.learning.coverage import feature_names
from robot_rl.learning.policy import decode_explorers
from robot_rl.learning.robot_coverage import RobotCoverage
from robot_rl.progress import followed
from robot_rl.report.bags import quantiles, read_details, with_late_ends
from robot_rl.report.demonstrators import COLORS, demonstrators, OTHER
from robot_rl.report.episodes import by_mode, counted, Episode, evaluations, left_out, share
from robot_rl.report.reasons import ends_by_reason, examples, stops_by_reason
from robot_rl.report.recorded_contract import recorded_contract
from robot_rl.run_folder import BAGS, CONTRACT, FOLDERS, POLICIES, read_kept, read_run, WINDOW
from robot_rl.run_summary import is_running

EVALUATION = 20         # greedy episodes in an evaluation, where the run does not say
LEARNED = Path('checkpoints', CURVES_FOLDER)     # the learner's curves, below a run
EXPLORERS = 'explorers.safetensors'     # below explorers/ of the run, where there are any
TRAINING_STEPS = 'robot steps of training episodes'     # the axis of success
BASE = ('base_success', 'base_success_low', 'base_success_high', 'base_episodes')
CURVES = {'online': ('while learning', 'tab:blue'), 'explorers': ('explorers', 'tab:green')}
MARKS = {'evaluate': ('evaluation, greedy', 'o', 'tab:orange'),
         'transfer': ('sim-optimal policy, greedy', 's', 'tab:red'),
         'scripted': ('the person', '*', 'tab:gray'),
         'demonstrate': ('demonstrator, sampled', 'D', OTHER)}


def build_report(run_dir: Path) -> tuple[dict, list[Episode]]:
    """Return the report and the episodes it counts, or raise UserError."""
    roots = [run_dir / name for name in FOLDERS if (run_dir / name).is_dir()]
    if not roots:
        raise UserError(f'{run_dir}: not the folder of a run, it has no {BAGS}/; name the folder '
                        'given as run_dir')
    run = read_run(run_dir)
    bags = [bag for root in roots for bag in find_bags(root)]
    contract = _contract(run, run_dir, bags)
    episodes, recorded, unreadable, covered = [], 0, [], RobotCoverage(contract)
    for folder in followed(bags, f'bags of {run_dir.name}'):
        try:
            transitions, info = bag_transitions(folder, contract), read_info(folder)
            episode = replace(_episode(info, len(transitions)),
                              details=read_details(info, transitions, contract))
            if not episode.mode:        # interrupted: only its steps tell
                episode = replace(episode, mode=_mode(bag_steps(folder, contract)))
        except UserError as error:
            unreadable.append(str(error))
            continue
        recorded += len(transitions)
        episodes.append(episode)
        if len(transitions):
            covered.add(transitions.next_observation, episode.mode == 'explore')
    learner, server = (_mapping(run, node) for node in ('sac_learner', 'policy_server'))
    details = with_late_ends([episode.details for episode in episodes])
    shown = [(one.policy_version, one.success) for one in counted(episodes)
             if one.mode == 'demonstrate']
    evaluation, curves = run.get('evaluation'), read_curves(run_dir / LEARNED)
    first, final = evaluations(episodes, evaluation if isinstance(evaluation, int)
                               and evaluation > 0 else EVALUATION)
    steps = sum(episode.steps for episode in episodes)
    return {
        'task': contract.task,
        'seed': run.get('seed'),
        'success_first': share(first),
        'success_final': share(final),
        'evaluation_episodes': [len(counted(first)), len(counted(final))],
        'evaluation_left_out': left_out(final),
        'success_sim_optimal': share([one for one in episodes if one.mode == 'transfer']),
        'success_explorers': share([one for one in episodes if one.mode == 'explore']),
        'demonstrators': demonstrators(run_dir, contract, shown),
        'base': _base(learner),
        'target': run.get('target'),
        'reached': run.get('reached'),
        'kept': read_kept(run_dir, run),
        'episodes': len(episodes),
        'episodes_left_out': left_out(episodes),
        'episodes_learned_from': sum(episode.learned_from for episode in episodes),
        'robot_steps': steps,
        'training_steps': sum(episode.steps for episode in episodes if episode.learned_from),
        'robot_seconds': round(steps / contract.control_rate, 3),
        'wall_seconds': run.get('wall_seconds'),
        'seconds': run.get('seconds'),
        'updates': learner.get('updates', _updates(curves)),
        'transitions_recorded': recorded,
        'bags_unreadable': unreadable,
        'transitions_received': learner.get('transitions_received'),
        'transitions_trained_on': learner.get('transitions_trained_on'),
        'messages_dropped': sum(episode.dropped for episode in episodes),
        'policy_swaps': server.get('policy_swaps'),
        'outcomes': {outcome: sum(episode.outcome == outcome for episode in episodes)
                     for outcome in sorted({episode.outcome for episode in episodes})},
        'modes': by_mode(episodes),
        'ended_by': ends_by_reason(details),
        'stops': stops_by_reason(details),
        'reasons': examples(details),
        'interventions': _interventions(episodes),
        'latency_ms': quantiles(details, 'latency'),
        'tick_ms': quantiles(details, 'intervals'),
        'curves': {name: curve.values[-1] for name, curve in curves.items()},
        'features': list(feature_names(contract)),
        'coverage': _coverage(run_dir / 'explorers', contract, covered),
        'ended': _ended(run, run_dir),
        'video': run.get('video'),
        'gap': run.get('gap'),
        'versions': run.get('versions'),
        'contract_hash': contract.hash,
    }, episodes


def plot_success(episodes: list[Episode], path: Path, task: str, kept: dict | None = None,
                 fits: dict[int, str] | None = None) -> None:
    """Write the picture of success against training steps."""
    title = f'{task}: success on the robot'
    if kept:
        title += f'\nkept: the {POLICIES[kept["policy"]]} policy'
    figure = success_figure(episodes, fits)
    figure.axes[0].set_title(title)
    temporary = path.with_name(path.name + '.tmp')
    figure.savefig(temporary, format='png')
    temporary.replace(path)


def success_figure(episodes: list[Episode], fits: dict[int, str] | None = None):
    """Draw success against training steps: curves of learning, marks of what was measured.

    A curve is the rate of its last WINDOW episodes, with a 95 % Wilson band; a mark is the rate
    of the episodes that a policy had between two of a curve, where the first of them began. Those
    that are left out of rates are in neither, though the learner's steps in them count. `fits`
    names demonstrators by their version.
    """
    from matplotlib.figure import Figure     # slow to import, and needed for the picture only

    figure = Figure(figsize=(7.0, 4.2), dpi=150, layout='constrained')
    axes = figure.subplots()
    steps, learned = 0, 0
    curves: dict[str, list] = {source: [] for source in CURVES}     # (step, success)
    groups: dict[tuple, list] = {}      # (mode, version, when) -> (step, success)
    for episode in episodes:
        begun, steps = steps, steps + episode.steps * episode.learned_from
        if episode.left_out:
            continue
        if episode.mode in MARKS:
            groups.setdefault((episode.mode, episode.policy_version, learned), []).append(
                (begun, episode.success))
        elif episode.mode in SOURCES:
            learned += 1
            curves[SOURCES[episode.mode]].append((steps, episode.success))
    for source, (name, color) in CURVES.items():
        draw_curve(axes, curves[source], f'{name}, last {WINDOW} episodes', color)
    named: set[str] = set()
    for (mode, version, _), group in groups.items():
        name, marker, color = MARKS[mode]
        if mode == 'demonstrate' and version in (fits or {}):
            name, color = f'{fits[version]}, sampled', COLORS.get(fits[version], color)
        _draw_mark(axes, group, None if name in named else name, marker, color)
        named.add(name)
    axes.set(xlabel=TRAINING_STEPS, ylabel='success rate (bands, bars: 95 % Wilson)',
             ylim=(-0.03, 1.03))
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc='outside lower center', ncols=2, frameon=False)
    return figure


def draw_curve(axes, points: list[tuple[int, bool]], label: str, color: str) -> None:
    """Draw the rate of the last WINDOW of (training steps, success), with a 95 % Wilson band."""
    if not points:
        return
    steps, results = zip(*points)
    windows = [results[max(0, end - WINDOW):end] for end in range(1, len(results) + 1)]
    low, high = zip(*(wilson(sum(window), len(window)) for window in windows))
    axes.fill_between(steps, low, high, alpha=0.15, linewidth=0, color=color)
    axes.plot(steps, [sum(window) / len(window) for window in windows], color=color, label=label)


def _draw_mark(axes, group: list[tuple[int, bool]], label: str | None, marker: str, color: str
               ) -> None:
    won, count = sum(success for _, success in group), len(group)
    low, high = wilson(won, count)
    rate = won / count
    axes.errorbar([group[0][0]], [rate], [[rate - low], [high - rate]], fmt=marker, capsize=4,
                  color=color, label=label)


def _episode(info: BagInfo, found: int) -> Episode:
    """Return what a bag says of itself; one that was interrupted says not how long it is."""
    data = info.custom_data

    def number(key: str, default: int) -> int:
        try:
            return int(data[key])
        except (KeyError, ValueError):
            return default

    return Episode(info.folder.name, data.get('mode', ''), number('policy_version', -1),
                   data.get('outcome', 'incomplete'), number('transitions', found),
                   number('dropped', 0), info.folder.parent.name)


def _mode(steps: list[Step]) -> str:
    return steps[0].mode.name.lower() if steps else ''


def _updates(curves: dict[str, Curve]) -> int | None:
    """Return how many updates the curves of a learner saw: they count them."""
    return max((curve.steps[-1] for curve in curves.values()), default=None)


def _ended(run: dict, run_dir: Path):
    """Return how a run ended, `running`, or None: nobody is at work, and nothing tells."""
    told = run.get('ended')
    if told in (None, 'running'):       # so it stays of a demo that was killed
        return 'running' if is_running(run_dir) else None
    return told


def _base(learner: dict) -> dict[str, float] | None:
    """Return how often what was steered succeeded before the first update, if it was measured."""
    try:
        return {key: float(learner[key]) for key in BASE}
    except (KeyError, TypeError, ValueError):
        return None


def _coverage(folder: Path, contract: Contract, covered: RobotCoverage) -> dict | None:
    """Hold the robot's coverage against the certificate of the newest explorers in a folder."""
    found = sorted(folder.glob(f'**/{EXPLORERS}'), key=lambda path: path.stat().st_mtime)
    if not found:
        return None
    try:
        _, simulator = decode_explorers(found[-1].read_bytes(), contract, str(found[-1]))
    except (UserError, OSError) as error:
        return {'simulator': None, 'robot': None, 'warning': str(error)}
    covered.certify(simulator)
    comparison = covered.comparison
    return {**comparison.summary(), 'warning': comparison.warning}


def _interventions(episodes: list[Episode]) -> dict[str, int]:
    """Count what people did in episodes that were not theirs from the start."""
    helped = [one.details for one in episodes if one.mode != 'scripted' and one.details.human]
    return {'episodes': len(helped), 'times': sum(one.stretches for one in helped),
            'actions': sum(one.human for one in helped)}


def _mapping(run: dict, key: str) -> dict:
    found = run.get(key)
    return found if isinstance(found, dict) else {}


def _contract(run: dict, run_dir: Path, bags: list[Path]) -> Contract:
    """Load the copy of the contract that the run keeps, or else what run.json or a bag names."""
    copy = run_dir / CONTRACT
    name = str(copy) if copy.is_file() else run.get('contract')
    return load_contract(name) if name else recorded_contract(run_dir, bags)
