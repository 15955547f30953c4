"""The benchmark of the learner: what it counts, what it claims, and a peer that is not there."""

from __future__ import annotations

import sys

from benchmark_files import FOLDER, load
import pytest

sys.path.insert(0, str(FOLDER))     # its files import each other, as scripts do

benchmark = load('learner')
SMALL = {'n': 4, 'm': 2, 'width': 8, 'batch': 16, 'critics': 3, 'subset': 2, 'layer_norm': True,
         'actor_period': 2, 'utd': 2}


def row(setting: str, side: str, ours: float = 1.0, compiled: float | None = None) -> dict:
    ratios = {'ours': [ours] * 3} | ({'ours, compiled': [compiled] * 3} if compiled else {})
    return {'setting': setting, 'side': side, 'ratios': ratios}


def rows(**changes) -> list[dict]:
    found = {'SB3': row('UTD 1', 'stable-baselines3', 1.5, 2.5), 'SBX': row('UTD 1', 'SBX', 0.9),
             'SBX 20': row('UTD 20', 'SBX', 1.2), 'ours': row('UTD 20', 'ours', 1.0, 1.6),
             'compiled': row('UTD 20', 'ours, compiled', 0.6, 1.0), **changes}
    return list(found.values())


def claims(**changes) -> list[tuple]:
    return [(claim['value'], claim['holds']) for claim in benchmark.claims(rows(**changes))]


def test_the_faster_of_our_two_counts():
    assert claims() == [(2.5, True), (0.9, False), (1.2, True), (1.6, True)]


def test_the_compiled_update_is_compared_with_the_eager_one_and_not_with_itself():
    assert claims(ours=row('UTD 20', 'ours', 1.0, 1.4))[3] == (1.4, False)


def test_bfloat16_counts_beside_our_own_update_and_not_beside_peers_in_float32():
    rounded = {'ours, bfloat16': [9.0] * 3}
    found = rows()
    for each in found:
        each['ratios'] |= rounded
    assert [claim['value'] for claim in benchmark.claims(found)] == [2.5, 0.9, 1.2, 9.0]


def test_what_is_missing_is_told_and_no_failure():
    lacks = {'setting': 'UTD 1', 'side': 'SBX', 'missing': 'peer not installed: pip install x'}
    claim = benchmark.claims(rows(SBX=lacks))[1]
    assert claim['holds'] is None and claim['reason'] == lacks['missing']


def test_operations_are_those_of_the_matrix_products():
    # batch 256: actor and 2 critics ahead, 2 critics there and back, actor through them and back
    critic, actor = 39 * 256 + 256 * 256 + 256, 32 * 256 + 256 * 256 + 256 * 14
    expected = 512 * (actor + 2 * critic + 2 * (3 * critic - 39 * 256)
                      + 3 * actor - 32 * 256 + 4 * critic)
    assert benchmark.operations(benchmark.SETTINGS['UTD 1']) == expected


def test_a_peer_that_is_not_installed_says_how(tmp_path):
    folder = tmp_path / 'sbx.py'
    folder.write_text('raise ModuleNotFoundError("No module named sbx", name="sbx")')
    side = benchmark.Side(sys.executable, 'SBX', SMALL, {'PYTHONPATH': str(tmp_path)})
    assert side.missing == 'peer not installed: pip install sbx-rl'
    side.close()


def test_our_side_makes_the_updates_that_it_is_asked_for():
    side = benchmark.Side(sys.executable, 'ours', SMALL)
    try:
        assert side.facts['weights'] == 3 * (6 * 8 + 8 * 8 + 8)
        assert all(seconds > 0.0 for seconds in side.update(4))
    finally:
        side.close()


def test_a_ratio_is_the_median_with_its_quartiles():
    assert benchmark.ratio([1.0, 2.0, 3.0, 4.0, 5.0]) == [3.0, 2.0, 4.0]


@pytest.mark.parametrize('setting', benchmark.SETTINGS)
def test_rounds_hold_whole_calls(setting):
    assert benchmark.UPDATES[setting] % benchmark.SETTINGS[setting]['utd'] == 0
