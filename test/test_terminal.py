from __future__ import annotations

import io

import pytest
from robot_rl.terminal import aligned, painted, printable


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def plain(monkeypatch):
    """Forget what the environment of the tests says of colour."""
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setenv('TERM', 'xterm')


def test_colour_is_for_terminals(plain):
    assert painted('ok', 'good', Terminal()) == '\x1b[32mok\x1b[0m'
    assert painted('ok', 'good', io.StringIO()) == 'ok'
    assert painted('ok', '', Terminal()) == 'ok'


@pytest.mark.parametrize(('name', 'value'), [('NO_COLOR', '1'), ('TERM', 'dumb')])
def test_who_wants_no_colour_gets_none(plain, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert painted('ok', 'good', Terminal()) == 'ok'


def test_an_empty_no_color_counts_as_none(plain, monkeypatch):
    monkeypatch.setenv('NO_COLOR', '')
    assert painted('ok', 'bad', Terminal()) == '\x1b[31mok\x1b[0m'


def test_numbers_are_flushed_right_and_words_left():
    assert aligned([('name', 'count'), ('a', '7'), ('long', '12,345'), ('b', '')]) == [
        '  name   count',
        '  a          7',
        '  long  12,345',
        '  b']


def test_a_column_without_text_is_left_out_and_a_head_alone_stays():
    assert aligned([('name', 'note'), ('a', '')]) == ['  name', '  a']
    assert aligned([('name', 'note')]) == ['  name  note']


def test_colour_does_not_move_a_column(plain, monkeypatch):
    rows = [('', 'outcome', 'steps'), ('1', 'success', '5'), ('2', 'ok', '12')]
    without = aligned(rows, {'ok': 'good'})
    monkeypatch.setattr('sys.stdout', Terminal())
    assert aligned(rows, {'ok': 'good'}) == [
        without[0].replace('outcome', '\x1b[2moutcome\x1b[0m').replace(
            'steps', '\x1b[2msteps\x1b[0m'),
        without[1], without[2].replace('ok', '\x1b[32mok\x1b[0m')]


def test_text_of_a_file_cannot_command_the_terminal():
    assert printable('a\x1b[2J\x07\u202eb\nc') == 'a\\x1b[2J\\x07\\u202eb\nc'
    assert printable('caf\u00e9 \udcff') == 'caf\u00e9 \\udcff'
    assert aligned([('x',), ('a\x1b[1m\nb',)]) == ['  x', '  a\\x1b[1m b']
