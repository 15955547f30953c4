"""The benchmark of the start: what it claims, and what it sees of processes and imports."""

from __future__ import annotations

import os

from benchmark_files import load
import pytest

benchmark = load('startup')


def launched(seconds: float, **libraries: set[str]) -> dict:
    return {'action': seconds, 'status': {'policy_server': 1.0}, 'libraries': libraries}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Return the claims of launches, the first of which only warms up."""
    def measure(*launches: dict) -> list[dict]:
        left = iter(launches)
        monkeypatch.setattr(benchmark, 'launch', lambda folder: next(left))
        monkeypatch.setattr(benchmark, 'imported', lambda module: (0.1, set()))
        return benchmark.claims(benchmark.measure(len(launches) - 1, 1, tmp_path))
    return measure


def test_the_first_launch_warms_up_and_the_median_counts(measured):
    claim, _ = measured(launched(60.0), launched(4.0), launched(5.0), launched(9.0))
    assert claim['value'] == 5.0 and claim['holds']


def test_a_slow_start_is_missed(measured):
    assert not measured(launched(1.0), launched(6.5))[0]['holds']


def test_a_library_that_a_node_does_not_use_is_found(measured):
    one = launched(1.0, policy_server={'torch'}, sac_learner={'torch'}, sim_bridge={'mujoco'})
    claim = measured(one, one)[1]
    assert claim['value'] == 1 and not claim['holds']


def test_what_a_process_has_loaded_is_seen():
    import torch    # noqa: F401
    assert 'torch' in benchmark.mapped(os.getpid())


def test_an_import_is_timed_and_what_it_loads_is_seen():
    seconds, libraries = benchmark.imported('robot_rl.sim.twin')
    assert seconds > 0.0 and libraries == {'mujoco'}
