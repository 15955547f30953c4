"""`robot_rl report`: five lines for a person, all figures for a program."""

from __future__ import annotations

import json

import pytest
from robot_rl.cli import main
from robot_rl.commands import report as command

FIGURES = {'success_first': None, 'success_sim_optimal': 0.05, 'base': None, 'success_final': 0.95,
           'evaluation_episodes': [0, 20], 'episodes': 1234, 'episodes_learned_from': 140,
           'robot_steps': 20000, 'robot_seconds': 1000.0, 'training_steps': 15000,
           'kept': {'policy': 'sim_optimal'}}


@pytest.fixture(autouse=True)
def written(monkeypatch):
    monkeypatch.setattr('robot_rl.report.run.write_report', lambda run_dir: FIGURES)


def test_a_person_gets_five_lines_and_the_page(capsys):
    assert main(['report', 'runs/x']) == 0
    printed = capsys.readouterr()
    assert [line.split(maxsplit=1) for line in printed.out.splitlines()] == [
        ['success', 'before  5% (sim-optimal policy)'],
        ['success', 'after   95% (learned policy, greedy, n = 20)'],
        ['episodes', '1,234, 140 in training'],
        ['robot', 'steps     20,000 (16.7 min), 15,000 in training'],
        ['kept', 'sim-optimal']]
    assert printed.err == 'page: runs/x/report.html\n'


def test_what_was_not_measured_is_told_as_that():
    nothing = FIGURES | {'success_sim_optimal': None, 'success_final': None, 'kept': None}
    before, after, *_, kept = command._lines(nothing)
    assert before.endswith('not measured') and after.endswith('not measured')
    assert kept.endswith('nothing')


def test_a_program_gets_the_report(capsys):
    assert main(['report', 'runs/x', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == FIGURES


def test_json_is_of_one_run(capsys):
    assert main(['report', 'a', 'b', '--json']) == 2
    assert capsys.readouterr().err == 'error: --json: expected one run, found 2\n'
