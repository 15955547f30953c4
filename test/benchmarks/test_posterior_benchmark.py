"""The benchmark's bookkeeping: what is run, kept, resumed and shown; cells are tiny here."""

from __future__ import annotations

import json
from pathlib import Path

from benchmark_files import load
import pytest
from robot_rl import cell_folder
from robot_rl.errors import UserError
from robot_rl.sim.posterior_cells import FitCell, METHODS, TASKS, TUNERS

benchmark = load('posterior')
FITTED = {'measured': 50, 'covered': [0.5, 0.8, 0.9, 0.95], 'alpha': 1.0, 'wall_seconds': 2.0}
SUCCESS = {'bc': 20, 'sigma_bc': 20, 'postbc': 25}


def run_cell(job) -> tuple[dict, bytes]:
    """Return a made-up result: postbc reaches the goal, its clones do not."""
    if isinstance(job.cell, FitCell):
        return {**FITTED, 'successes': SUCCESS[job.cell.method]}, b'artifact'
    assert job.artifact == b'artifact'
    good = job.cell.needs.method == 'postbc'
    curve = [{'episodes': 5 * index, 'steps': 400 * index, 'measured': 10, 'minutes': 1.0,
              'successes': 10 if good and index else 4} for index in range(3)]
    return {'curve': curve, 'final': curve[-1], 'wall_seconds': 10.0}, b''


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """Make cells up; return their names as they run."""
    names = []

    def inline(function, jobs, workers, engine, then):
        waiting = list(jobs)
        while waiting:
            job = waiting.pop(0)
            names.append(str(job.cell))
            outcome = function(job)
            waiting[:0] = then(job, outcome)
            yield job, outcome

    monkeypatch.setattr(cell_folder, 'run_cells', inline)
    monkeypatch.setattr(benchmark, 'run_cell', run_cell)
    monkeypatch.setattr(benchmark, 'demonstrations', lambda task, file: [])
    monkeypatch.setattr(benchmark, 'chosen', lambda *_: None)
    return names


def main(folder: Path, *arguments: str) -> int:
    return benchmark.main(['--run-dir', str(folder), '--workers', '1', *arguments])


def test_the_fast_setting_fits_and_steers_three_methods(tmp_path, ran, capsys):
    main(tmp_path)
    assert len(ran) == 12 and ran[:2] == ['sigma_bc, puck_push, 10 demonstrations, #0',
                                          'steer: sigma_bc, puck_push, 10 demonstrations, #0']
    assert ran.index('bc, puck_push, 10 demonstrations, #1') > ran.index(
        'postbc, puck_push, 10 demonstrations, #1')     # whose fit it is made of
    result = json.loads((tmp_path / 'posterior.json').read_text())
    assert [row['method'] for row in result['fits']] == ['bc', 'sigma_bc', 'postbc']
    assert [row['median'] for row in result['tunes']] == [None, None, 400]
    assert {trial['seed'] for trial in result['trials']} == {0, 1} and not result['failed']
    assert (tmp_path / 'posterior.png').read_bytes().startswith(b'\x89PNG')
    text = capsys.readouterr().out
    assert 'holds: puck_push, 10 demonstrations, steer: robot steps to 0.9, of those of bc: ' in (
        text) and '> 800' in text


def test_a_claim_that_does_not_hold_is_told_and_makes_the_exit_code(tmp_path, ran, monkeypatch,
                                                                    capsys):
    monkeypatch.setitem(SUCCESS, 'postbc', 5)
    assert main(tmp_path, '--seeds', '0') == 1
    assert 'MISSED: puck_push, 10 demonstrations: pretrained' in capsys.readouterr().out


def test_where_every_claim_holds_the_exit_code_is_zero(tmp_path, ran, monkeypatch):
    assert main(tmp_path, '--seeds', '0', '--methods', 'sigma_bc') == 0


def test_what_is_there_is_not_run_again(tmp_path, ran):
    main(tmp_path)
    first = (tmp_path / 'posterior.json').read_text()
    del ran[:]
    main(tmp_path)
    assert not ran and (tmp_path / 'posterior.json').read_text() == first


def test_fits_alone_can_be_asked_for(tmp_path, ran):
    main(tmp_path, '--tuners', '--seeds', '3', '--methods', 'postbc', '--demos', '5', 'all')
    assert ran == ['postbc, puck_push, 5 demonstrations, #3',
                   'postbc, puck_push, all demonstrations, #3']
    assert (tmp_path / 'posterior.png').is_file()


