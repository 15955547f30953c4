"""The tests of last_words.py."""

from __future__ import annotations

from alone import run_with_second_host
import pytest


@pytest.mark.timeout(120)
def test_what_a_node_says_as_it_ends_is_heard():
    run_with_second_host('last_words.py', 100.0)
