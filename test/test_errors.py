"""What the machine refuses is told with its path and what to do."""

from __future__ import annotations

import errno
import os

import pytest
from robot_rl.errors import refusal

NOT_WRITTEN = 'cannot be written: '


@pytest.mark.parametrize('number, why, advice', [
    (errno.EROFS, NOT_WRITTEN, '; name a folder that can be written'),
    (errno.ENOSPC, NOT_WRITTEN, '; free some room'), (errno.ENOENT, '', '')])
def test_a_refusal_names_the_path_and_what_to_do(number, why, advice):
    error = OSError(number, os.strerror(number), 'rodir/a')
    assert refusal(error) == f'rodir/a: {why}{os.strerror(number)}{advice}'


def test_one_without_a_path_is_told_as_it_is():
    assert refusal(OSError('no such device')) == 'no such device'
