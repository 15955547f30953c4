from __future__ import annotations

import fcntl

from robot_rl import locks
from robot_rl.locks import is_held


def test_a_lock_is_seen_while_it_is_held_and_not_taken(tmp_path):
    path = tmp_path / '.lock'
    with open(path, 'w') as file:
        assert not is_held(path)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert is_held(path) and is_held(path)
    assert not is_held(path)


def test_a_lock_that_is_shared_is_nobody_at_work(tmp_path):
    path = tmp_path / '.lock'
    with open(path, 'w') as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert not is_held(path)


def test_without_a_file_or_a_table_nothing_is_held(tmp_path, monkeypatch):
    assert not is_held(tmp_path / 'absent')
    monkeypatch.setattr(locks, 'LOCKS', tmp_path / 'absent')
    assert not is_held(tmp_path)
