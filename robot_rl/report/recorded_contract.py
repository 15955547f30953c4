"""The contract of a run that keeps no copy of it: every bag of the recorder has its text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import tempfile

from robot_rl.contract import Contract, load_contract
from robot_rl.data.bag import read_info
from robot_rl.errors import InvalidFile, UserError


def recorded_contract(run_dir: Path, bags: Sequence[Path]) -> Contract:
    """Load what the newest bag, the last of `bags`, says that it was made under.

    Raises UserError where no bag says it, or says what is no contract.
    """
    for folder in reversed(bags):
        try:
            text = read_info(folder).custom_data.get('contract', '')
        except UserError:       # told of with the bags
            continue
        if text:
            return _load(text, folder)
    raise UserError(f'{run_dir}: neither contract.yaml nor run.json is there, and no bag has its '
                    'contract; copy the contract of the run to contract.yaml')


def _load(text: str, folder: Path) -> Contract:
    """Load a text by way of a file; what is wrong is told of the bag."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, 'contract.yaml')
        file.write_text(text, encoding='utf-8')
        try:
            return load_contract(str(file))
        except InvalidFile as error:
            raise InvalidFile(f'{folder}: custom_data.contract', error.problems) from None
