from __future__ import annotations

from robot_rl.catch_up import CatchUp, LONGEST


def asked(*looks: tuple[int, int]) -> list[bool]:
    """Return the answers to looks of (missing, received)."""
    catch_up = CatchUp(5.0)
    return [catch_up.look(missing, received) for missing, received in looks]


def test_nothing_is_asked_for_where_nothing_is_missing():
    assert asked((0, 0), (0, 3), (0, 9)) == [False] * 3


def test_what_is_missing_for_one_look_may_be_under_way():
    assert asked((1, 3), (0, 4), (1, 5), (0, 6)) == [False] * 4


def test_what_is_under_way_at_every_look_is_not_overdue():
    assert asked((1, 3), (1, 4), (1, 5), (1, 6)) == [False] * 4


def test_what_has_not_come_by_the_next_look_is_asked_for():
    assert asked((4, 3), (4, 3)) == [False, True]


def test_new_episodes_do_not_hide_an_overdue_one():
    assert asked((4, 3), (4, 5)) == [False, True]


def test_an_answer_under_way_is_not_begun_anew():
    assert asked((900, 0), (900, 0), (600, 300), (200, 700), (0, 900)) == [
        False, True, False, False, False]


def test_an_answer_that_stalls_is_asked_for_again():
    assert asked((900, 0), (900, 0), (600, 300), (600, 300)) == [False, True, False, True]


def test_what_never_comes_is_asked_for_ever_more_rarely():
    catch_up = CatchUp(5.0)
    times = [5.0 * look for look in range(400) if catch_up.look(1, 7)]
    gaps = [after - before for before, after in zip(times, times[1:])]
    assert gaps[:4] == [5.0, 10.0, 20.0, 40.0]
    assert max(gaps) == gaps[-1] == LONGEST


def test_when_more_is_missing_it_is_asked_for_at_once():
    catch_up = CatchUp(5.0)
    for _ in range(100):
        catch_up.look(1, 7)
    assert [catch_up.look(3, 7) for _ in range(4)] == [True, True, False, True]
