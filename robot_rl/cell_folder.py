"""The cells of an experiment in a folder: what is there is not run again.

A cell is a hashable value with the name of its `file` and what it `needs`: another cell, whose
artifact it starts from, or None. Its result is a JSON object, and beside it the artifact if it
makes one. The object comes last, so a cell is there or it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
import json
from pathlib import Path
import statistics
import time
from typing import Any, Protocol

from robot_rl.engine import Failure, run_cells
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.progress import bar

SETTINGS = 'settings.json'
NEEDED = 'not run: what it starts from has failed'


class Cell(Protocol):
    """One part of an experiment."""

    file: str                   # name of its result, without suffix
    needs: Cell | None          # whose artifact it starts from


@dataclass(frozen=True)
class Job:
    """A cell with all that it needs, as it goes to a worker."""

    cell: Any
    data: Any                   # of the experiment
    artifact: bytes = b''       # of the cell that it needs


def run_cell(job: Job) -> tuple[dict, bytes]:
    """Return what a cell found and took, and its artifact; runs in a worker."""
    use_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    row, artifact = job.cell.run(job.data, job.artifact)
    return {**row, 'wall_seconds': time.perf_counter() - wall,
            'cpu_seconds': time.process_time() - cpu}, artifact


class CellFolder:
    """Cells, in the order in which they are to run, and what is known of them."""

    def __init__(self, folder: Path, cells: Sequence[Cell], settings: dict[str, dict]):
        """Take up what is there; raise UserError for the folder of other settings."""
        self.folder = folder
        (folder / 'cells').mkdir(parents=True, exist_ok=True)
        self._check(settings)
        self.cells = list(cells)
        self.found: dict[Cell, dict] = {}
        self.failed: dict[Cell, str] = {}
        for cell in self.cells:
            path = self._path(cell, '.json')
            if path.is_file():
                self.found[cell] = _read(path)

    @property
    def left(self) -> list[Cell]:
        """Cells that are neither found nor failed."""
        return [cell for cell in self.cells if cell not in self.found and cell not in self.failed]

    def work(self, function: Callable[[Job], tuple[dict, bytes]], data: Callable[[Cell], Any],
             workers: int, engine: str) -> Iterator[Cell]:
        """Run what is left; yield each cell once it is found or failed.

        `function` returns the result and the artifact of a job, `data` what a cell is given.
        """
        waiting = self.left

        def free(needed: Cell | None, artifact: bytes) -> list[Job]:
            ready = [cell for cell in waiting if cell.needs == needed]
            waiting[:] = [cell for cell in waiting if cell.needs != needed]
            return [Job(cell, data(cell), artifact) for cell in ready]

        def then(job: Job, outcome) -> list[Job]:
            return [] if isinstance(outcome, Failure) else free(job.cell, outcome[1])

        ready = free(None, b'')
        for needed in [cell for cell in self.cells if cell in self.found]:
            if any(cell.needs == needed for cell in waiting):
                ready += free(needed, self._artifact(needed))
        with closing(run_cells(function, ready, workers, engine, then)) as finished:
            for job, outcome in finished:
                self._keep(job.cell, outcome)
                yield job.cell
        for cell in waiting:
            self.failed[cell] = NEEDED
            yield cell

    @property
    def failures(self) -> dict[str, str]:
        """Why cells have failed, by their names."""
        return {str(cell): reason for cell, reason in self.failed.items()}

    def told(self, cell: Cell, described: Callable[[Cell, dict], str], workers: int,
             kind: Callable[[Cell], str]) -> str:
        """Return a line on a cell that has ended, and on what is left.

        `described` says what was found. Cells of a kind take as long; one of a kind that none was
        found of takes as this one.
        """
        if cell in self.failed:
            return f'FAILED {cell}: {self.failed[cell]}'
        seconds: dict[str, list[float]] = {}
        for other, found in self.found.items():
            seconds.setdefault(kind(other), []).append(found['wall_seconds'])
        here = [self.found[cell]['wall_seconds']]
        left = sum(statistics.mean(seconds.get(kind(other), here)) for other in self.left)
        total = len(self.cells)
        done = total - len(self.left)
        return (f'{bar(done / total)} {done}/{total}  ETA {left / workers / 60:.0f} min  {cell}: '
                + described(cell, self.found[cell]))

    def _keep(self, cell: Cell, outcome: tuple[dict, bytes] | Failure) -> None:
        if isinstance(outcome, Failure):
            self.failed[cell] = outcome.reason
            return
        row, artifact = outcome
        if artifact:
            write_atomic(self._path(cell, '.safetensors'), artifact)
        write_atomic(self._path(cell, '.json'), json.dumps(row) + '\n')
        self.found[cell] = row

    def _artifact(self, cell: Cell) -> bytes:
        path = self._path(cell, '.safetensors')
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f'{path}: expected the artifact of a cell, found {error}; move its '
                            'JSON file away to run it again') from None

    def _path(self, cell: Cell, suffix: str) -> Path:
        return self.folder / 'cells' / f'{cell.file}{suffix}'

    def _check(self, settings: dict[str, dict]) -> None:
        """Hold what cells depend on against that of the cells that are there; add what is new."""
        path = self.folder / SETTINGS
        settings = json.loads(json.dumps(settings))     # tuples are lists there
        found = _read(path) if path.is_file() else {}
        for name, values in settings.items():
            for key, value in values.items():
                if name in found and found[name].get(key) != value:
                    raise UserError(f'{path}: {name}: {key}: not that of this run; choose '
                                    'another folder')
        if not settings.items() <= found.items():
            write_atomic(path, json.dumps(found | settings, indent=1) + '\n')


def _read(path: Path) -> dict:
    try:
        row = json.loads(path.read_text())
        if not isinstance(row, dict):
            raise ValueError(f'{type(row).__name__} in place of an object')
        return row
    except ValueError as error:
        raise UserError(f'{path}: expected the result of a cell, found {error}; move it away'
                        ) from None
