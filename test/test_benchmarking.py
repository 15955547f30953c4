"""What benchmarks end with: their verdicts, their file, and their exit status."""

from __future__ import annotations

import json

import pytest
from robot_rl.benchmarking import (at_least, at_most, finish, not_measured, parser_of, scratch,
                                   verdicts, versions)

HELD = {'claim': 'it is fast:', 'value': 0.5, 'goal': 1.0, 'holds': True}
MISSED = {**HELD, 'value': 2.0, 'holds': False}


def end(claims: list[dict], *arguments: str) -> int:
    parser = parser_of('A benchmark.', 'made_up', 'less of it')
    return finish(parser, parser.parse_args(arguments), __file__,
                  {'benchmark': 'made_up', 'claims': claims})


def test_a_verdict_has_value_and_goal_with_their_unit():
    assert verdicts([HELD, MISSED], ' ms') == ['holds: it is fast: 0.50 ms, goal 1.0 ms',
                                               'MISSED: it is fast: 2.00 ms, goal 1.0 ms']


@pytest.mark.parametrize('claims, status', [([HELD], 0), ([HELD, MISSED], 1), ([], 0)])
def test_the_status_says_whether_every_claim_holds(tmp_path, claims, status):
    out = tmp_path / 'new' / 'out.json'
    assert end(claims, '--out', str(out)) == status
    assert json.loads(out.read_text())['claims'] == claims


def test_a_fast_run_leaves_its_result_in_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    end([HELD], '--fast')
    assert (tmp_path / 'runs' / 'made_up.json').is_file()


def test_a_file_that_cannot_be_written_is_told(tmp_path, capsys):
    with pytest.raises(SystemExit) as refusal:
        end([HELD], '--out', str(tmp_path))
    assert refusal.value.code == 2
    assert '--out: expected a file to write' in capsys.readouterr().err


@pytest.mark.parametrize('value, least, most', [(0.9, False, True), (1.0, True, True),
                                                (1.1, True, False)])
def test_a_goal_is_reached_from_one_side(value, least, most):
    assert at_least('it', value, 1.0)['holds'] is least
    assert at_most('it', value, 1.0)['holds'] is most


def test_what_could_not_be_measured_says_why_and_fails_nothing(tmp_path):
    claim = not_measured('a peer', 'not installed')
    assert verdicts([claim]) == ['not measured: a peer (not installed)']
    assert end([claim, HELD], '--out', str(tmp_path / 'out.json')) == 0


def test_a_result_says_on_what_and_how_it_was_measured(tmp_path):
    end([HELD], '--fast', '--out', str(tmp_path / 'out.json'))
    found = json.loads((tmp_path / 'out.json').read_text())
    assert found['fast'] is True
    assert found['machine']['cpus'] > 0 and found['machine']['load_before'] >= 0.0


def test_versions_are_of_what_is_there():
    assert set(versions('numpy', 'no-such-package')) == {'python', 'numpy'}


def test_a_folder_to_work_in_stays_where_the_work_fails():
    with scratch('made_up') as folder:
        pass
    assert not folder.exists()
    with pytest.raises(ValueError), scratch('made_up') as folder:
        raise ValueError
    assert folder.is_dir()
    folder.rmdir()
