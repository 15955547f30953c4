from __future__ import annotations

from contextlib import contextmanager

from exporting import LENGTHS, recorded, torn_steps, write_bag
import numpy as np
import pytest
from recording import episode_steps
from robot_rl.data.bag import bag_transitions, find_bags
from robot_rl.data.export import CUT, export
from robot_rl.data.steps import Status
from robot_rl.data.transitions import COLUMNS
from robot_rl.errors import UserError


@pytest.fixture
def taken(tmp_path, contract):
    """Export bags into a list of runs."""
    def take(root=tmp_path / 'bags'):
        runs = []

        @contextmanager
        def write(target, given):
            assert given is contract
            yield runs.append

        return runs, export([root], tmp_path / 'out', contract, write)
    return take


def test_an_episode_has_the_transitions_that_the_learner_has_of_its_bag(taken, tmp_path, contract):
    runs, _ = taken(recorded(tmp_path / 'bags', contract))
    for run, bag in zip(runs, find_bags(tmp_path / 'bags'), strict=True):
        expected = bag_transitions(bag, contract)
        for name in COLUMNS:
            assert np.array_equal(getattr(run.transitions, name), getattr(expected, name)), name


def test_a_run_tells_where_it_comes_from_and_how_it_went(taken, tmp_path, contract):
    runs, exported = taken(recorded(tmp_path / 'bags', contract))
    assert [(run.bag, run.session, run.outcome, run.label) for run in runs] == [
        ('episode_000001', 's1', 'success', 'success'),
        ('episode_000002', 's1', 'truncated', ''), ('episode_000003', 's1', 'aborted', '')]
    assert (exported.runs, exported.transitions, exported.successes) == (3, sum(LENGTHS), 1)


def test_where_a_record_was_lost_the_episode_parts(taken, tmp_path, contract):
    write_bag(tmp_path / 'bags' / 'torn', contract, torn_steps(20, 8), outcome='success',
              label='success')
    runs, exported = taken()
    assert [len(run) for run in runs] == [7, 11]
    assert [(run.outcome, run.label) for run in runs] == [(CUT, ''), ('success', 'success')]
    assert [run.steps[-1].status for run in runs] == [Status.TRUNCATED] * 2
    assert exported.successes == 1
    assert [run.transitions.truncated.sum() for run in runs] == [1, 0]


def test_what_a_broken_record_leads_to_is_not_exported(taken, tmp_path, contract):
    write_bag(tmp_path / 'bags' / 'broken', contract, episode_steps(6, Status.BROKEN))
    (run,), _ = taken()
    assert len(run) == 5 and run.steps[-1].index == 5


def test_discarded_and_unreadable_bags_are_left_out_and_told(taken, tmp_path, contract):
    root = recorded(tmp_path / 'bags', contract)
    write_bag(root / 'gone', contract, episode_steps(5), outcome='discarded')
    (root / 'other').mkdir()
    (root / 'other' / 'other_0.mcap').write_bytes(b'no bag')
    runs, exported = taken(root)
    assert len(runs) == 3
    gone, other = sorted(exported.left_out(), key=lambda line: 'other' in line)
    assert 'gone: episode 0: discarded' in gone and 'other' in other


def test_nothing_to_export_is_an_error_that_says_why(taken, tmp_path, contract):
    write_bag(tmp_path / 'bags' / 'gone', contract, episode_steps(5), outcome='discarded')
    with pytest.raises(UserError, match='no episode to export\n.*gone: episode 0: discarded'):
        taken()


def test_bags_of_another_contract_are_left_out(taken, tmp_path, contract, make_contract):
    root = recorded(tmp_path / 'bags', contract)
    other = make_contract(**{'task: tiny': 'task: other'})
    write_bag(root / 'foreign', other, episode_steps(5))
    make_contract()
    runs, exported = taken(root)
    assert len(runs) == 3
    line, = exported.left_out()
    assert 'made under another contract' in line and 'foreign' in line
