"""What a run is, for a person: from its folder alone, whatever happened to the run."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import time

from robot_rl.bringup import FOLDERS as WRITTEN
from robot_rl.data.bag import find_bags, read_bag, read_info
from robot_rl.data.bag_metadata import BagInfo
from robot_rl.data.bag_summary import REAL_TIME
from robot_rl.errors import UserError
from robot_rl.learning.base_success import JUDGED
from robot_rl.locks import is_held
from robot_rl.run_folder import (CONTRACT, DEMONSTRATIONS, FOLDERS, POLICIES, read_kept, read_run,
                                 RUN, WINDOW)
from robot_rl.schema import load_yaml

MARKS = (RUN, CONTRACT, *FOLDERS, *dict(WRITTEN.values()).values())     # one of them is in a run
LOCKS = ('*/.lock', '*/*/lock')     # of recorders; of trainings and fits
STATES = ('running', 'finished', 'interrupted', 'failed')
STARTING = 60.0                     # s that a run may take until its nodes hold their locks
LATEST = 1e11                       # s since 1970 that a calendar still shows


@dataclass(frozen=True)
class RunSummary:
    """One run. What its folder does not tell is empty."""

    name: str
    folder: str
    started: float          # s since 1970
    kind: str               # demo, demo-demonstrations, robot, sim, explorers or fit
    task: str
    contract_hash: str
    state: str              # one of STATES
    episodes: int           # recorded, discarded ones not counted
    mode: str               # of the newest episodes
    successes: int          # among them
    counted: int            # how many there are that were not stopped, at most WINDOW
    kept: str               # which policy, and how those that were compared did
    bytes: int              # of all its files
    note: str               # why it failed, or what cannot be read


def find_runs(root: Path) -> list[Path]:
    """Return the runs in a folder, or the folder itself where it is one."""
    if not root.is_dir():
        raise UserError(f'{root}: no such folder; name one that holds runs')
    if _is_run(root):
        return [root]
    return [folder for folder in sorted(root.iterdir()) if _is_run(folder)]


def is_running(folder: Path) -> bool:
    """Tell whether a node is at work in the folder of a run: whoever writes there holds a lock."""
    return any(is_held(lock) for pattern in LOCKS for lock in folder.glob(pattern))


def summarize(folder: Path) -> RunSummary:
    """Return what the folder of a run tells; only the newest of its bags are opened."""
    notes = []
    try:
        run = read_run(folder)
    except UserError as error:
        run = {}
        notes.append(str(error))
    roots = [folder / name for name in FOLDERS if (folder / name).is_dir()]
    bags = [bag for root in roots for bag in find_bags(root)]
    newest = _infos(bags[-2 * WINDOW:])
    mode, results = _newest(newest)
    state, why = _state(folder, run, newest)
    told = newest[-1].custom_data if newest else {}
    return RunSummary(
        folder.resolve().name, str(folder), _started(folder, run), _kind(folder, run, bags),
        told.get('task', '') or _task(folder), told.get('contract_hash', ''), state, len(bags),
        mode, sum(results), len(results), _kept(read_kept(folder, run)), _size(folder),
        '; '.join([*notes, *why]))


def _is_run(folder: Path) -> bool:
    # Not Path.exists: it raises in what only root may enter, such as a disk's lost+found.
    return folder.is_dir() and any(os.path.exists(folder / mark) for mark in MARKS)


def _infos(bags: list[Path]) -> list[BagInfo]:
    found = []
    for bag in bags:
        try:
            found.append(read_info(bag))
        except (UserError, OSError):      # `robot_rl bag inspect` says why
            continue
    return found


def _newest(infos: list[BagInfo]) -> tuple[str, list[bool]]:
    """Return the mode of the newest episodes and their successes.

    Of a comparison it is that of the learned policy, which acts in turns with its rival. What was
    stopped or cut off could no longer succeed, and is not among them.
    """
    known = [(info.custom_data['mode'], info.custom_data.get('outcome', ''))
             for info in infos if info.custom_data.get('mode')]
    modes = [mode for mode, _ in known]
    mode = 'evaluate' if 'evaluate' in modes else modes[-1] if modes else ''
    return mode, [outcome == 'success' for found, outcome in known
                  if found == mode and outcome in JUDGED][-WINDOW:]


def _state(folder: Path, run: dict, newest: list[BagInfo]) -> tuple[str, list[str]]:
    """Return one of STATES, and why a run failed."""
    ended = str(run.get('ended', ''))
    if ended.startswith('failed'):
        return 'failed', [ended.removeprefix('failed: ')]
    if ended in ('completed', 'interrupted'):
        return {'completed': 'finished'}.get(ended, ended), []
    if is_running(folder):
        return 'running', []
    if run:     # nobody is at work: it was killed, or has just begun
        young = time.time() - (folder / RUN).stat().st_mtime < STARTING
        return 'running' if young else 'interrupted', []
    return 'finished' if not newest or newest[-1].complete else 'interrupted', []


def _kind(folder: Path, run: dict, bags: list[Path]) -> str:
    if run:
        return 'demo-demonstrations' if (folder / DEMONSTRATIONS).is_dir() else 'demo'
    if bags:
        first = next(read_bag(bags[-1]), None)
        return 'sim' if first and first.log_time < REAL_TIME else 'robot'
    trained = {'explorers': 'explorers', 'demonstrators': 'fit'}
    return next((kind for name, kind in trained.items() if (folder / name).is_dir()), '')


def _started(folder: Path, run: dict) -> float:
    """Return when a run began: as it says, as its recorder says, or when its folder changed."""
    started = run.get('started')
    if isinstance(started, (int, float)) and 0.0 <= started < LATEST:
        return float(started)
    for name in FOLDERS:
        try:
            began = load_yaml(folder / name / 'session.yaml').get('began')
        except (UserError, OSError):
            continue
        if isinstance(began, int) and 0 <= began < LATEST * 1e9:
            return began / 1e9
    return folder.stat().st_mtime


def _task(folder: Path) -> str:
    try:
        return str(load_yaml(folder / CONTRACT).get('task', ''))
    except (UserError, OSError):
        return ''


def _kept(kept: dict | None) -> str:
    """Return which policy was kept, with the successes of each that was measured for it."""
    if kept is None:
        return ''
    order = sorted(POLICIES, key=lambda name: name != kept['policy'])
    return ', '.join(f'{POLICIES[name]} {kept[f"{name}_successes"]}/{kept[f"{name}_episodes"]}'
                     for name in order if {f'{name}_successes', f'{name}_episodes'} <= set(kept)
                     ) or POLICIES[kept['policy']]


def _size(folder: Path) -> int:
    """Return the bytes of all files below; what goes while they are counted is not."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(path, name)).st_size
            except OSError:
                continue
    return size
