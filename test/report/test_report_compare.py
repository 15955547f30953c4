"""Several runs on one page."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import pytest
from robot_rl.cli import main
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.report.compare import compared, row, short_names, write_comparison
from robot_rl.report.figures import build_report
from robot_rl.report.page import PAGE
from test_report import Mode, record, RUN
from test_report_page import Page

REACH = load_contract('reach')


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    """Return the folder of two runs, the lines of their comparison and its page."""
    root = tmp_path_factory.mktemp('runs')
    runs = [record(root / 'a<b>', *RUN), record(root / 'c', (5, Mode.LEARN, 0, True))]
    (runs[0] / 'run.json').write_text(json.dumps({
        'sac_learner': {'updates': 12345}, 'reached': {'robot_steps': 777}, 'target': 0.9}))
    lines = write_comparison(runs, root / 'comparison.html')
    return root, lines, Page((root / 'comparison.html').read_text(encoding='utf-8'))


def test_the_page_compares_runs_in_one_chart_and_one_table(two):
    _, _, page = two
    assert list(page.sections) == ['success', 'figures'] and len(page.charts()) == 1
    assert 'n, episodes: a<b> 2, c 1.' in page.sections['success']
    assert '100% (34% to 100%)' in page.sections['figures']     # two of two, by Wilson


def test_names_of_runs_are_text_and_lead_to_their_pages(two):
    root, _, page = two
    assert '<b>' not in page.html and 'a&lt;b&gt;' in page.html
    links = [found['href'] for tag, found in page.elements if tag == 'a'][2:]
    assert links == ['a%3Cb%3E/report.html', 'c/report.html']
    assert (root / 'c' / PAGE).is_file() and (root / 'a<b>' / PAGE).is_file()


def test_the_table_has_the_numbers_of_the_reports(two):
    root, lines, _ = two
    report = json.loads((root / 'a<b>' / 'report.json').read_text())
    assert row('x', report) == ['x', '100% (34% to 100%)', '2', '7', '28', '777', '12,345', '–',
                                '0', '0']
    assert len(lines) == 3 and '12,345' in lines[1]


def test_what_was_stopped_stands_beside_the_count(two):
    report = json.loads((two[0] / 'a<b>' / 'report.json').read_text())
    report['evaluation_left_out'] = {'stopped': 3, 'helped': 1}
    assert row('x', report)[2] == '2, 3 stopped, 1 helped'


def test_runs_of_different_contracts_are_pointed_out(two, tmp_path):
    assert 'different contracts' not in two[2].html
    other = replace(REACH, action=replace(REACH.action, low=REACH.action.low * 2))
    record(tmp_path / 'a')
    (record(tmp_path / 'b', contract=other) / 'contract.yaml').write_text(
        REACH.text.replace('control_rate: 20.0', 'control_rate: 10.0'))
    write_comparison([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'x.html')
    assert 'different contracts' in (tmp_path / 'x.html').read_text()


def test_the_axis_counts_the_steps_that_were_learned_from(tmp_path):
    record(tmp_path, (3, Mode.SCRIPTED, -1, True), folder='demonstrations')
    record(tmp_path, (4, Mode.EVALUATE, 0, True), (2, Mode.EXPLORE, 0, True),
           (5, Mode.LEARN, 0, True))
    chart = compared([('a', build_report(tmp_path)[1])])
    [line] = chart.figure.axes[0].get_lines()
    assert line.get_xdata().tolist() == [7] and line.get_ydata().tolist() == [1.0]
    assert compared([('a', [])]).figure is None


@pytest.mark.parametrize(('folders', 'names'), [
    (['/x/a', '/x/b'], ['a', 'b']), (['/x/a/run', '/x/b/run'], ['a/run', 'b/run']),
    (['/x/a', '/x/a'], ['a', 'a'])])
def test_names_are_as_long_as_tells_runs_apart(folders, names):
    assert short_names([Path(folder) for folder in folders]) == names


def test_more_runs_than_colours_are_refused(tmp_path):
    with pytest.raises(UserError, match='at most 10 runs'):
        write_comparison([tmp_path] * 11, tmp_path / 'x.html')


def test_the_command_compares_what_it_is_given(tmp_path, capsys):
    runs = [str(record(tmp_path / name)) for name in ('a', 'b')]
    assert main(['report', *runs]) == 0
    assert (tmp_path / 'comparison.html').is_file()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ['run', 'a', 'b']
    assert main(['report', *runs, '-o', str(tmp_path / 'absent' / 'x.html')]) == 1
    assert main(['report', runs[0], str(tmp_path / 'absent')]) == 2
    assert 'absent' in capsys.readouterr().err
