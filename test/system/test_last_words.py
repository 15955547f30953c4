"""The tests of last_words.py."""

from __future__ import annotations

from alone import run_alone
import pytest


@pytest.mark.timeout(120)
def test_what_a_node_says_as_it_ends_is_heard():
    result = run_alone('last_words.py', 100.0)
    assert result.returncode == 0, result.stdout
