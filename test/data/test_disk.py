from __future__ import annotations

from types import SimpleNamespace

import pytest
from robot_rl.data import disk
from robot_rl.data.disk import Disk, PERIOD


@pytest.fixture
def room(monkeypatch):
    """Return the room of every disk; its `free` may be set."""
    found = SimpleNamespace(free=100)
    monkeypatch.setattr(disk.shutil, 'disk_usage', lambda path: found)
    return found


def test_becoming_full_is_told_once_and_again_after_there_was_room(room, tmp_path):
    found = Disk(tmp_path, 50)
    told = []
    for room.free in (100, 49, 10, 50, 49):
        told.append((found.look(), found.full))
    assert told == [(False, False), (True, True), (False, True), (False, False), (True, True)]


def test_it_is_looked_at_once_a_period(room, tmp_path, monkeypatch):
    monkeypatch.setattr(disk.time, 'monotonic', lambda: 7.0)
    found = Disk(tmp_path, 50)
    assert found.due(7.0)
    found.look()
    assert not found.due(7.0 + 0.9 * PERIOD) and found.due(7.0 + PERIOD)


def test_what_it_holds_is_asked_anew(room, tmp_path):
    found = Disk(tmp_path, 50)
    found.look()
    assert found.holds(50) and not found.holds(51)
    room.free = 60
    assert not found.holds(50) and not found.full


def test_it_says_how_full_it_is(room, tmp_path):
    found = Disk(tmp_path, 500)
    found.look()
    assert str(found) == 'the disk is nearly full, 100 bytes are free'
