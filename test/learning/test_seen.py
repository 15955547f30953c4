"""Each episode is known by its text, at the cost of a few bytes."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st
from robot_rl.learning.seen import Seen


@given(st.lists(st.text(max_size=3), max_size=50), st.text(max_size=3))
def test_it_knows_what_was_added_as_a_set_does(texts, other):
    seen, expected = Seen(), set()
    for text in texts:
        assert seen.add(text) == (text not in expected)
        expected.add(text)
        assert len(seen) == len(expected)
    assert all(text in seen for text in texts)
    assert (other in seen) == (other in expected)


def test_a_text_that_is_no_unicode_is_one_too():
    seen = Seen()
    assert seen.add('\ud800') and '\ud800' in seen and '?' not in seen


def test_an_episode_costs_its_digest():
    count = 10_000
    tracemalloc.start()
    try:
        seen = Seen()
        for number in range(count):
            seen.add(f'0f8fad5b-d9cb-469f-a165-70867728950e/episode_{number:06d}')
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(seen) == count and held < 24 * count
