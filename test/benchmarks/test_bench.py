"""`make bench`: one table of what all benchmarks claim, whatever becomes of one of them."""

from __future__ import annotations

import json

from benchmark_files import load
import pytest

benchmark = load('bench')
CLAIMING = (
    'import json, pathlib, sys; assert sys.argv[1:3] == ["--fast", "--out"]; '
    'pathlib.Path(sys.argv[3]).write_text(json.dumps({{"claims": [{claim}]}})); sys.exit({code})')
HELD = {'claim': 'it is fast', 'value': 2.0, 'goal': 'at least 1', 'holds': True}
MISSED = {**HELD, 'value': 0.5, 'holds': False}
LACKS = {'claim': 'a peer', 'value': None, 'goal': '', 'holds': None, 'reason': 'not installed'}


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """Run benchmarks that are given as programs, or as what they claim; return (code, output)."""
    def run(*arguments: str, **programs) -> tuple[int, str]:
        for name, program in programs.items():
            if isinstance(program, dict):
                program = CLAIMING.format(claim=program, code=int(program['holds'] is False))
            (tmp_path / f'{name}.py').write_text(program)
        monkeypatch.setattr(benchmark, 'FOLDER', tmp_path)
        monkeypatch.setattr(benchmark, 'BENCHMARKS', tuple(programs))
        code = benchmark.main(['--out', str(tmp_path / 'out'), *arguments])
        return code, capsys.readouterr().out
    return run


def test_a_claim_is_a_row_with_value_goal_and_verdict(bench):
    code, output = bench(one=HELD)
    row, = (line for line in output.splitlines() if 'it is fast' in line)
    assert row.split() == ['one', *'it is fast 2.00 at least 1 holds'.split()]
    assert code == 0 and '1 hold, 0 missed, 0 not measured, 0 failed' in output


def test_a_missed_claim_is_an_exit_status(bench):
    code, output = bench(one=HELD, two=MISSED)
    assert code == 1 and '1 hold, 1 missed' in output


def test_what_could_not_be_measured_is_no_failure(bench):
    code, output = bench(one=LACKS)
    assert code == 0 and '(not installed)' in output and '1 not measured' in output


def test_a_benchmark_that_breaks_leaves_the_others(bench):
    code, output = bench(one='raise SystemExit("no such thing")', two=HELD)
    assert code == 1
    assert 'FAILED: ended with code 1: no such thing' in output and 'it is fast' in output


def test_a_benchmark_that_hangs_is_ended(bench, monkeypatch):
    monkeypatch.setattr(benchmark, 'LONGEST', 0.2)
    code, output = bench(one='import time; time.sleep(60)')
    assert code == 1 and 'FAILED: not done after 0.2 s' in output


def test_an_earlier_result_is_not_taken_for_a_new_one(bench):
    bench(one=HELD)
    code, output = bench(one='raise SystemExit("no such thing")')
    assert code == 1 and 'it is fast' not in output


def test_all_is_in_one_file(bench, tmp_path):
    bench(one=HELD)
    found = json.loads((tmp_path / 'out' / 'bench.json').read_text())
    assert found['outcomes'][0]['claims'] == [HELD] and 'load_before' in found['machine']


def test_a_name_that_is_none_is_refused(bench, capsys):
    with pytest.raises(SystemExit):
        bench('three', one=HELD)
    assert 'expected names among one, found three' in capsys.readouterr().err


def test_every_benchmark_is_there():
    folder = load('bench').FOLDER
    assert all((folder / f'{name}.py').is_file() for name in load('bench').BENCHMARKS)
