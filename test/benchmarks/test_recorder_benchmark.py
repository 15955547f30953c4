"""The benchmark of the recorder: its search, and a step of it with both recorders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import sys

from benchmark_files import FOLDER, load
import pytest

pytest.importorskip('rclpy', reason='make setup installs it')
sys.path.insert(0, str(FOLDER))     # its files import each other, as scripts do
sys.path.insert(0, str(Path(__file__).parents[1] / 'ros'))      # isolation.py

from isolation import claim_domain  # noqa: E402, I100

LOCK = claim_domain()       # before any context is made
benchmark = load('recorder')


def test_the_highest_rate_that_is_held_is_found():
    limits = {'recorder': 3000.0, 'bare': 5000.0}
    rates = benchmark.search(lambda side, rate: rate <= limits[side], 1000.0, 8)
    assert all(0.99 * limits[side] < rate <= limits[side] for side, rate in rates.items())


def test_a_side_that_holds_nothing_has_no_rate():
    assert benchmark.search(lambda side, rate: side == 'bare' and rate < 3e3, 1e3, 0) == {
        'recorder': 0.0, 'bare': 2e3}


def test_a_rate_has_a_second_try():
    asked = []

    def hold(side: str, rate: float) -> bool:
        asked.append((side, rate))
        return asked.count((side, rate)) == 2 and rate < 3e3

    assert benchmark.search(hold, 1e3, 0) == {'recorder': 2e3, 'bare': 2e3}


@pytest.mark.parametrize('ratio, held', [(0.89, False), (0.9, True)])
def test_the_claim_is_the_share_of_the_bare_loop(ratio, held):
    claim, = benchmark.claims([{'load': 'joints', 'ratio': ratio}])
    assert claim['holds'] is held


def test_both_take_down_all_that_a_slow_robot_sends(monkeypatch, tmp_path):
    # Long enough that a busy machine's pauses are no tenth of it.
    loads = {name: replace(load, seconds=1.0) for name, load in benchmark.LOADS.items()}
    monkeypatch.setattr(benchmark, 'LOADS', loads)
    with benchmark.running(tmp_path) as sender:
        found = {(side, name): sender.held(side, name, 40.0)
                 for side in benchmark.SIDES for name in loads}
    assert all(held and spent >= 0.0 for held, spent in found.values())
    assert not list((tmp_path / 'bare').iterdir())      # a step leaves nothing behind
