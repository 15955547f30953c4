"""Fit the posterior demonstrator to recordings, as a process of its own.

Recordings -> episodes of the contract -> Demonstrations -> Fit, round by round -> artifact. The
fit is written down after each round: one that was killed at any moment reads the recordings again,
goes on from the last whole round and ends with the same bits.
`python -m robot_rl.fit_demonstrator` prints a JSON object per round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import sys
import time

from robot_rl import __version__
from robot_rl.contract import Contract, load_contract
from robot_rl.data.ingest import Ingest, IngestSettings
from robot_rl.data.ingest_report import IngestReport
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.fit_options import parse, settings_of
from robot_rl.fit_run import (CALIBRATION, data_digest, DEMONSTRATOR, fit_identity, FitSettings,
                              Fitted, read_fit, write_newest)
from robot_rl.learning.checkpoint import newest_checkpoint, save_checkpoint
from robot_rl.learning.demonstrations import Demonstrations
from robot_rl.learning.posterior import Fit, plot
from robot_rl.training_process import run_child
from robot_rl.training_run import alone_in, check_identity, read_request, REQUEST
import torch

KEEP = 2                    # checkpoints
TELL_PERIOD = 0.5           # s between two words about reading


@dataclass(frozen=True)
class Recorded:
    """What the recordings hold for the contract."""

    episodes: list[Transitions]
    counts: dict            # plain numbers, for the status
    refusal: str            # why episodes or recordings were not taken, '' where all were


def fit_demonstrator(contract: Contract, settings: FitSettings, bags: Sequence[Path],
                     say: Callable[..., None], cancelled: Callable[[], bool], folder: Path,
                     clock: Callable[[], float] = time.monotonic) -> Fitted | None:
    """Run, or go on with, the fit in the folder of a request; None where it was cancelled.

    `say(state, **figures)` tells where it stands: preparing, then training after every round.
    Raises UserError for settings, recordings or a folder that cannot work.
    """
    settings.check()
    torch.set_num_threads(settings.threads)
    identity = fit_identity(contract, settings, bags)
    folder = Path(folder)
    with alone_in(folder):
        asked = read_request(folder)
        if asked:
            check_identity(identity, asked.run, folder / REQUEST)
        found = read(contract, settings.ingest, bags, say, cancelled, folder, clock)
        if cancelled():
            return None
        run = Fitting(contract, settings, identity, found, folder)
        if not (done := read_fit(run.folder, contract, run.identity)):
            started, first = clock(), run.resume()
            while not run.fit.done:
                if cancelled():
                    return None
                figures = run.round()
                share = (clock() - started) / max(figures['percent'] - first, 1e-9)
                say('training', **found.counts, **figures,
                    eta=share * (100.0 - figures['percent']))
            done = run.finish()
        write_newest(folder, run.folder.name)
        return done


def read(contract: Contract, settings: IngestSettings, bags: Sequence[Path],
         say: Callable[..., None], cancelled: Callable[[], bool], folder: Path,
         clock: Callable[[], float]) -> Recorded:
    """Read the recordings; leave the report in the folder that their contents name."""
    ingest, report = Ingest(bags, contract, settings, cancelled), IngestReport(contract)
    episodes, told = [], clock()
    for found in ingest:
        if cancelled():
            break
        report.add(found)
        episodes.append(found.transitions)
        if clock() - told > TELL_PERIOD:
            told = clock()
            say('preparing', stage='reading', percent=0.0, episodes=report.episodes,
                steps=report.transitions)
    summary = report.summary(ingest.readings)
    reasons = [reading.refused for reading in ingest.readings if reading.refused] + [
        f'{reason} ({times} times)' for reason, times in summary['dropped_because'].items()]
    counts = {'episodes': report.episodes, 'steps': report.transitions,
              'successes': report.successes, 'dropped': summary['episodes_dropped'],
              'refused': summary['refused']}
    if not cancelled():
        report.write(folder / data_digest(episodes), ingest.readings)
    return Recorded(episodes, counts, '; '.join(reasons[:5]))


class Fitting:
    """One run: its fit and its folder."""

    def __init__(self, contract: Contract, settings: FitSettings, identity: dict,
                 found: Recorded, root: Path):
        data = data_digest(found.episodes)
        self.contract, self.found, self.folder = contract, found, root / data
        self.identity = {**identity, 'data': data}
        self.rounds = 0
        self.version = 1 + len(list(root.parent.glob(f'*/*/{DEMONSTRATOR}')))   # counts fits
        config = settings.fit
        try:
            self.fit = Fit(Demonstrations.build(found.episodes, contract, config.chunk,
                                                config.folds, config.seed), config)
        except UserError as error:
            why = found.refusal and f'; not taken: {found.refusal}'
            raise UserError(f'{error}{why}; see {self.folder}') from None

    def resume(self) -> float:
        """Take up the newest whole checkpoint; return how far it is, in percent."""
        found, _ = newest_checkpoint(self.folder, self.contract)
        if not found:
            return 0.0
        path, arrays, manifest = found
        check_identity(self.identity, manifest.get('run'), path)
        try:
            self.fit.restore(arrays, manifest['state'])
            self.rounds, self.version = manifest['updates'], manifest['version']
            return manifest['percent']
        except (KeyError, UserError) as error:
            raise UserError(f'{path}: {error}; move it away') from None

    def round(self) -> dict:
        """Work for some seconds and save; return where the fit stands."""
        figures = self.fit.round()
        self.rounds += 1
        save_checkpoint(self.folder, self.fit.arrays(), {
            'updates': self.rounds, 'state': self.fit.manifest(), 'run': self.identity,
            'version': self.version, 'percent': figures['percent']}, self.contract, KEEP)
        return figures

    def finish(self) -> Fitted:
        """Write the calibration, then the artifact: with it the run is done."""
        fit, table = self.fit, self.fit.calibration
        summary = {'data': self.folder.name, 'version': self.version, 'alpha': table['alpha'],
                   **self.found.counts,
                   **{f'covered_{100 * level:.0f}': share
                      for level, share in zip(table['levels'], table['covered'])}}
        artifact = fit.artifact(self.contract, self.version, {
            'package': f'robot_rl {__version__}', 'run': self.identity, 'summary': summary})
        write_atomic(self.folder / f'{CALIBRATION}.json', json.dumps(table, indent=2) + '\n')
        write_atomic(self.folder / f'{CALIBRATION}.png', plot(table))
        write_atomic(self.folder / DEMONSTRATOR, artifact)
        return Fitted(self.folder, artifact, summary)


def main(arguments: list[str] | None = None) -> int:
    """Fit in a folder and print JSON lines: progress, then the result, or the error."""
    options = parse(arguments)

    def train(say: Callable[..., None], cancelled: Callable[[], bool]) -> dict | None:
        fitted = fit_demonstrator(load_contract(options.contract), settings_of(options),
                                  options.bag, say, cancelled, options.run_dir)
        return fitted and fitted.summary

    return run_child(train, options.with_parent)


if __name__ == '__main__':
    sys.exit(main())
