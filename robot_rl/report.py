"""What happened in a run, from its folder alone: the bags, the checkpoints and run.json.

It works on an unfinished or crashed run: what is missing is null in report.json.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
from math import sqrt
from pathlib import Path

from robot_rl.contract import Contract, load_contract
from robot_rl.data.bag import bag_transitions, BagInfo, find_bags, read_info
from robot_rl.errors import UserError
from robot_rl.files import write_atomic

EVALUATION = 20         # greedy episodes in an evaluation, where the run does not say
WINDOW = 20             # training episodes behind each point of the success curve
Z95 = 1.959964          # normal quantile of a two-sided 95 % interval
REPORT = 'report.json'


@dataclass(frozen=True)
class Episode:
    """One recorded episode, as its bag describes it."""

    name: str
    mode: str
    policy_version: int
    outcome: str
    steps: int
    dropped: int

    @property
    def success(self) -> bool:
        """Whether the task was solved."""
        return self.outcome == 'success'


def write_report(run_dir: Path) -> dict:
    """Write report.json and success.png into a run's folder; return the report."""
    report, episodes = build_report(run_dir)
    write_atomic(run_dir / REPORT, json.dumps(report, indent=2) + '\n')
    plot_success(episodes, run_dir / 'success.png', report['task'] or '')
    return report


def build_report(run_dir: Path) -> tuple[dict, list[Episode]]:
    """Return the report and the episodes it counts, or raise UserError."""
    root = run_dir / 'bags'
    if not root.is_dir():
        raise UserError(f'{run_dir}: not the folder of a run, it has no bags/; name the folder '
                        'given as run_dir')
    run = read_run(run_dir)
    contract = _contract(run, run_dir)
    episodes, recorded, unreadable = [], 0, []
    for folder in find_bags(root):
        try:
            recorded += len(bag_transitions(folder, contract))
            episodes.append(_episode(read_info(folder)))
        except UserError as error:
            unreadable.append(str(error))
    learner, server = run.get('sac_learner', {}), run.get('policy_server', {})
    first, final = _evaluations(episodes, run.get('evaluation', EVALUATION))
    steps = sum(episode.steps for episode in episodes)
    return {
        'task': contract.task,
        'seed': run.get('seed'),
        'success_first': _share(first),
        'success_final': _share(final),
        'evaluation_episodes': [len(first), len(final)],
        'episodes': len(episodes),
        'episodes_learned_from': sum(episode.mode != 'evaluate' for episode in episodes),
        'robot_steps': steps,
        'robot_seconds': round(steps / contract.control_rate, 3),
        'wall_seconds': run.get('wall_seconds'),
        'updates': learner.get('updates'),
        'transitions_recorded': recorded,
        'bags_unreadable': unreadable,
        'transitions_received': learner.get('transitions_received'),
        'transitions_trained_on': learner.get('transitions_trained_on'),
        'messages_dropped': max((episode.dropped for episode in episodes), default=0),
        'policy_swaps': server.get('policy_swaps'),
        'outcomes': {outcome: sum(episode.outcome == outcome for episode in episodes)
                     for outcome in sorted({episode.outcome for episode in episodes})},
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


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a success rate (Wilson 1927)."""
    if not count:
        return 0.0, 1.0
    rate, z2 = successes / count, Z95 ** 2
    centre = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 * sqrt(rate * (1 - rate) / count + z2 / (4 * count ** 2)) / (1 + z2 / count)
    # It holds the rate; in floats it could miss it by one bit at 0 and 1.
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def plot_success(episodes: list[Episode], path: Path, task: str) -> None:
    """Draw success rate against robot steps with its confidence band."""
    from matplotlib.figure import Figure     # slow to import, and needed for the picture only

    figure = Figure(figsize=(7.0, 4.2), dpi=150, layout='constrained')
    axes = figure.subplots()
    steps, results, points = 0, [], []
    groups: dict[int, list] = {}            # policy version -> evaluation episodes and their step
    for episode in episodes:
        steps += episode.steps
        if episode.mode == 'evaluate':
            groups.setdefault(episode.policy_version, []).append((steps, episode.success))
            continue
        results = [*results[-(WINDOW - 1):], episode.success]
        points.append((steps, sum(results) / len(results), *wilson(sum(results), len(results))))
    if points:
        x, rate, low, high = zip(*points)
        axes.fill_between(x, low, high, alpha=0.2, linewidth=0, color='tab:blue')
        axes.plot(x, rate, color='tab:blue',
                  label=f'while learning, last {WINDOW} episodes (band: 95 % Wilson)')
    for number, group in enumerate(groups.values()):
        won, count = sum(success for _, success in group), len(group)
        low, high = wilson(won, count)
        axes.errorbar([group[-1][0]], [won / count],
                      [[won / count - low], [high - won / count]], fmt='o', capsize=4,
                      color='tab:orange', label=None if number else 'evaluation, greedy')
    axes.set(xlabel='robot steps', ylabel='success rate', ylim=(-0.03, 1.03),
             title=f'{task}: success on the robot')
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc='best', frameon=False)
    temporary = path.with_name(path.name + '.tmp')
    figure.savefig(temporary, format='png')
    temporary.replace(path)


def _episode(info: BagInfo) -> Episode:
    data = info.custom_data

    def number(key: str, default: int) -> int:
        try:
            return int(data[key])
        except (KeyError, ValueError):
            return default

    return Episode(info.folder.name, data.get('mode', ''), number('policy_version', -1),
                   data.get('outcome', 'incomplete'), number('transitions', 0),
                   number('dropped', 0))


def _evaluations(episodes: list[Episode], count: int) -> tuple[list[Episode], list[Episode]]:
    """Return `count` evaluation episodes before learning, and the last ones of the last policy."""
    evaluated = [episode for episode in episodes if episode.mode == 'evaluate']
    first = [episode for episode in evaluated if episode.policy_version == 0]
    last = max((episode.policy_version for episode in evaluated), default=0)
    final = [episode for episode in evaluated if episode.policy_version == last > 0]
    return first[:count], final[-count:]


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
