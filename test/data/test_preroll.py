from __future__ import annotations

from robot_rl.data.preroll import MOST_EVENTS, OLDEST, Preroll
from robot_rl.data.steps import EVENTS_TYPE

JOINTS, EVENTS = range(2)


def preroll() -> Preroll:
    return Preroll(['sensor_msgs/msg/JointState', EVENTS_TYPE])


def held(found: Preroll, log_time: int = 10) -> list[tuple[int, bytes]]:
    return [(topic, data) for topic, data, *_ in found.messages(log_time)]


def test_the_newest_message_of_a_topic_and_all_events_are_held():
    found = preroll()
    for number in b'abc':
        for topic in (JOINTS, EVENTS):
            found.hold(topic, bytes([number]), 1, 2, recorded=False)
    assert held(found) == [(JOINTS, b'c'), (EVENTS, b'a'), (EVENTS, b'b'), (EVENTS, b'c')]


def test_of_events_that_a_bag_has_only_the_newest_is_held_on():
    found = preroll()
    for data, recorded in ((b'a', False), (b'b', True), (b'c', True), (b'd', False)):
        found.hold(EVENTS, data, 1, 2, recorded)
    assert held(found) == [(EVENTS, b'c'), (EVENTS, b'd')]


def test_events_are_bounded():
    found = preroll()
    for number in range(MOST_EVENTS + 1):
        found.hold(EVENTS, str(number).encode(), 1, 2, recorded=False)
    assert held(found)[0] == (EVENTS, b'1') and len(held(found)) == MOST_EVENTS


def test_messages_are_dated_a_second_before_the_bag_at_most_and_never_after_it():
    found, start = preroll(), 5 * OLDEST
    for topic, seen in ((JOINTS, 1), (EVENTS, start - 7), (EVENTS, start + 7)):
        found.hold(topic, b'', seen, 3, recorded=False)
    assert list(found.messages(start)) == [
        (JOINTS, b'', start - OLDEST, 3), (EVENTS, b'', start - 7, 3), (EVENTS, b'', start, 3)]
    assert found.newest == start + 7
    assert list(found.messages(0)) == [(JOINTS, b'', 0, 3), (EVENTS, b'', 0, 3),
                                       (EVENTS, b'', 0, 3)]


def test_nothing_was_seen_yet():
    assert preroll().newest == 0 and held(preroll()) == []
