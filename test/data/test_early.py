from __future__ import annotations

from robot_rl.data.early import Early

JOINTS, TIP, STEPS = range(3)


def test_the_newest_message_of_each_topic_is_held_and_every_step_after_them():
    early = Early(STEPS)
    for topic, data, sent in ((STEPS, b's0', 1), (JOINTS, b'j0', 2), (JOINTS, b'j1', 3),
                              (STEPS, b's1', 4), (TIP, b't0', 5)):
        assert early.hold(topic, data, sent)
    assert early.release() == [(JOINTS, b'j1', 3), (TIP, b't0', 5), (STEPS, b's0', 1),
                               (STEPS, b's1', 4)]
    assert early.came == 5


def test_the_oldest_step_makes_room_and_is_told():
    early = Early(STEPS, keep=2)
    assert [early.hold(STEPS, b'', sent) for sent in range(3)] == [True, True, False]
    assert [sent for _, _, sent in early.release()] == [1, 2]
