"""A learner that died anywhere goes on as if it had never stopped, to the bit."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

SCRIPT = Path(__file__).with_name('killed_learner.py')


@pytest.fixture(scope='module', params=['full', 'steer'])
def deaths(request, tmp_path_factory) -> dict:
    """Return what learners of a method ended with that died in many ways."""
    done = subprocess.run(
        [sys.executable, SCRIPT, request.param, tmp_path_factory.mktemp(request.param)],
        stdout=subprocess.PIPE, text=True, check=True, timeout=110,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    return json.loads(done.stdout)


def test_killed_at_any_line_of_a_checkpoint_it_ends_with_the_same_bits(deaths):
    killed = deaths['killed']
    assert len(killed) > 25
    assert {found for _, _, found in killed.values()} == {deaths['whole']}


def test_killed_amid_the_writing_it_ends_with_the_same_bits(deaths):
    signal, halves, found = deaths['killed']['0']
    assert (signal, halves, found) == ('SIGXFSZ', 1, deaths['whole'])


def test_the_deaths_fell_before_and_after_the_rename(deaths):
    halves = [left for _, left, _ in deaths['killed'].values()]
    assert 1 in halves and halves[-1] == 0


def test_killed_again_and_again_at_any_time_it_ends_with_the_same_bits(deaths):
    assert sum(count for count, _ in deaths['often']) >= 3
    assert {found for _, found in deaths['often']} == {deaths['whole']}


def test_killed_after_its_last_checkpoint_it_ends_with_the_same_bits(deaths):
    assert len(deaths['again']) == 5 and set(deaths['again']) == {deaths['whole']}
