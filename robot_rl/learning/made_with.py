"""Whether a checkpoint was made with a learner's parameters: what differs is named."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from robot_rl.errors import UserError
from robot_rl.learning.config import DEMONSTRATOR, FULL, LearnerConfig, SacConfig

KINDS = (('core', str), ('start_from', lambda start: start == DEMONSTRATOR))    # of full


def check_made_with(path: Path, manifest: dict, config: LearnerConfig, sac: SacConfig) -> None:
    """Raise UserError for a checkpoint that is built otherwise, or has other hyper-parameters."""
    made = manifest.get('learner')
    made = made if isinstance(made, dict) and config.method == FULL else {}
    different = [f'{name}: expected "{mine}", found "{found}"' for name, kind in KINDS
                 if kind(found := made.get(name, mine := getattr(config, name))) != kind(mine)]
    if not different and manifest.get('sac') != asdict(sac):
        different = _differences(asdict(sac), manifest.get('sac'))
    if different:
        raise UserError(f'{path}: {", ".join(different)}; give the parameters that it was made '
                        'with, or another folder')


def _differences(expected: dict, found) -> list[str]:
    """Return what a checkpoint's manifest has otherwise than the parameters."""
    if not isinstance(found, dict):
        return [f'sac: expected a mapping, found {type(found).__name__}']
    missing = object()
    return [f'{key}: expected {expected.get(key, "no such parameter")}, '
            f'found {found.get(key, "nothing")}'
            for key in sorted({*expected, *found}, key=str)
            if expected.get(key, missing) != found.get(key, missing)]
