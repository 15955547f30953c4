"""Folders that cannot be written are refused before anything is lost in them."""

from __future__ import annotations

import errno

import pytest
from robot_rl.errors import UserError
from robot_rl.files import refuse_unwritable


def test_a_folder_that_can_be_written_is_made_and_left_empty(tmp_path):
    refuse_unwritable(tmp_path / 'a' / 'b')
    assert list((tmp_path / 'a' / 'b').iterdir()) == []


@pytest.mark.parametrize('number, text', [(errno.EROFS, 'Read-only file system'),
                                          (errno.EACCES, 'Permission denied')])
def test_one_that_cannot_is_refused(tmp_path, monkeypatch, number, text):
    monkeypatch.setattr('tempfile.TemporaryFile', failing(number, text))
    with pytest.raises(UserError, match=f'^{tmp_path}: {text}; name a folder that can be'):
        refuse_unwritable(tmp_path)


def test_a_full_disk_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.TemporaryFile', failing(errno.ENOSPC, 'No space left on device'))
    refuse_unwritable(tmp_path)


def failing(number: int, text: str):
    def fail(**_):
        raise OSError(number, text)
    return fail
