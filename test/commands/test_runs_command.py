from __future__ import annotations

import json
import time

from made_bags import write_demonstration
import pytest
from robot_rl.cli import main
from robot_rl.contract import load_contract

REACH = load_contract('reach')


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Return a folder of two runs and something else; times are those of Greenwich."""
    monkeypatch.setenv('TZ', 'UTC')
    time.tzset()
    for name, started, ended in (('old', 1.6e9, 'completed'), ('new', 1.7e9, 'failed: no room')):
        write_demonstration(tmp_path / name / 'bags' / 'episode_1', REACH, 0, 3, mode='learn',
                            task='reach')
        (tmp_path / name / 'run.json').write_text(
            json.dumps({'started': started, 'ended': ended, 'kept': {'policy': 'learned'}}))
    (tmp_path / 'other').mkdir()
    yield tmp_path
    monkeypatch.undo()
    time.tzset()


def test_runs_are_listed_newest_first(runs, capsys):
    assert main(['runs', str(runs)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ['run', 'started', 'kind', 'task', 'state', 'episodes', 'newest',
                            'kept', 'size', '(MB)', 'note']
    assert [line.split() for line in lines] == [
        ['new', '2023-11-14', '22:13', 'demo', 'reach', 'failed', '1', 'learn', '1/1', 'learned',
         '0.0', 'no', 'room'],
        ['old', '2020-09-13', '12:26', 'demo', 'reach', 'finished', '1', 'learn', '1/1',
         'learned', '0.0']]


def test_json_has_every_run(runs, capsys):
    assert main(['runs', '--json', str(runs)]) == 0
    newest, oldest = json.loads(capsys.readouterr().out)
    assert (newest['state'], newest['note'], oldest['started']) == ('failed', 'no room', 1.6e9)
    assert (newest['mode'], newest['successes'], newest['counted']) == ('learn', 1, 1)


def test_the_runs_of_the_working_folder_are_listed_unless_another_is_named(
        runs, monkeypatch, capsys):
    (runs / 'runs').mkdir()
    monkeypatch.chdir(runs)
    assert main(['runs']) == 0
    assert capsys.readouterr().out == 'runs: no runs\n'
    assert main(['runs', '--json']) == 0
    assert capsys.readouterr().out == '[]\n'


def test_a_folder_that_is_none_is_bad_input(tmp_path, capsys):
    assert main(['runs', str(tmp_path / 'absent')]) == 2
    assert capsys.readouterr().err == (
        f'error: {tmp_path}/absent: no such folder; name one that holds runs\n')
