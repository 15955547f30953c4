"""The folder of a run: its contract, where its episodes are, and what run.json says.

A demo writes run.json; a run of the launch files has only a copy of its contract and what its
nodes wrote.
"""

from __future__ import annotations

import json
from pathlib import Path

from robot_rl.errors import UserError
from robot_rl.files import write_atomic

# Folders of bags below a run. What is in the first two the learner never took from the robot.
DEMONSTRATIONS, MEASURED, BAGS = FOLDERS = 'demonstrations', 'measured', 'bags'
RUN = 'run.json'
CONTRACT = 'contract.yaml'
KEPT_FOLDER, KEPT = 'kept', 'kept.json'     # what policy_server writes of the policy it kept
MAX_RUN_BYTES = 16 << 20
WINDOW = 20             # newest episodes whose successes tell how well it goes
POLICIES = {'learned': 'learned', 'sim_optimal': 'sim-optimal',     # that may be kept
            'demonstrator': 'demonstrator'}


def keep_contract(run_dir: Path, text: str) -> None:
    """Leave the text of a run's contract in its folder; that of an earlier start is in its bags.

    Raises OSError.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    write_atomic(run_dir / CONTRACT, text)


def read_run(run_dir: Path) -> dict:
    """Return run.json, or an empty mapping where the run was not started by the demo."""
    path = run_dir / RUN
    return read_json(path) if path.is_file() else {}


def read_kept(run_dir: Path, run: dict) -> dict | None:
    """Return which policy was kept and how it did, as run.json or else policy_server says.

    None where none was, or what says so cannot be read.
    """
    path, kept = run_dir / KEPT_FOLDER / KEPT, run.get('kept')
    if kept is None and path.is_file():
        try:
            kept = read_json(path)
        except UserError:
            return None
    return kept if isinstance(kept, dict) and str(kept.get('policy')) in POLICIES else None


def read_json(path: Path) -> dict:
    """Return the mapping in a file, of which at most MAX_RUN_BYTES are read; raise UserError."""
    try:
        with open(path, encoding='utf-8') as file:
            run = json.loads(file.read(MAX_RUN_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f'{path}: cannot be read: {error}') from None
    if not isinstance(run, dict):
        raise UserError(f'{path}: expected a mapping, found {type(run).__name__}')
    return run
