"""What benchmarks end with: their verdicts, their file, and their exit status."""

from __future__ import annotations

import json

import pytest
from robot_rl.benchmarking import finish, parser_of, verdicts

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
