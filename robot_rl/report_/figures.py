"""What happened in a run, from its folder alone: the bags, the checkpoints and run.json.

It works on an unfinished or crashed run: what is missing is null in report.json.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import json
from pathlib import Path

from robot_rl.contract import Contract, load_contract
from robot_rl.data.bag import bag_steps, bag_transitions, BagInfo, find_bags, read_info
from robot_rl.data.episode import SOURCES
from robot_rl.data.steps import Step
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.intervals import wilson
from robot_rl.learning.policy import decode_explorers
from robot_rl.learning.robot_coverage import RobotCoverage
from robot_rl.report_demonstrators import COLORS, demonstrators, names, OTHER, plot_calibration

EVALUATION = 20         # greedy episodes in an evaluation, where the run does not say
WINDOW = 20             # training episodes behind each point of the success curve
REPORT = 'report.json'
EXPLORERS = 'explorers.safetensors'     # below explorers/ of the run, where there are any
# Folders of bags below a run. What is in the first two the learner never took from the robot.
DEMONSTRATIONS, MEASURED, BAGS = FOLDERS = 'demonstrations', 'measured', 'bags'
POLICIES = {'learned': 'learned', 'sim_optimal': 'sim-optimal',     # that may be kept
            'demonstrator': 'demonstrator'}
BASE = ('base_success', 'base_success_low', 'base_success_high', 'base_episodes')
CURVES = {'online': ('while learning', 'tab:blue'), 'explorers': ('explorers', 'tab:green')}
MARKS = {'evaluate': ('evaluation, greedy', 'o', 'tab:orange'),
         'transfer': ('sim-optimal policy, greedy', 's', 'tab:red'),
         'scripted': ('the person', '*', 'tab:gray'),
         'demonstrate': ('demonstrator, sampled', 'D', OTHER)}


@dataclass(frozen=True)
class Episode:
    """One recorded episode, as its bag describes it."""

    name: str
    mode: str
    policy_version: int
    outcome: str
    steps: int
    dropped: int
    folder: str = BAGS          # one of FOLDERS

    @property
    def learned_from(self) -> bool:
        """Whether the learner took it for experience."""
        return self.folder == BAGS and self.mode in SOURCES

    @property
    def success(self) -> bool:
        """Whether the task was solved."""
        return self.outcome == 'success'


def write_report(run_dir: Path) -> dict:
    """Write report.json and the pictures into a run's folder; return the report."""
    report, episodes = build_report(run_dir)
    write_atomic(run_dir / REPORT, json.dumps(report, indent=2) + '\n')
    plot_success(episodes, run_dir / 'success.png', report['task'] or '', report['kept'],
                 names(report['demonstrators']))
    plot_calibration(report['demonstrators'], run_dir / 'calibration.png')
    return report


def build_report(run_dir: Path) -> tuple[dict, list[Episode]]:
    """Return the report and the episodes it counts, or raise UserError."""
    roots = [run_dir / name for name in FOLDERS if (run_dir / name).is_dir()]
    if not roots:
        raise UserError(f'{run_dir}: not the folder of a run, it has no {BAGS}/; name the folder '
                        'given as run_dir')
    run = read_run(run_dir)
    contract = _contract(run, run_dir)
    episodes, recorded, unreadable, covered = [], 0, [], RobotCoverage(contract)
    for folder in (bag for root in roots for bag in find_bags(root)):
        try:
            transitions, episode = bag_transitions(folder, contract), _episode(read_info(folder))
            if not episode.mode:        # interrupted: only its steps tell
                episode = replace(episode, mode=_mode(bag_steps(folder, contract)))
        except UserError as error:
            unreadable.append(str(error))
            continue
        recorded += len(transitions)
        episodes.append(episode)
        if len(transitions):
            covered.add(transitions.next_observation, episode.mode == 'explore')
    learner, server = run.get('sac_learner', {}), run.get('policy_server', {})
    shown = [(one.policy_version, one.success) for one in episodes if one.mode == 'demonstrate']
    first, final = _evaluations(episodes, run.get('evaluation', EVALUATION))
    steps = sum(episode.steps for episode in episodes)
    return {
        'task': contract.task,
        'seed': run.get('seed'),
        'success_first': _share(first),
        'success_final': _share(final),
        'evaluation_episodes': [len(first), len(final)],
        'success_sim_optimal': _share([one for one in episodes if one.mode == 'transfer']),
        'success_explorers': _share([one for one in episodes if one.mode == 'explore']),
        'demonstrators': demonstrators(run_dir, contract, shown),
        'base': _base(learner),
        'target': run.get('target'),
        'reached': run.get('reached'),
        'kept': _kept(run),
        'episodes': len(episodes),
        'episodes_learned_from': sum(episode.learned_from for episode in episodes),
        'robot_steps': steps,
        'robot_seconds': round(steps / contract.control_rate, 3),
        'wall_seconds': run.get('wall_seconds'),
        'seconds': run.get('seconds'),
        'updates': learner.get('updates'),
        'transitions_recorded': recorded,
        'bags_unreadable': unreadable,
        'transitions_received': learner.get('transitions_received'),
        'transitions_trained_on': learner.get('transitions_trained_on'),
        'messages_dropped': sum(episode.dropped for episode in episodes),
        'policy_swaps': server.get('policy_swaps'),
        'outcomes': {outcome: sum(episode.outcome == outcome for episode in episodes)
                     for outcome in sorted({episode.outcome for episode in episodes})},
        'coverage': _coverage(run_dir / 'explorers', contract, covered),
        'ended': run.get('ended'),
        'video': run.get('video'),
        'gap': run.get('gap'),
        'versions': run.get('versions'),
        'contract_hash': contract.hash,
    }, episodes


