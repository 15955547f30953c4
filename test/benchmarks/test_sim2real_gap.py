"""The benchmark's bookkeeping: what is run, kept, resumed and claimed; trials are tiny here."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import shutil

from benchmark_files import load
import pytest
from robot_rl import cell_folder
from robot_rl.engine import Failure
from robot_rl.errors import UserError
from robot_rl.learning.config import ExplorerConfig, SacConfig
from robot_rl.sim import gap_cells
from robot_rl.sim.explorer_run import EXPLORERS
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.gap_cells import METHODS, RobotCell, Training
from robot_rl.sim.trial import Budget

TINY = TrainSettings(steps=1800, updates=30, explorers=2, worlds=3, threads=1, batch=32,
                     diversity=ExplorerConfig(latents=2), sac=SacConfig(width=128))
BUDGET = Budget(episodes=2, period=1, measured=2, final=3)
benchmark = load('sim2real_gap')


def inline(function, jobs, workers, engine, then):
    """Run cells here, one after the other."""
    waiting = list(jobs)
    while waiting:
        job = waiting.pop(0)
        try:
            outcome = function(job)
        except UserError as error:
            outcome = Failure(str(error))
        waiting += then(job, outcome)
        yield job, outcome


def shrink(monkeypatch) -> list[str]:
    """Make everything tiny; return the names of the cells as they run."""
    names, run_cell = [], cell_folder.run_cell

    def watched(job):
        names.append(str(job.cell))
        return run_cell(job)

    monkeypatch.setattr(cell_folder, 'run_cells', inline)
    monkeypatch.setattr(benchmark, 'run_cell', watched)
    monkeypatch.setattr(benchmark, 'FAST_BUDGET', BUDGET)
    variants = dict.fromkeys(gap_cells.VARIANTS, TINY)
    monkeypatch.setattr(benchmark, 'VARIANTS', variants)
    monkeypatch.setattr(gap_cells, 'VARIANTS', variants)
    return names


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    return shrink(monkeypatch)


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> Path:
    """Return a folder in which a run is done."""
    folder = tmp_path_factory.mktemp('whole')
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        main(folder, *EXPLORATION)
    return folder


@pytest.fixture
def done(whole, tmp_path) -> Path:
    """Return a copy of a folder in which a run is done."""
    return Path(shutil.copytree(whole, tmp_path / 'done'))


EXPLORATION = ('--methods', 'exploration', 'scratch', '--draws', '4')


def main(folder: Path, *arguments: str) -> int:
    return benchmark.main(['--run-dir', str(folder), '--workers', '1', *arguments])


def test_a_run_trains_then_tries_and_writes_table_json_and_plot(tmp_path, ran, capsys):
    assert main(tmp_path, *EXPLORATION) == 1        # nobody learns that much in two episodes
    assert ran == ['train nominal, seed 0', 'scratch, size 1, draw 4',
                   'exploration, size 1, draw 4']
    result = json.loads((tmp_path / 'sim2real_gap.json').read_text())
    assert [row['method'] for row in result['rows']] == ['exploration', 'scratch']
    assert {trial['draw'] for trial in result['trials']} == {4} and not result['failed']
    assert all(trial['final']['measured'] == 3 for trial in result['trials'])
    assert (tmp_path / 'sim2real_gap.png').read_bytes().startswith(b'\x89PNG')
    assert 'MISSED: exploration: draws of 1 with success 0.9' in capsys.readouterr().out


def test_what_is_there_is_not_run_again(done, ran):
    first = (done / 'sim2real_gap.json').read_text()
    main(done, *EXPLORATION)
    assert not ran and (done / 'sim2real_gap.json').read_text() == first


def test_a_cell_that_is_missing_is_run_with_the_training_that_is_there(done, ran):
    cell = done / 'cells' / 'exploration_1_4.json'
    before = json.loads(cell.read_text())
    cell.unlink()
    main(done, *EXPLORATION)
    assert ran == ['exploration, size 1, draw 4']
    assert json.loads(cell.read_text())['curve'] == before['curve']


def test_without_a_folder_to_share_the_artifacts_come_back_from_the_worker(tmp_path, ran):
    main(tmp_path, '--methods', 'direct', '--draws', '0', '--engine', 'ray')
    assert 'train nominal, seed 0' in ran
    assert not (tmp_path / 'training').exists()
    assert (tmp_path / 'cells' / 'train_nominal_0.safetensors').is_file()
    (tmp_path / 'cells' / 'direct_1_0.json').unlink()
    del ran[:]
    main(tmp_path, '--methods', 'direct', '--draws', '0', '--engine', 'ray')
    assert ran == ['direct, size 1, draw 0']


def test_a_training_that_fails_costs_only_the_cells_that_need_it(tmp_path, ran, monkeypatch,
                                                                 capsys):
    monkeypatch.setitem(gap_cells.VARIANTS, 'nominal', replace(TINY, steps=1))
    assert main(tmp_path, *EXPLORATION) == 1
    result = json.loads((tmp_path / 'sim2real_gap.json').read_text())
    assert [row['method'] for row in result['rows']] == ['scratch']
    assert result['failed'].keys() == {'train nominal, seed 0', 'exploration, size 1, draw 4'}
    assert 'steps: expected two rounds' in capsys.readouterr().out


def test_the_folder_of_another_run_is_refused(done, ran, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, 'FAST_BUDGET', replace(BUDGET, episodes=3))
    assert main(done, *EXPLORATION) == 2
    assert ('settings.json: puck_push: budget: not that of this run; choose another'
            in capsys.readouterr().err)


def test_a_broken_cell_file_is_named(done, ran, capsys):
    (done / 'cells' / 'scratch_1_4.json').write_text('{')
    assert main(done, *EXPLORATION) == 2
    assert 'scratch_1_4.json' in capsys.readouterr().err


def test_an_interrupted_run_says_how_it_goes_on(tmp_path, ran, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(cell_folder, 'run_cells', interrupted)
    assert main(tmp_path, *EXPLORATION) == 130
    assert 'the same command goes on' in capsys.readouterr().out


def test_the_full_plan_has_every_method_on_six_draws_and_a_sweep_of_sizes():
    cells = benchmark.plan(True, None, None)
    assert len(set(cells)) == len(cells)
    declared = {(cell.method, cell.index) for cell in cells if cell.size == 1.0}
    assert declared == {(method, index) for method in METHODS for index in range(6)}
    assert {cell.size for cell in cells if cell.method == 'direct_sac'} == {0, 0.5, 1, 1.6}
    assert len({cell.budget for cell in cells}) == 1


def row(method: str, solved: int, draws: int = 6) -> dict:
    return {'size': 1.0, 'method': method, 'solved': solved, 'draws': draws}


@pytest.mark.parametrize(('method', 'solved', 'holds'), [
    ('exploration', 6, True), ('exploration', 5, False), ('direct', 1, True),
    ('direct', 2, False), ('direct_sac', 1, True), ('direct_sac', 2, False)])
def test_claims_are_those_of_the_theory_s_authors(method, solved, holds):
    claim, = benchmark.check([row(method, solved)], 300)
    assert claim['holds'] is holds and claim['value'] == solved


def test_other_methods_and_sizes_claim_nothing():
    assert benchmark.check([row('scratch', 6), row('exploration', 0) | {'size': 2.0}], 300) == []


def test_a_draw_whose_cell_failed_is_not_solved():
    cells = [RobotCell('direct', 1.0, index, 1, BUDGET) for index in range(2)]
    point = {'episodes': 0, 'minutes': 0.0, 'successes': 10, 'measured': 10}
    trial = {'reached': point, 'final': point, 'explored': 0, 'explorer_successes': 0,
             'wall_seconds': 1.0, 'cpu_seconds': 1.0}
    found, = benchmark.summarise(cells, {cells[0]: trial})
    assert (found['solved'], found['draws'], found['measured']) == (1, 2, 10)
    assert found['success'] == 1.0 and found['explorers'] is None


@pytest.mark.parametrize(('successes', 'count', 'low', 'high'), [
    (0, 50, 0.0, 0.07135), (10, 10, 0.72247, 1.0), (45, 50, 0.78640, 0.95652)])
def test_the_interval_is_wilson_s(successes, count, low, high):
    assert benchmark.wilson(successes, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize('arguments', [['--draws', '-1'], ['--workers', '0'], ['--methods', 'x'],
                                       ['--engine', 'slurm'], ['--draws', 'x']])
def test_bad_arguments_are_refused_before_anything_runs(arguments, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, 'CellFolder', None)
    with pytest.raises(SystemExit) as refusal:
        benchmark.main(arguments)
    assert refusal.value.code == 2
    assert 'Traceback' not in capsys.readouterr().err


def test_a_training_goes_on_in_its_folder(tmp_path, ran):
    first = Training('nominal', 0).run(str(tmp_path), b'')
    written = (tmp_path / EXPLORERS).stat().st_mtime_ns
    assert Training('nominal', 0).run(str(tmp_path), b'') == first
    assert (tmp_path / EXPLORERS).stat().st_mtime_ns == written
