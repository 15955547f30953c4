"""A fit of the demonstrator on disk: what it depends on, and its result.

    root/<request>/                 named after the settings and where the recordings are
        request.json  lock
        newest.json                 which of the fits below is the newest
        <data>/                     named after what was read: a digest of all transitions
            checkpoint_*.safetensors  demonstrator.safetensors  calibration.json  ...

What is in the recordings is known once they were read, which the child does. So a request has a
folder at once, other recordings in the same place get a folder of their own within it, and the
same ones are never fitted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
import hashlib
import json
from pathlib import Path
import re

from robot_rl.contract import Contract
from robot_rl.data.ingest import IngestSettings
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.learning.artifact import MAX_POLICY_BYTES
from robot_rl.learning.config import FitConfig
from robot_rl.learning.diffusion_policy import decode_demonstrator
from robot_rl.training_run import check_identity

DEMONSTRATOR, CALIBRATION, NEWEST = 'demonstrator.safetensors', 'calibration', 'newest.json'
MAX_NEWEST = 1 << 10        # bytes


@dataclass(frozen=True)
class FitSettings:
    """Which episodes to take, and how to fit."""

    ingest: IngestSettings = field(default_factory=IngestSettings)
    fit: FitConfig = field(default_factory=FitConfig)
    threads: int = 2            # of torch; sums of floats depend on it, so the result does

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        self.fit.check()
        if self.threads < 1:
            raise UserError(f'fit: threads: expected at least 1, found {self.threads}')


@dataclass(frozen=True)
class Fitted:
    """The demonstrator of a fit, and what is told of it."""

    folder: Path
    artifact: bytes
    summary: dict


def fit_identity(contract: Contract, settings: FitSettings, bags: Sequence[Path]) -> dict:
    """Return what a fit depends on, short of what the recordings hold; as JSON gives it back."""
    same = {**asdict(settings.ingest), **asdict(settings.fit), 'threads': settings.threads,
            'task': contract.task, 'contract': hashlib.sha256(contract.text.encode()).hexdigest(),
            'bags': [str(path.absolute()) for path in bags]}
    return json.loads(json.dumps(same))


def data_digest(episodes: Sequence[Transitions]) -> str:
    """Return a digest of episodes, in their order, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for episode in episodes:
        for name, column in vars(episode).items():
            digest.update(f'{name} {column.dtype} {column.shape}'.encode())
            digest.update(column.tobytes())
    return digest.hexdigest()[:12]


def read_fit(folder: Path, contract: Contract, identity: dict) -> Fitted | None:
    """Return the fit in the folder of its data; raise UserError or Mismatch for another's."""
    path = folder / DEMONSTRATOR
    if not path.is_file():
        return None
    with open(path, 'rb') as file:
        artifact = file.read(MAX_POLICY_BYTES + 1)      # decoding refuses the one more
    provenance = decode_demonstrator(artifact, contract, str(path)).manifest['provenance']
    check_identity(identity, provenance.get('run'), path)
    summary = provenance.get('summary')
    if not isinstance(summary, dict):
        raise UserError(f'{path}: summary: expected a mapping, found {summary!r}')
    return Fitted(folder, artifact, summary)


def read_newest(folder: Path, contract: Contract, identity: dict) -> Fitted | None:
    """Return the newest fit in the folder of a request, None before the first."""
    path = folder / NEWEST
    if not path.is_file():
        return None
    try:
        with open(path, 'rb') as file:
            data = json.loads(file.read(MAX_NEWEST))['data']
        if not re.fullmatch('[0-9a-f]{12}', data):
            raise ValueError(f'data {data!r}')
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f'{path}: expected the name of a fit, found {error}; move it away'
                        ) from None
    return read_fit(folder / data, contract, identity)


def write_newest(folder: Path, data: str) -> None:
    """Say which fit is the newest."""
    write_atomic(folder / NEWEST, json.dumps({'data': data}) + '\n')
