from __future__ import annotations

import json
from pathlib import Path
import runpy

import pytest

FILE = Path(__file__).parents[2] / 'benchmarks' / 'ingest.py'


@pytest.fixture(scope='module')
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp('ingest') / 'result.json'
    main = runpy.run_path(str(FILE))['main']
    main.__globals__.update(FAST_EPISODES=2, FAST_ROUNDS=1)
    main(['--fast', '--out', str(out)])
    return json.loads(out.read_text())


def test_every_kind_of_bag_is_measured_beside_mcap(result):
    assert [row['bags'] for row in result['rows']] == ['steps', 'raw', 'joints']
    assert [row['messages'] for row in result['rows']] == [2 * 120 * 5, 2 * 120 * 4, 2 * 120 * 4]
    assert all(row['mcap_us'] > 0 and row['ratio'] > 0 for row in result['rows'])


def test_a_claim_holds_exactly_where_its_goal_is_reached(result):
    for claim in result['claims']:
        assert claim['holds'] == (claim['value'] >= claim['goal'])
