"""The policy that an evaluation kept, in a folder: its artifact, and a JSON that names it.

The JSON is written last and names the artifact by its digest: a crash at any moment leaves the
policy that was kept before or the new one. Earlier artifacts stay.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
import re

from robot_rl.contract import Contract
from robot_rl.data.steps import Mode
from robot_rl.errors import UserError
from robot_rl.evaluation import Kept, NAMES, Score
from robot_rl.files import read_up_to, write_atomic
from robot_rl.learning.artifact import MAX_POLICY_BYTES
from robot_rl.policies import decode
from robot_rl.run_folder import KEPT, read_json

MODES = {name: mode for mode, name in NAMES.items()}
DIGEST = re.compile('[0-9a-f]{64}')
TOPICS = {Mode.EVALUATE: 'actor', Mode.TRANSFER: 'sim_optimal', Mode.DEMONSTRATE: 'demonstrator'}


def save_kept(folder: Path, kept: Kept, stamp: int) -> Path:
    """Write what was kept at `stamp`, ns; return the file of its artifact or raise OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(kept.artifact.data).hexdigest()
    facts = {**kept.values(), 'stamp': stamp, 'sha256': digest}
    path = _artifact(folder, facts)
    write_atomic(path, kept.artifact.data)
    write_atomic(folder / KEPT, json.dumps(facts, indent=2) + '\n')
    return path


def load_kept(folder: Path, contract: Contract) -> Kept | None:
    """Return what was kept, None where nothing was, or raise UserError with the file."""
    path = folder / KEPT
    if not path.exists():
        return None
    facts = read_json(path)
    mode = MODES.get(str(facts.get('policy')))
    if mode is None or not DIGEST.fullmatch(str(facts.get('sha256'))):      # part of a path
        raise UserError(f'{path}: expected policy: one of {", ".join(MODES)}, and sha256; found '
                        f'{facts.get("policy")!r}, {facts.get("sha256")!r}; remove the file')
    artifact = _artifact(folder, facts)
    data = read_up_to(artifact, MAX_POLICY_BYTES)
    if len(data) <= MAX_POLICY_BYTES and hashlib.sha256(data).hexdigest() != facts['sha256']:
        raise UserError(f'{artifact}: it is not the file that {path} names; remove that one')
    there = [one for one in NAMES if f'{NAMES[one]}_version' in facts]
    versions = {one: _count(facts, f'{NAMES[one]}_version', path) for one in there}
    scores = {one: Score(_count(facts, f'{NAMES[one]}_episodes', path),
                         _count(facts, f'{NAMES[one]}_successes', path)) for one in there}
    if not {mode, Mode.EVALUATE} <= set(there):
        raise UserError(f'{path}: expected versions of learned and {NAMES[mode]}; remove the file')
    return Kept(mode, decode(data, TOPICS[mode], contract, str(artifact)), versions, scores)


def _artifact(folder: Path, facts: dict) -> Path:
    return folder / f'{facts["policy"]}-{facts["sha256"][:12]}.safetensors'


def _count(facts: dict, key: str, path: Path) -> int:
    value = facts.get(key)
    if type(value) is not int or value < 0:
        raise UserError(f'{path}: {key}: expected a number of 0 or more, found {value!r}')
    return value
