from __future__ import annotations

import pytest
from robot_rl.safety.watch import SILENT, Watch

TIMEOUT = 100           # ns, as good as any unit


def armed(now: int = 0) -> Watch:
    """Return a watch that has heard a heartbeat and a command now."""
    watch = Watch(TIMEOUT)
    watch.beat(1, now)
    watch.command()
    return watch


def stopped() -> Watch:
    """Return a watch that has stopped at 101."""
    watch = armed()
    assert looks(watch, 50, 75, 101) == [False, False, True]
    return watch


def looks(watch: Watch, *times: int) -> list[bool]:
    return [watch.look(now) for now in times]


def test_silence_beyond_the_timeout_stops_once_and_stays_stopped():
    watch = armed()
    assert looks(watch, 25, 50, 75, 101, 126, 151) == [False, False, False, True, False, False]
    assert (watch.stopped, watch.stops, watch.silent(151)) == (SILENT, 1, True)


def test_silence_of_exactly_the_timeout_is_none():
    assert looks(armed(), 50, 99, 100, 100) == [False] * 4


def test_heartbeats_within_the_timeout_never_stop():
    watch = armed()
    for now in range(0, 50 * TIMEOUT, TIMEOUT // 2):
        watch.beat(now + 1, now)
        assert looks(watch, now + 10, now + 49) == [False, False]


@pytest.mark.parametrize('looked', [(), (25, 50)])
def test_the_first_look_after_this_process_was_held_up_does_not_stop(looked):
    watch = armed()
    assert not any(looks(watch, *looked, 50 * TIMEOUT))     # the queue is read after it
    watch.beat(2, 50 * TIMEOUT + 1)
    assert looks(watch, 50 * TIMEOUT + 2, 51 * TIMEOUT) == [False, False]


@pytest.mark.parametrize('second', [1, 10 * TIMEOUT])
def test_the_second_look_does_however_late_it_comes(second):
    watch = armed()
    assert looks(watch, 50 * TIMEOUT, 50 * TIMEOUT + second) == [False, True]


def test_a_doubt_that_a_heartbeat_ended_is_not_half_a_stop():
    watch = armed()
    assert not watch.look(2 * TIMEOUT)
    watch.beat(2, 2 * TIMEOUT)
    assert looks(watch, 4 * TIMEOUT, 4 * TIMEOUT + 1) == [False, True]


@pytest.mark.parametrize('hears', ['nothing', 'heartbeat', 'command'])
def test_without_a_heartbeat_and_a_command_there_is_nothing_to_stop(hears):
    watch = Watch(TIMEOUT)
    if hears == 'heartbeat':
        watch.beat(1, 0)
    if hears == 'command':
        watch.command()
    assert not watch.armed
    assert looks(watch, 10 * TIMEOUT, 20 * TIMEOUT) == [False, False]


@pytest.mark.parametrize('command_first', [False, True])
def test_the_order_of_the_first_heartbeat_and_the_first_command_does_not_matter(command_first):
    watch = Watch(TIMEOUT)
    for command in (command_first, not command_first):
        assert not watch.armed
        if command:
            watch.command()
        else:
            watch.beat(1, 0)
    assert watch.armed


def test_heartbeat_zero_is_an_orderly_end_whatever_the_silence_after_it():
    watch = armed()
    watch.beat(0, 10)
    assert looks(watch, 10 * TIMEOUT, 20 * TIMEOUT) == [False, False]
    assert watch.silence(20 * TIMEOUT) == 0


def test_after_an_orderly_end_it_arms_again_with_the_next_command():
    watch = armed()
    watch.beat(0, 10)
    watch.beat(1, 20)
    assert looks(watch, 10 * TIMEOUT, 20 * TIMEOUT) == [False, False]
    watch.beat(2, 20 * TIMEOUT)
    watch.command()
    assert looks(watch, 30 * TIMEOUT, 30 * TIMEOUT + 1) == [False, True]


def test_a_heartbeat_after_the_stop_ends_the_silence_and_not_the_stop():
    watch = stopped()
    watch.beat(7, 3 * TIMEOUT)
    assert not watch.silent(3 * TIMEOUT + 1)
    assert watch.stopped == SILENT
    assert watch.silent(5 * TIMEOUT)        # killed again: the stop action is due again


def test_clear_is_refused_while_it_is_silent():
    watch = stopped()
    assert watch.clear(2_500_000_000).startswith('heartbeat_silent: for 2.5 s')
    assert watch.stopped == SILENT


@pytest.mark.parametrize('counter', [0, 1])
def test_clear_is_granted_once_it_was_heard_again(counter):
    watch = stopped()
    watch.beat(counter, 3 * TIMEOUT)
    assert watch.clear(3 * TIMEOUT + 1) == ''
    assert watch.stopped == ''


def test_clear_without_a_stop_is_refused():
    watch = armed()
    assert watch.clear(1) == 'was not stopped'
    assert watch.armed


def test_after_a_clear_it_waits_for_the_next_command():
    watch = stopped()
    watch.beat(1, 3 * TIMEOUT)
    watch.clear(3 * TIMEOUT)
    assert looks(watch, 9 * TIMEOUT, 9 * TIMEOUT + 1) == [False, False]
    watch.command()
    assert watch.look(9 * TIMEOUT + 2)
    assert watch.stops == 2


def test_beats_are_counted():
    watch = armed()
    watch.beat(9, 1)
    assert watch.beats == 2