def read_run(run_dir: Path) -> dict:
    """Return run.json, or an empty mapping where the run was not started by the demo."""
    path = run_dir / 'run.json'
    if not path.is_file():
        return {}
    try:
        run = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f'{path}: cannot be read: {error}') from None
    if not isinstance(run, dict):
        raise UserError(f'{path}: expected a mapping, found {type(run).__name__}')
    return run


def plot_success(episodes: list[Episode], path: Path, task: str, kept: dict | None = None,
                 fits: dict[int, str] | None = None) -> None:
    """Draw success against robot steps: curves of learning, marks of what was measured.

    A curve is the rate of its last WINDOW episodes, with a 95 % Wilson band; a mark is the rate
    of the episodes that a policy had between two of a curve. `fits` names demonstrators by their
    version.
    """
    from matplotlib.figure import Figure     # slow to import, and needed for the picture only

    figure = Figure(figsize=(7.0, 4.2), dpi=150, layout='constrained')
    axes = figure.subplots()
    steps, learned = 0, 0
    curves: dict[str, list] = {source: [] for source in CURVES}     # (step, success)
    groups: dict[tuple, list] = {}      # (mode, version, when) -> (step, success)
    for episode in episodes:
        steps += episode.steps
        point = (steps, episode.success)
        if episode.mode in MARKS:
            groups.setdefault((episode.mode, episode.policy_version, learned), []).append(point)
        elif episode.mode in SOURCES:
            learned += 1
            curves[SOURCES[episode.mode]].append(point)
    for source, (name, color) in CURVES.items():
        _draw_curve(axes, curves[source], f'{name}, last {WINDOW} episodes', color)
    named: set[str] = set()
    for (mode, version, _), group in groups.items():
        name, marker, color = MARKS[mode]
        if mode == 'demonstrate' and version in (fits or {}):
            name, color = f'{fits[version]}, sampled', COLORS.get(fits[version], color)
        _draw_mark(axes, group, None if name in named else name, marker, color)
        named.add(name)
    title = f'{task}: success on the robot'
    if kept:
        title += f'\nkept: the {POLICIES[kept["policy"]]} policy'
    axes.set(xlabel='robot steps', ylabel='success rate (bands, bars: 95 % Wilson)',
             ylim=(-0.03, 1.03), title=title)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc='best', frameon=False)
    temporary = path.with_name(path.name + '.tmp')
    figure.savefig(temporary, format='png')
    temporary.replace(path)


def _draw_curve(axes, points: list[tuple[int, bool]], label: str, color: str) -> None:
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
    axes.errorbar([group[-1][0]], [rate], [[rate - low], [high - rate]], fmt=marker, capsize=4,
                  color=color, label=label)


def _episode(info: BagInfo) -> Episode:
    """Return what a bag says of itself."""
    data = info.custom_data

    def number(key: str, default: int) -> int:
        try:
            return int(data[key])
        except (KeyError, ValueError):
            return default

    return Episode(info.folder.name, data.get('mode', ''), number('policy_version', -1),
                   data.get('outcome', 'incomplete'), number('transitions', 0),
                   number('dropped', 0), info.folder.parent.name)


def _mode(steps: list[Step]) -> str:
    return steps[0].mode.name.lower() if steps else ''


def _evaluations(episodes: list[Episode], count: int) -> tuple[list[Episode], list[Episode]]:
    """Return `count` evaluation episodes before learning, and the last ones of the last policy."""
    evaluated = [episode for episode in episodes if episode.mode == 'evaluate']
    first = [episode for episode in evaluated if episode.policy_version == 0]
    # The newest, not the highest: a kept sim-optimal policy counts the simulator's updates.
    last = evaluated[-1].policy_version if evaluated else 0
    final = [episode for episode in evaluated if episode.policy_version == last > 0]
    return first[:count], final[-count:]


def _base(learner: dict) -> dict[str, float] | None:
    """Return how often what was steered succeeded before the first update, if it was measured."""
    try:
        return {key: float(learner[key]) for key in BASE}
    except (KeyError, TypeError, ValueError):
        return None


def _kept(run: dict) -> dict | None:
    """Return what the policy server said when it kept the better of two policies, if it did."""
    kept = run.get('kept')
    return kept if isinstance(kept, dict) and kept.get('policy') in POLICIES else None


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


def _share(episodes: list[Episode]) -> float | None:
    if not episodes:
        return None
    return sum(episode.success for episode in episodes) / len(episodes)


def _contract(run: dict, run_dir: Path) -> Contract:
    """Load the copy of the contract that the run keeps, or the one that run.json names."""
    copy = run_dir / 'contract.yaml'
    name = str(copy) if copy.is_file() else run.get('contract')
    if not name:
        raise UserError(f'{run_dir}: neither contract.yaml nor run.json is there; copy the '
                        'contract of the run to contract.yaml')
    return load_contract(name)
