from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from robot_rl import priority
from robot_rl.priority import AUTOGROUP, lower_priority, NICENESS


def niceness(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def in_a_thread(function):
    """Return what the function gives in a thread of its own."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_the_calling_thread_is_lowered_and_no_other():
    before = niceness(threading.get_native_id())

    def lower() -> tuple[int, int]:
        lower_priority()
        inner = in_a_thread(lambda: niceness(threading.get_native_id()))
        return niceness(threading.get_native_id()), inner

    assert in_a_thread(lower) == (min(19, before + NICENESS),) * 2
    assert niceness(threading.get_native_id()) == before


def session(of_its_own: bool) -> str:
    """Return the autogroup of a process that has lowered its priority."""
    done = subprocess.run(
        [sys.executable, '-c', 'from robot_rl.priority import *; lower_priority(); '
         'print(AUTOGROUP.read_text())'],
        start_new_session=of_its_own, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.skipif(not AUTOGROUP.is_file(), reason='a kernel without autogroups')
def test_a_session_of_its_own_is_lowered_for_niceness_counts_within_one_only():
    assert session(of_its_own=True).endswith(f' nice {NICENESS}')


@pytest.mark.skipif(not AUTOGROUP.is_file(), reason='a kernel without autogroups')
def test_a_session_that_the_control_loop_may_be_in_stays():
    before = AUTOGROUP.read_text().strip()
    assert session(of_its_own=False) == before
    assert AUTOGROUP.read_text().strip() == before


class Busy:
    """An autogroup that takes no wish at first, as the kernel's within 0.1 s of the last one."""

    def __init__(self, refusals: int):
        self.refusals, self.wishes = refusals, []

    def write_text(self, text: str) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise BlockingIOError(11, 'Resource temporarily unavailable')
        self.wishes.append(text)


@pytest.mark.parametrize(('refusals', 'wishes'), [(3, [str(NICENESS)]), (10_000, [])])
def test_a_wish_that_comes_too_early_is_made_again_but_not_for_ever(
        refusals, wishes, monkeypatch):
    busy = Busy(refusals)
    monkeypatch.setattr(priority, 'AUTOGROUP', busy)
    monkeypatch.setattr(priority, 'PAUSE', 0.0)
    priority._lower_session()
    assert busy.wishes == wishes


def test_without_autogroups_the_thread_is_lowered_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(priority, 'AUTOGROUP', tmp_path / 'proc' / 'autogroup')
    monkeypatch.setattr(os, 'getsid', lambda process: os.getpid())
    before = niceness(threading.get_native_id())

    def lower() -> int:
        lower_priority()
        return niceness(threading.get_native_id())
    assert in_a_thread(lower) == min(19, before + NICENESS)
