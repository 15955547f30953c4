from __future__ import annotations

from pathlib import Path

import pytest
from robot_rl.errors import UserError
from robot_rl.training_run import (alone_in, check_identity, read_request, REQUEST, Request,
                                   run_folder, write_request)

RUN = {'task': 'reach', 'steps': 7, 'gaps': [{'name': 'none'}]}


def test_another_identity_is_another_folder():
    folders = [run_folder(Path('runs'), run) for run in (RUN, RUN | {'steps': 8})]
    assert folders[0] != folders[1] and folders[0].parent == Path('runs')
    assert run_folder(Path('runs'), dict(reversed(RUN.items()))) == folders[0]


@pytest.mark.parametrize(('found', 'told'), [
    (RUN | {'steps': 8}, 'steps: expected 7, found 8'),
    (None, 'task: expected reach, found None')])
def test_a_file_of_another_run_is_refused_by_the_first_difference(found, told):
    check_identity(RUN, RUN | {'more': 1}, Path('file'))
    with pytest.raises(UserError, match=f'^file: {told}; train with the same again'):
        check_identity(RUN, found, Path('file'))


@pytest.mark.parametrize('phase', ['training', 'cancelled', 'failed', 'done'])
def test_a_request_is_remembered(tmp_path, phase):
    request = Request(phase, 'why', RUN)
    assert read_request(tmp_path / 'run') is None
    write_request(tmp_path / 'run', request)
    assert read_request(tmp_path / 'run') == request
    assert [path.name for path in (tmp_path / 'run').iterdir()] == [REQUEST]


@pytest.mark.parametrize('text', ['', '{', '[]', 'null', '{"phase": "done"}', '\xff',
                                  '{"phase": "done", "reason": "", "run": {}, "more": 1}',
                                  '{"phase": "on", "reason": "", "run": {}}', '[' * 100_000])
def test_a_request_that_cannot_be_read_is_told_by_its_path(tmp_path, text):
    (tmp_path / REQUEST).write_bytes(text.encode('latin1'))
    with pytest.raises(UserError, match=f'{REQUEST}: expected a request .* move it away'):
        read_request(tmp_path)


def test_one_process_at_a_time_has_a_folder(tmp_path):
    with alone_in(tmp_path / 'run'):
        with pytest.raises(UserError, match='run: another process trains in this folder'):
            with alone_in(tmp_path / 'run', patience=0.0):
                pass
    with alone_in(tmp_path / 'run', patience=0.0):
        pass
