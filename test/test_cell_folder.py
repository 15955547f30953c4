from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

import pytest
from robot_rl import cell_folder
from robot_rl.cell_folder import CellFolder, NEEDED
from robot_rl.engine import Failure
from robot_rl.errors import UserError

SETTINGS = {'task': {'size': 1, 'limits': (0, 2)}}


@dataclass(frozen=True)
class Part:
    """A cell of nothing."""

    file: str
    needs: Part | None = None

    def __str__(self) -> str:
        return self.file


FIRST, OTHER = Part('first'), Part('other')
SECOND, THIRD = Part('second', FIRST), Part('third', FIRST)
CELLS = [FIRST, SECOND, THIRD, OTHER]


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """Run cells here, one after the other; return their names as they run."""
    names = []

    def inline(function, jobs, workers, engine, then):
        waiting = list(jobs)
        while waiting:
            job = waiting.pop(0)
            names.append(job.cell.file)
            try:
                outcome = function(job)
            except UserError as error:
                outcome = Failure(str(error))
            waiting[:0] = then(job, outcome)
            yield job, outcome

    monkeypatch.setattr(cell_folder, 'run_cells', inline)
    return names


def run(job) -> tuple[dict, bytes]:
    """Make an artifact of the cell's name, and tell what was given."""
    return {'data': job.data, 'from': job.artifact.decode()}, job.cell.file.encode()


def work(folder: Path, function=run, cells=CELLS, settings=SETTINGS) -> CellFolder:
    made = CellFolder(folder, cells, settings)
    for _ in made.work(function, lambda cell: len(cell.file), 1, 'processes'):
        pass
    return made


def failing(job) -> tuple[dict, bytes]:
    if job.cell is FIRST:
        raise UserError('first: expected this, found that')
    return run(job)


def test_a_cell_is_run_with_its_data_and_the_artifact_that_it_needs(tmp_path, ran):
    found = work(tmp_path).found
    assert found[FIRST] == {'data': 5, 'from': ''}
    assert found[THIRD] == {'data': 5, 'from': 'first'}


def test_what_a_cell_frees_comes_next(tmp_path, ran):
    work(tmp_path)
    assert ran == ['first', 'second', 'third', 'other']


def test_each_cell_is_told_once_and_is_not_left_then(tmp_path, ran):
    made, left = CellFolder(tmp_path, CELLS, SETTINGS), []
    told = [left.append(len(made.left)) or cell
            for cell in made.work(run, lambda cell: None, 1, 'processes')]
    assert told == CELLS and left == [3, 2, 1, 0]


def test_what_is_there_is_not_run_again(tmp_path, ran):
    before = work(tmp_path).found
    del ran[:]
    assert work(tmp_path).found == before and not ran


def test_a_missing_cell_starts_from_the_artifact_that_is_there(tmp_path, ran):
    before = work(tmp_path).found
    (tmp_path / 'cells' / 'third.json').unlink()
    del ran[:]
    assert work(tmp_path).found == before and ran == ['third']


def test_a_cell_that_fails_costs_only_those_that_need_it(tmp_path, ran):
    made = work(tmp_path, failing)
    assert made.failed == {FIRST: 'first: expected this, found that', SECOND: NEEDED,
                           THIRD: NEEDED}
    assert list(made.found) == [OTHER] and not made.left


def test_a_cell_that_failed_is_run_again_the_next_time(tmp_path, ran):
    work(tmp_path, failing)
    assert list(work(tmp_path).found) == [OTHER, FIRST, SECOND, THIRD]


@pytest.mark.parametrize('text', ['{', '[]', ''])
def test_a_broken_result_is_named(tmp_path, ran, text):
    work(tmp_path)
    (tmp_path / 'cells' / 'second.json').write_text(text)
    with pytest.raises(UserError, match='second.json: expected the result of a cell'):
        work(tmp_path)


def test_an_artifact_that_is_gone_is_named_where_it_is_needed(tmp_path, ran):
    work(tmp_path)
    (tmp_path / 'cells' / 'first.safetensors').unlink()
    assert work(tmp_path).found.keys() == set(CELLS)
    (tmp_path / 'cells' / 'third.json').unlink()
    with pytest.raises(UserError, match='first.safetensors: expected the artifact of a cell'):
        work(tmp_path)


def test_the_folder_of_other_settings_is_refused(tmp_path, ran):
    work(tmp_path)
    with pytest.raises(UserError, match='settings.json: task: size: not that of this run'):
        work(tmp_path, settings={'task': {'size': 2, 'limits': (0, 2)}})


def test_settings_of_another_part_are_added(tmp_path, ran):
    work(tmp_path)
    work(tmp_path, settings={'more': {'size': 3}})
    found = json.loads((tmp_path / 'settings.json').read_text())
    assert found == {'task': {'size': 1, 'limits': [0, 2]}, 'more': {'size': 3}}


def test_cells_run_in_workers_of_their_own(tmp_path):
    found = work(tmp_path, cells=[FIRST, SECOND]).found
    assert found[SECOND] == {'data': 6, 'from': 'first'}
