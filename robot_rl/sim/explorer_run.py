"""A training of explorers on disk: what it depends on, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
from types import MappingProxyType

from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.learning.artifact import MAX_POLICY_BYTES
from robot_rl.learning.policy import decode_explorers, decode_policy
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.twin import Twin
from robot_rl.training_run import check_identity

EXPLORERS, SIM_OPTIMAL = 'explorers.safetensors', 'sim_optimal.safetensors'
TRAINED = ('explorers', 'sim_optimal')          # artifacts of a result, as topics name them


@dataclass(frozen=True)
class Result:
    """Two policy artifacts and what they did in the simulator that they come from."""

    explorers: bytes
    sim_optimal: bytes
    summary: dict


def run_identity(contract: Contract, settings: TrainSettings) -> dict:
    """Return what a result depends on, as JSON gives it back; raise UserError without a model."""
    try:
        model = contract.simulation.model.read_bytes()
    except OSError as error:
        raise UserError(f'{contract.simulation.model}: cannot be read: {error.strerror}') from None
    digest = hashlib.sha256(contract.text.encode() + model)
    same = {**asdict(settings), 'simulator': digest.hexdigest(), 'task': contract.task,
            'reward': contract.in_simulation.reward_name, 'success': contract.success_name}
    same.pop('threads')         # of no influence on the result
    return json.loads(json.dumps(same))


def check_trainable(contract: Contract, settings: TrainSettings,
                    names: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raise UserError for what cannot work, without training: task, settings, a model, a gap."""
    contract.in_simulation.check_functions()
    settings.check(contract.episode.horizon, names)
    for gap in dict.fromkeys(settings.gaps):
        Twin(contract, gap)


def read_result(folder: Path, contract: Contract, identity: dict) -> Result | None:
    """Return the result in a folder; raise UserError or Mismatch where it is not of that run."""
    paths = [folder / name for name in (EXPLORERS, SIM_OPTIMAL)]
    if not all(path.is_file() for path in paths):
        return None
    artifacts = []
    for path in paths:
        with open(path, 'rb') as file:
            artifacts.append(file.read(MAX_POLICY_BYTES + 1))       # decoding refuses the one more
    policies, _ = decode_explorers(artifacts[0], contract, str(paths[0]))
    task = decode_policy(artifacts[1], contract, str(paths[1]))
    for path, policy in zip(paths, (policies[0], task)):
        check_identity(identity, policy.manifest['provenance'].get('run'), path)
    summary = policies[0].manifest['provenance'].get('summary')
    if not isinstance(summary, dict):
        raise UserError(f'{paths[0]}: summary: expected a mapping, found {summary!r}')
    return Result(*artifacts, summary)
