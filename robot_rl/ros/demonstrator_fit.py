"""The fit of the posterior demonstrator as a job of a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.fit_options import child_command
from robot_rl.fit_run import fit_identity, FitSettings, read_newest
from robot_rl.ros.training import Trained
from robot_rl.training_run import run_folder


@dataclass(frozen=True)
class FitOrder:
    """What a node's parameters ask for."""

    root: Path                  # every request has a folder of its own below it
    bags: tuple[Path, ...]
    settings: FitSettings


class DemonstratorFit:
    """Gives `demonstrator`; a Job.

    order   returns what the parameters, which may change, ask for now
    """

    service, word, subject = 'fit', 'fit', 'demonstrator'
    topics = ('demonstrator',)
    figures = ('version', 'episodes', 'steps', 'alpha', 'covered_50', 'covered_80', 'covered_90',
               'covered_95')
    looks_again = True          # the recordings may have changed: the child reads them

    def __init__(self, contract: Contract, order: Callable[[], FitOrder]):
        self._contract, self._order = contract, order

    @property
    def root(self) -> Path:
        """Folder of the fits."""
        return self._order().root

    def check(self) -> None:
        """Raise UserError for settings that cannot work, and where there is nothing to read."""
        order = self._order()
        if not order.bags:
            raise UserError('the parameter bags names no folder')
        order.settings.check()

    def run(self) -> tuple[Path, dict]:
        """Return folder and identity of the request that the parameters make now."""
        order = self._order()
        identity = fit_identity(self._contract, order.settings, order.bags)
        return run_folder(order.root, identity), identity

    def command(self, folder: Path) -> list[str]:
        """Return the argv of a process that reads and fits there."""
        order = self._order()
        return child_command(self._contract.file.absolute(), folder, order.settings, order.bags)

    def result(self, folder: Path, identity: dict) -> Trained | None:
        """Return the newest fit of a request."""
        found = read_newest(folder, self._contract, identity)
        return found and Trained({'demonstrator': found.artifact}, found.summary)
