from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
from robot_rl.engine import Failure, NO_RAY, run_cells
from robot_rl.errors import UserError

DEADLINE = 60.0     # s
PATH = os.pathsep.join(filter(None, (str(Path(__file__).parent), str(Path(__file__).parents[1]),
                                     os.environ.get('PYTHONPATH'))))    # workers import this file


@pytest.fixture(params=['processes', 'ray'])
def engine(request, monkeypatch) -> str:
    if request.param == 'ray':
        pytest.importorskip('ray', reason='needs the extra ray')
        monkeypatch.setenv('PYTHONPATH', PATH)
        monkeypatch.delenv('RAY_ADDRESS', raising=False)    # a cluster of this test's own
    return request.param


def square(cell: int) -> int:
    return cell * cell


def fragile(cell: str) -> str:
    """Do as the cell says."""
    if cell == 'bad input':
        raise UserError('cell: expected this, found that')
    if cell == 'broken':
        raise ZeroDivisionError('by nothing')
    if cell == 'killed':
        os.kill(os.getpid(), signal.SIGKILL)
    return cell


def hang(cell: str) -> None:
    """Leave a process id in a file, then never end."""
    if cell:
        Path(cell).write_text(f'{os.getpid()}\n')
        time.sleep(3600)


def outcomes(function, cells, workers: int = 2, engine: str = 'processes', **more) -> dict:
    return dict(run_cells(function, cells, workers, engine, **more))


def test_every_cell_comes_back_with_its_outcome(engine):
    assert outcomes(square, range(5), engine=engine) == {n: n * n for n in range(5)}


def test_a_cell_that_fails_is_an_outcome_and_the_rest_goes_on(engine):
    found = outcomes(fragile, ['good', 'bad input', 'broken', 'killed', 'fine', 'well'],
                     engine=engine)
    assert {cell: found[cell] for cell in ('good', 'fine', 'well')} == {
        'good': 'good', 'fine': 'fine', 'well': 'well'}
    assert found['bad input'] == Failure('cell: expected this, found that')
    assert found['broken'] == Failure('ZeroDivisionError: by nothing')
    assert isinstance(found['killed'], Failure)


def test_cells_that_waited_for_an_outcome_come_next():
    order = [cell for cell, _ in run_cells(
        square, [2, 9], 1, then=lambda cell, outcome: [outcome] if cell < 10 else [])]
    assert order == [2, 4, 16, 9, 81]


def test_the_order_is_kept_with_one_worker():
    assert [cell for cell, _ in run_cells(square, [3, 1, 2], 1)] == [3, 1, 2]


def test_nothing_to_do_starts_nothing():
    assert outcomes(None, []) == {}


@pytest.mark.parametrize(('workers', 'engine'), [(0, 'processes'), (2, 'slurm')])
def test_an_engine_that_cannot_work_is_refused(workers, engine):
    with pytest.raises(UserError, match='expected one of processes, ray and at least 1 worker'):
        outcomes(square, [1], workers, engine)


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(UserError) as refusal:
        outcomes(square, [1], 1, 'ray')
    assert str(refusal.value) == NO_RAY and 'pip install ray' in NO_RAY


def gone(process_id: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for yet has."""
    try:
        return Path(f'/proc/{process_id}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'
    except OSError:
        return True


def wait_for(condition) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def written(path: Path) -> int:
    """Wait for the process id in a file."""
    wait_for(lambda: path.is_file() and path.read_text().endswith('\n'))
    return int(path.read_text())


needs_proc = pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='needs /proc')


@needs_proc
def test_leaving_the_loop_ends_a_cell_that_still_runs(tmp_path):
    file = tmp_path / 'pid'
    for cell, _ in run_cells(hang, [str(file), ''], 2):
        assert cell == ''
        process_id = written(file)
        break
    assert gone(process_id)


@needs_proc
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path, number):
    script = tmp_path / 'parent.py'
    script.write_text('import sys\nfrom test_engine import hang, run_cells\n'
                      'if __name__ == "__main__":\n    list(run_cells(hang, sys.argv[1:], 1))\n')
    file = tmp_path / 'pid'
    parent = subprocess.Popen([sys.executable, script, file], stderr=subprocess.DEVNULL,
                              env={**os.environ, 'PYTHONPATH': PATH})
    try:
        worker = written(file)
        parent.send_signal(number)
        parent.wait(DEADLINE)
        wait_for(lambda: gone(worker))
    finally:
        parent.kill()
        parent.wait()
