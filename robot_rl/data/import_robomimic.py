"""An HDF5 file of robomimic, from our export or from elsewhere -> rosbag2 episodes.

Observations are matched by name: `obs/<name>` is the contract's entry of that name. The bags hold
step records and no raw topics, as nobody recorded any; demo_ingest and the learner read them.
Rewards are what the contract pays for what was seen and done, where it has a function for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import json
from pathlib import Path
import re

import numpy as np

from robot_rl.contract import Contract, MAX_HORIZON
from robot_rl.data.export_robomimic import (LAYOUT, observation_columns, OURS, STEP_COLUMNS,
                                            unscaled)
from robot_rl.data.hdf5_read import INTEGERS, Node, open_hdf5
from robot_rl.data.step_bag import write_step_bag
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.data.transitions import derive_transitions, LABELS
from robot_rl.errors import InvalidFile, Problem, UserError
from robot_rl.files import new_path

MAX_DEMOS = 100_000
START = 1_600_000_000 * 10**9       # ns since 1970, of the first episode where there are no times
BETWEEN = 10 * 10**9                # ns between two such episodes
OUTCOMES = ('success', 'failure', 'truncated', 'aborted', 'abandoned', 'incomplete')
_DEMO = re.compile(r'demo_(\d{1,9})')


@dataclass(frozen=True)
class Imported:
    """What was written."""

    episodes: int
    transitions: int
    repaid: int         # transitions that the contract rewards otherwise than the file


def import_robomimic(file: Path, folder: Path, contract: Contract,
                     show: Callable[[int, int], None] = lambda done, all_of_them: None
                     ) -> Imported:
    """Write each demo of the file as a bag into a new folder; raise UserError or Mismatch.

    Memory holds one demo. `show` is told how many of how many are written.
    """
    if contract.demonstrated != 'topic':
        raise UserError(f'{contract.file}: demonstration.action: expected topic, found '
                        f'{contract.demonstrated}; what is imported has the actions already')
    with new_path(folder) as unfinished, open_hdf5(file) as root:
        data, ours = root.child('data'), _ours(root, contract)
        names = _demo_names(data)
        transitions = repaid = 0
        start = START
        for number, name in enumerate(names):
            demo, kept = data.child(name), ours.child(name) if ours else None
            steps = _read(demo, kept, number, contract, start)
            derived = derive_transitions(steps, contract)
            repaid += _repaid(demo, derived.reward)
            transitions += len(derived)
            start = steps[-1].stamp + BETWEEN
            write_step_bag(unfinished / f'episode_{number + 1:06d}', contract, steps,
                           len(derived), **_said(kept), note=f'{name} of {file.name}')
            show(number + 1, len(names))
    return Imported(len(names), transitions, repaid)


def _ours(root: Node, contract: Contract) -> Node | None:
    """Return what only our export has; that of another contract is refused, key by key."""
    if not root.has(OURS):
        return None
    ours = root.child(OURS)
    version = ours.text('layout')
    if version != LAYOUT:
        raise ours.bad('layout', LAYOUT, repr(version[:20]), 'export the bags again')
    try:
        interface = json.loads(ours.text('interface'))
    except (ValueError, RecursionError) as error:
        raise ours.bad('interface', 'JSON', str(error)) from None
    contract.check_interface(interface, source=str(root.file))
    return ours


def _demo_names(data: Node) -> list[str]:
    """Return the demos in the order of their numbers: demo_2 before demo_10."""
    found = {name: _DEMO.fullmatch(name) for name in data.names()}
    wrong = [name for name, match in found.items() if not match]
    if wrong or not 0 < len(found) <= MAX_DEMOS:
        raise InvalidFile(data.file, [Problem(
            'data', f'1 to {MAX_DEMOS} groups demo_0, demo_1, ...',
            repr(wrong[0][:60]) if wrong else f'{len(found)} groups')])
    return sorted(found, key=lambda name: int(found[name][1]))


def _read(demo: Node, kept: Node | None, number: int, contract: Contract, start: int
          ) -> list[Step]:
    """Return the k + 1 step records of a demo; without `next_obs` one action less has an end.

    `kept` is what our export kept of them.
    """
    rows = demo.rows('actions')
    if not 2 <= rows + demo.has('next_obs') <= MAX_HORIZON + 1:
        raise demo.bad('actions', f'1 to {MAX_HORIZON} rows with what they led to', f'{rows}')
    observation = _observations(demo, rows, contract)
    k, m = len(observation) - 1, len(contract.action.layout)
    said = demo.array('actions', (rows, m))
    if kept:
        executed = demo.array('executed', (rows, m))
        columns = _step_columns(kept, k + 1)
        requested = kept.array('requested', (k + 1, m), finite=False)
    else:
        if np.abs(said).max() > 1.0:
            row = int(np.argwhere(np.abs(said) > 1.0)[0][0])
            raise demo.bad('actions', '-1 to 1: from low to high of the contract',
                           f'{said[row].tolist()} in row {row}',
                           'divide by the range, as robomimic wants it')
        executed = requested = unscaled(said, contract)
        columns = _made_up(observation, contract, start)
    published = None
    if contract.reward_topic:
        published = np.append(0.0, demo.array('rewards', (rows,)))
    records = zip(*(columns[name] for name in STEP_COLUMNS))
    return [Step(stamp, number, index, Status(status), Source(source), Mode(mode), version,
                 bool(success), observation[index], requested[min(index, len(requested) - 1)],
                 executed[min(index, rows - 1)],        # that of the last record never was
                 None if published is None else float(published[index]))
            for index, (stamp, status, source, mode, version, success) in enumerate(records)]


def _observations(demo: Node, rows: int, contract: Contract) -> np.ndarray:
    """Return what was seen (k + 1, n), the end included; raise InvalidFile with every problem."""
    groups = {name: demo.child(name) for name in ('obs', 'next_obs') if demo.has(name)}
    if 'obs' not in groups:
        raise demo.bad('obs', 'a group', 'nothing')
    problems, parts = [], {name: [] for name in groups}
    for key, columns in observation_columns(contract).items():
        for name, group in groups.items():
            try:
                parts[name].append(group.array(key, (rows, columns.stop - columns.start)))
            except InvalidFile as error:
                problems += error.problems
    if problems:
        raise InvalidFile(demo.file, problems)
    seen = np.concatenate(parts['obs'], axis=1).astype(np.float64)
    if 'next_obs' not in groups:
        return seen
    after = np.concatenate(parts['next_obs'], axis=1).astype(np.float64)
    torn = np.flatnonzero((after[:-1] != seen[1:]).any(axis=1))
    if len(torn):
        raise demo.bad('next_obs', f'in row {torn[0]} what obs has in row {torn[0] + 1}',
                       'another observation', 'split the demo where something is missing')
    return np.concatenate((seen, after[-1:]))


def _step_columns(kept: Node, count: int) -> dict[str, list[int]]:
    """Return what our export kept of the step records."""
    columns = {name: kept.array(name, (count,), INTEGERS).astype(np.int64).tolist()
               for name in STEP_COLUMNS}
    stamps = columns['stamp']
    if stamps[0] < 0 or any(later < earlier for earlier, later in zip(stamps, stamps[1:])):
        raise kept.bad('stamp', 'nanoseconds that grow', 'others')
    for name, kind in (('status', Status), ('source', Source), ('mode', Mode)):
        wrong = set(columns[name]) - set(kind)
        if wrong:
            raise kept.bad(name, ', '.join(f'{item.value} ({item.name})' for item in kind),
                           str(wrong.pop()))
    if any(status != Status.RUNNING for status in columns['status'][:-1]):
        raise kept.bad('status', 'an end in the last row only', 'one before')
    return columns


def _made_up(observation: np.ndarray, contract: Contract, start: int) -> dict[str, list[int]]:
    """Return the same where there are no records: a person's demonstration at the control rate."""
    count = len(observation)
    solved = contract.is_success(observation).astype(int).tolist()
    end = Status.TERMINATED if solved[-1] else Status.TRUNCATED
    return {'stamp': [start + round(index * 1e9 / contract.control_rate)
                      for index in range(count)],
            'status': [Status.RUNNING] * (count - 1) + [end], 'source': [Source.HUMAN] * count,
            'mode': [Mode.DEMONSTRATE] * count, 'policy_version': [-1] * count,
            'success': solved}


def _said(kept: Node | None) -> dict[str, str]:
    """Return what an export of ours says about the episode."""
    if not kept:
        return {}
    label, outcome = kept.text('label'), kept.text('outcome')
    return {'label': label if label in LABELS else '',
            'outcome': outcome if outcome in OUTCOMES else '',
            'source_bag': kept.text('bag')[:1000], 'source_session': kept.text('session')[:1000]}


def _repaid(demo: Node, rewards: np.ndarray) -> int:
    """Return how many rewards differ from the file's, if it has any."""
    if not demo.has('rewards'):
        return 0
    found = demo.array('rewards', (demo.rows('actions'),)).astype(np.float32)
    return int((found[:len(rewards)] != rewards).sum())
