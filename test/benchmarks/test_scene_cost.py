"""The benchmark of the scene: it times what is done for RViz, and its claim can fail."""

from __future__ import annotations

import json
import os
import time

from benchmark_files import load
import numpy as np
import pytest
from robot_rl.contract import load_contract

benchmark = load('scene_cost')


def rows(share: float) -> list[dict]:
    return [{'node': node, 'view': view, 'seconds': 1.0, 'ticks': 50.0, 'scene': share,
             'process': 10.0} for node in benchmark.MEASURED for view in benchmark.VIEWS]


@pytest.fixture(autouse=True)
def measured(monkeypatch):
    shares = {'share': 0.5}
    monkeypatch.setattr(benchmark, 'demonstrator', lambda contract: b'')
    monkeypatch.setattr(benchmark, 'keep_apart', lambda: None)
    monkeypatch.setattr(benchmark, 'measure', lambda view, *_: [
        row for row in rows(shares['share']) if row['view'] == view])
    return shares


@pytest.mark.parametrize(('share', 'code', 'word'), [(0.5, 0, 'holds'), (2.0, 1, 'MISSED')])
def test_the_claim_is_of_what_nobody_sees(measured, tmp_path, capsys, share, code, word):
    measured['share'] = share
    assert benchmark.main(['--fast', '--out', str(tmp_path / 'out.json')]) == code
    result = json.loads((tmp_path / 'out.json').read_text())
    assert len(result['rows']) == 6 and len(result['claims']) == 2
    assert f'{word}: policy_server' in capsys.readouterr().out


def test_time_in_methods_that_call_each_other_counts_once():
    class Busy:

        def outer(self):
            self.inner()

        def inner(self):
            until = time.thread_time() + 0.02
            while time.thread_time() < until:
                pass

    totals = np.zeros(1)
    benchmark.timed(Busy, ('outer', 'inner'), totals)
    Busy().outer()
    assert 0.02 <= totals[0] < 0.035
    Busy().inner()
    assert 0.04 <= totals[0] < 0.07


@pytest.mark.parametrize('shown', [True, False])
def test_the_measured_contract_is_the_shipped_one_at_its_rate(tmp_path, shown):
    benchmark.write_contract(tmp_path / 'contract.yaml', shown)
    contract = load_contract(str(tmp_path / 'contract.yaml'))
    assert contract.control_rate == benchmark.RATE and bool(contract.display) is shown
    assert contract.layout == load_contract(benchmark.TASK).layout


def test_processor_time_is_that_of_the_process():
    before = benchmark.processor(os.getpid())
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert 0.05 <= benchmark.processor(os.getpid()) - before < 1.0