def test_a_clone_brings_the_fit_that_it_is_made_of(tmp_path, ran):
    main(tmp_path, '--tuners', '--seeds', '3', '--methods', 'bc')
    assert ran == ['postbc, puck_push, 10 demonstrations, #3',
                   'bc, puck_push, 10 demonstrations, #3']


def test_a_cell_that_fails_is_told(tmp_path, ran, monkeypatch, capsys):
    def failing(function, jobs, *rest):
        for job in jobs:
            yield job, cell_folder.Failure('no memory')

    monkeypatch.setattr(cell_folder, 'run_cells', failing)
    assert main(tmp_path, '--seeds', '0', '--methods', 'sigma_bc') == 1
    assert ('FAILED: sigma_bc, puck_push, 10 demonstrations, #0: no memory'
            in capsys.readouterr().out)


def test_the_folder_of_another_run_is_refused(tmp_path, ran, monkeypatch, capsys):
    main(tmp_path)
    monkeypatch.setattr(benchmark, 'FAST_MEASURED', 7)
    assert main(tmp_path) == 2
    assert 'settings.json: puck_push: measured: not that of this run' in capsys.readouterr().err


def test_demonstrations_that_cannot_be_read_are_told_without_a_traceback(tmp_path, ran,
                                                                         monkeypatch, capsys):
    def refused(*_):
        raise UserError('demos.npz: expected the .npz file')

    monkeypatch.setattr(benchmark, 'demonstrations', refused)
    assert main(tmp_path, '--tasks', 'push_t', '--pusht', 'demos.npz') == 2
    assert capsys.readouterr().err == 'demos.npz: expected the .npz file\n'


def test_an_interrupted_run_says_how_it_goes_on(tmp_path, ran, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(cell_folder, 'run_cells', interrupted)
    assert main(tmp_path) == 130
    assert 'the same command goes on' in capsys.readouterr().out


def test_the_full_plan_has_every_combination_and_the_ablations_of_few_demonstrations():
    cells = benchmark.plan(benchmark.parse(['--full', '--pusht', 'demos.npz']))
    assert len(set(cells)) == len(cells)
    fits = [cell for cell in cells if isinstance(cell, FitCell)]
    found = {(cell.task, cell.demos, cell.method) for cell in fits}
    assert found == {(task, demos, method) for task in TASKS for method in METHODS
                     for demos in (5, 10, 25, 0) if method in benchmark.MAIN or demos == 10}
    assert len(fits) == 5 * len(found)
    tuners = {(cell.needs.method in benchmark.MAIN, cell.tuner) for cell in set(cells) - set(fits)}
    assert tuners == {(True, tuner) for tuner in TUNERS} | {(False, 'steer')}


def test_only_a_whole_full_run_goes_into_the_repository():
    whole, part = (benchmark.parse(['--full', '--pusht', 'x', *more]).out
                   for more in ([], ['--seeds', '0']))
    assert whole.parent.name == 'results' and part.parent.name == 'posterior_full'


@pytest.mark.parametrize('arguments', [
    ['--full'], ['--tasks', 'push_t'], ['--seeds', '-1'], ['--workers', '0'], ['--methods', 'x'],
    ['--demos', '1'], ['--demos', 'few'], ['--tuners', 'x']])
def test_bad_arguments_are_refused_before_anything_runs(arguments, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, 'CellFolder', None)
    with pytest.raises(SystemExit) as refusal:
        benchmark.main(arguments)
    assert refusal.value.code == 2
    assert 'Traceback' not in capsys.readouterr().err


def test_every_main_fit_is_fine_tuned_in_both_ways():
    cells = benchmark.plan(benchmark.parse(['--full', '--pusht', 'demos.npz']))
    fits = [cell for cell in cells if isinstance(cell, FitCell) and cell.method in benchmark.MAIN]
    tuned = {(cell.needs, cell.tuner) for cell in cells if not isinstance(cell, FitCell)}
    assert {(cell.task, cell.demos) for cell in fits} == {
        (task, demos) for task in TASKS for demos in benchmark.DEMOS}
    assert tuned >= {(cell, tuner) for cell in fits for tuner in TUNERS}
