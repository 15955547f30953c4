"""A training run on disk: which run a folder holds, who works in it, what was asked, its result.

Each run has a folder of its own, named after everything that its result depends on: other
settings or another model are another folder, so nothing is ever overwritten, and asking for the
same again finds what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
import fcntl
import hashlib
import json
from pathlib import Path
import time
from types import MappingProxyType

from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.learning.policy import decode_explorers, decode_policy, MAX_POLICY_BYTES
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.twin import Twin

EXPLORERS, SIM_OPTIMAL = 'explorers.safetensors', 'sim_optimal.safetensors'
REQUEST, LOCK = 'request.json', 'lock'
PHASES = ('training', 'cancelled', 'failed', 'done')
MAX_REQUEST = 1 << 20       # bytes
LOCK_WAIT = 10.0            # s for a process to end whose parent was killed; it takes far less


@dataclass(frozen=True)
class Result:
    """Two policy artifacts and what they did in the simulator that they come from."""

    explorers: bytes
    sim_optimal: bytes
    summary: dict


@dataclass(frozen=True)
class Request:
    """What became of a run that somebody asked for."""

    phase: str              # one of PHASES; training: it is to go on
    reason: str
    run: dict               # its identity


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


def run_folder(root: Path, identity: dict) -> Path:
    """Return the folder of a run."""
    text = json.dumps(identity, sort_keys=True)
    return root / hashlib.sha256(text.encode()).hexdigest()[:12]


def check_identity(expected: dict, found, path: Path) -> None:
    """Raise UserError naming the first difference, where a file is of another run."""
    found = found if isinstance(found, dict) else {}
    for key, value in expected.items():
        if found.get(key) != value:
            raise UserError(f'{path}: {key}: expected {value}, found {found.get(key)}; '
                            'train with the same again, or in another folder')


def check_trainable(contract: Contract, settings: TrainSettings,
                    names: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raise UserError for settings, a model or a gap that cannot work, without training."""
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


def write_request(folder: Path, request: Request) -> None:
    """Remember a request beyond the life of this process; raise OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / REQUEST, json.dumps(asdict(request), indent=1) + '\n')


def read_request(folder: Path) -> Request | None:
    """Return what was asked for in a folder, None for nothing; raise UserError."""
    path = folder / REQUEST
    if not path.is_file():
        return None
    try:
        with open(path, 'rb') as file:
            found = Request(**json.loads(file.read(MAX_REQUEST)))
        if found.phase not in PHASES:
            raise ValueError(f'phase {found.phase!r}')
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f'{path}: expected a request for training, found {error}; '
                        'move it away') from None
    return found


@contextmanager
def alone_in(folder: Path, patience: float = LOCK_WAIT) -> Iterator[None]:
    """Hold a folder, made if need be; raise UserError where another process holds it.

    The system gives it free when this process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with open(folder / LOCK, 'ab') as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(f'{folder}: another process trains in this folder; wait for '
                                    'its end, or cancel it') from None
                time.sleep(0.05)
        yield
