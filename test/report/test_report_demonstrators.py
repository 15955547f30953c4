"""Demonstrators in a report: found in the folder of a run, joined with how they did."""

from __future__ import annotations

from made_policies import actor, demonstrator
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.report.demonstrators import demonstrators, names, plot_calibration

REACH = load_contract('reach')
LEVELS = [0.5, 0.8, 0.9, 0.95]
PLAN = np.zeros((2, 2))


def save_fit(run_dir, version: int, **provenance):
    """Put a fit where demo_ingest leaves one; return its path."""
    folder = run_dir / 'demonstrators' / f'request{version}' / 'data'
    folder.mkdir(parents=True)
    path = folder / 'demonstrator.safetensors'
    path.write_bytes(demonstrator(REACH, PLAN, version, **provenance))
    return path


def calibration(*covered: float) -> dict:
    return {'levels': LEVELS, 'covered': list(covered)}


def test_a_run_without_fits_has_no_demonstrators(tmp_path):
    assert demonstrators(tmp_path, REACH, [(1, True)]) == []
    assert not plot_calibration([], tmp_path / 'calibration.png')
    assert not list(tmp_path.iterdir())


def test_every_fit_is_told_of_with_its_calibration_and_its_episodes(tmp_path):
    save_fit(tmp_path, 2, calibration=calibration(0.5, 0.8, 0.9, 0.9),
             summary={'episodes': 10, 'steps': 700})
    save_fit(tmp_path, 1, fit={'spread': 'constant'})
    first, second = demonstrators(tmp_path, REACH, [(2, True), (1, False), (2, False), (9, True)])
    assert (first['version'], first['success'], first['episodes']) == (1, 0.0, 1)
    assert (second['version'], second['success'], second['episodes']) == (2, 0.5, 2)
    assert second['success_low'] < 0.5 < second['success_high']
    assert (second['demonstrations'], second['steps']) == (10, 700)
    assert (second['levels'], second['covered']) == (LEVELS, [0.5, 0.8, 0.9, 0.9])
    assert names([first, second]) == {1: 'sigma-BC', 2: 'posterior'}


def test_a_demonstrator_that_never_acted_has_no_success(tmp_path):
    save_fit(tmp_path, 1)
    [found] = demonstrators(tmp_path, REACH, [])
    assert (found['success'], found['episodes']) == (None, 0)


@pytest.mark.parametrize('table', [
    None, 3, {}, {'levels': LEVELS}, {'levels': LEVELS, 'covered': [0.5]},
    {'levels': LEVELS, 'covered': [0.1, 0.2, 'x', 0.4]},
    {'levels': 'abcd', 'covered': [0.1, 0.2, 0.3, 0.4]}])
def test_a_calibration_that_is_none_is_not_drawn(tmp_path, table):
    save_fit(tmp_path, 1, calibration=table)
    found = demonstrators(tmp_path, REACH, [])
    assert found[0]['covered'] == [] and not plot_calibration(found, tmp_path / 'a.png')


def test_a_fit_that_cannot_be_read_is_named_and_the_others_are_told_of(tmp_path):
    save_fit(tmp_path, 1).write_bytes(b'broken')
    save_fit(tmp_path, 2).write_bytes(actor(REACH))
    save_fit(tmp_path, 3)
    *bad, good = demonstrators(tmp_path, REACH, [])
    assert good['version'] == 3 and {one['name'] for one in bad} == {'unreadable'}
    assert all(f'request{number}' in one['reason'] for number, one in enumerate(bad, start=1))


def test_the_calibration_of_all_fits_is_one_picture(tmp_path):
    for version in (1, 2):
        save_fit(tmp_path, version, calibration=calibration(0.2, 0.4, 0.6, 0.8))
    found = demonstrators(tmp_path, REACH, [])
    assert plot_calibration(found, tmp_path / 'calibration.png')
    assert (tmp_path / 'calibration.png').read_bytes().startswith(b'\x89PNG')
    assert not list(tmp_path.glob('*.tmp'))
