"""Find the files that come with the package: in a checkout, a colcon prefix, or a venv."""

from __future__ import annotations

import os
from pathlib import Path
import sys

from robot_rl.installed import find_installed

CONTRACT_FOLDERS = ('config', 'config/robots')      # below the shared folders
NO_CONTRACTS = {'robot_rl'}     # files in them that are none


def share_folders() -> list[Path]:
    """Return the folders that may hold config/, launch/ and rviz/, nearest first."""
    checkout = Path(__file__).resolve().parents[1]
    folders = [checkout] if (checkout / 'package.xml').is_file() else []
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) + [sys.prefix]
    return folders + [Path(prefix) / 'share' / 'robot_rl' for prefix in prefixes if prefix]


def shared_file(relative: str) -> Path | None:
    """Return the first existing file of that relative path, or None."""
    for folder in share_folders():
        if (folder / relative).is_file():
            return folder / relative
    return None


def shipped_contracts() -> list[str]:
    """Return the names of the contracts that come with the package."""
    return sorted({file.stem for folder in share_folders() for inner in CONTRACT_FOLDERS
                   for file in (folder / inner).glob('*.yaml')} - NO_CONTRACTS)


def is_name(name_or_path: str) -> bool:
    """Tell whether a text may be the name of a shipped contract, and is no path."""
    return '/' not in name_or_path and not name_or_path.endswith(('.yaml', '.yml'))


def contract_path(name_or_path: str) -> Path:
    """Return the file of a contract: a path as given, a bare name from the shipped config/.

    Those of robots that people have are in config/robots/.
    """
    if is_name(name_or_path):
        for folder in CONTRACT_FOLDERS:
            if shipped := shared_file(f'{folder}/{name_or_path}.yaml'):
                return shipped
    return Path(name_or_path)


def model_path(text: str, contract_file: Path) -> Path:
    """Return the file of `package.module:file.xml`, or of a path relative to the contract."""
    package, colon, name = text.partition(':')
    spec = find_installed(package, contract_file.parent) if colon else None
    if spec and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / name
    return contract_file.parent / text
