from __future__ import annotations

import io

import pytest
from robot_rl.progress import followed, ProgressLine


@pytest.fixture
def errors(monkeypatch):
    """Return standard error, which is a terminal or not."""
    def make(terminal: bool) -> io.StringIO:
        stream = io.StringIO()
        stream.isatty = lambda: terminal
        monkeypatch.setattr('sys.stderr', stream)
        return stream
    return make


def test_a_bar_on_a_terminal_goes_away_at_the_end(errors):
    stream = errors(terminal=True)
    assert list(followed(['a', 'b'], 'bags')) == ['a', 'b']
    assert '0 of 2 bags' in stream.getvalue()
    assert stream.getvalue().endswith('\r\x1b[2K')


def test_elsewhere_there_is_no_bar(errors, capsys):
    stream = errors(terminal=False)
    assert list(followed(['a', 'b'], 'bags')) == ['a', 'b']
    assert stream.getvalue() == capsys.readouterr().out == ''


def test_a_log_has_each_line_once(capsys, monkeypatch):
    monkeypatch.setattr('robot_rl.progress.PRINT_PERIOD', -1.0)
    line = ProgressLine()
    for text in ('start', 'start', 'run 1', 'run 1', 'run 2'):
        line.show(text)
    line.show('run 2', final=True)
    assert capsys.readouterr().out == 'start\nrun 1\nrun 2\n'


def test_a_line_in_a_log_is_printed_now_and_then(capsys):
    line = ProgressLine()
    for text in ('one', 'two'):
        line.show(text)
    line.show('last', final=True)
    line.end()
    assert capsys.readouterr().out == 'one\nlast\n'
