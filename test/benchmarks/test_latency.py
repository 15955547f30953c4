"""The benchmark of latency: its arithmetic, and a few observations through the real nodes."""

from __future__ import annotations

from pathlib import Path
import sys

from benchmark_files import FOLDER, load
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='make setup installs it')
sys.path.insert(0, str(FOLDER))     # its files import each other, as scripts do
sys.path.insert(0, str(Path(__file__).parents[1] / 'ros'))      # isolation.py

from isolation import claim_domain  # noqa: E402, I100

LOCK = claim_domain()       # before any context is made
benchmark = load('latency')


def rows(p50: float = 1.4, p99: float = 3.9, loaded: float = 5.9, lost: int = 0) -> list[dict]:
    figures = {('echo', 'alone'): (1.0, 2.0), ('nodes', 'alone'): (p50, p99),
               ('echo', 'loaded'): (1.5, 9.0), ('nodes', 'loaded'): (p50, loaded)}
    return [{'side': side, 'load': load, 'p50': low, 'p99': high, 'lost': lost * (side == 'nodes')}
            for (side, load), (low, high) in figures.items()]


def holds(**changes) -> list[bool]:
    return [claim['holds'] for claim in benchmark.claims(rows(**changes))]


def test_everything_is_compared_with_the_echo_pair_alone():
    assert holds() == [True] * 4


@pytest.mark.parametrize('number, change', enumerate([
    {'p50': 1.6}, {'p99': 4.1}, {'loaded': 6.1}, {'lost': 1}]))
def test_each_goal_can_be_missed(number, change):
    assert holds(**change) == [index != number for index in range(4)]


def test_what_was_lost_is_counted_and_not_averaged():
    row = benchmark.row('nodes', 'alone', np.array([1.0, np.inf, 3.0]))
    assert (row['lost'], row['p50'], row['max']) == (1, 2.0, 3.0)


def test_both_sides_answer(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, 'BLOCK', 5)
    with benchmark.running(tmp_path, 'alone') as driver:
        found = {side: driver.block(side) for side in ('echo', 'nodes')}
    assert all(len(times) == 5 and max(times) < 1e3 for times in found.values())
