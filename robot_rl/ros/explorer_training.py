"""The training of exploration policies as a job of a node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robot_rl.contract import Contract
from robot_rl.ros.training import Trained
from robot_rl.sim.explorer_options import child_command
from robot_rl.sim.explorer_run import check_trainable, read_result, run_identity
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.training_run import run_folder

PARAMETERS = {'steps': 'sim_steps', 'updates': 'sim_updates', 'seed': 'train_seed',
              'threads': 'train_workers', 'gaps': 'train_gaps'}     # setting -> its parameter


class ExplorerTraining:
    """Gives `explorers` and `sim_optimal`; a Job.

    root   each run has a folder of its own below it
    gaps   the texts that `settings.gaps` were read from
    """

    service, word, subject = 'train_explorers', 'training', 'explorers'
    topics = ('explorers', 'sim_optimal')
    figures = ('pool', 'success', 'task_success', 'cells', 'fraction', 'lambda_min', 'log_det')
    looks_again = False         # the folder's name says all that the result depends on

    def __init__(self, contract: Contract, settings: TrainSettings, gaps: Sequence[str],
                 root: Path):
        self._contract, self._settings, self._gaps, self.root = contract, settings, gaps, root

    def check(self) -> None:
        """Raise UserError for settings, a model or a gap that cannot work."""
        check_trainable(self._contract, self._settings, PARAMETERS)

    def run(self) -> tuple[Path, dict]:
        """Return folder and identity of the run that the settings and the model make now."""
        identity = run_identity(self._contract, self._settings)
        return run_folder(self.root, identity), identity

    def command(self, folder: Path) -> list[str]:
        """Return the argv of a process that trains there."""
        return child_command(self._contract.file.absolute(), folder, self._settings, self._gaps)

    def result(self, folder: Path, identity: dict) -> Trained | None:
        """Return the two artifacts of a run."""
        found = read_result(folder, self._contract, identity)
        return found and Trained({'explorers': found.explorers, 'sim_optimal': found.sim_optimal},
                                 found.summary)
