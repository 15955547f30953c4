"""The benchmark of the control tick: it times real ticks, and its claim can fail."""

from __future__ import annotations

from contextlib import nullcontext
import json

from benchmark_files import load
import numpy as np
import pytest
import torch

benchmark = load('control_tick')


@pytest.fixture(autouse=True)
def small(monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.setattr(benchmark, 'FAST_TICKS', 5)
    monkeypatch.setattr(benchmark, 'POLICIES', {'default': benchmark.POLICIES['default']})
    monkeypatch.setattr(benchmark, 'learning', lambda *_: nullcontext())
    yield
    torch.set_num_threads(threads)


def test_ticks_are_timed_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, 'GOAL', 1e6)         # how busy this machine is is no matter
    assert benchmark.main(['--fast', '--out', str(tmp_path / 'out.json')]) == 0
    rows = json.loads((tmp_path / 'out.json').read_text())['rows']
    assert [row['beside'] for row in rows] == ['nothing', 'learner']
    assert all(0 < row['p50'] <= row['p99'] <= row['max'] and row['ticks'] == 5 for row in rows)
    assert 'holds: default' in capsys.readouterr().out


def test_slow_ticks_miss_the_claim(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, 'measure', lambda *_: np.full(5, 11.0))
    assert benchmark.main(['--fast', '--out', str(tmp_path / 'out.json')]) == 1
    assert 'MISSED: default' in capsys.readouterr().out
