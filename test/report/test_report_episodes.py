"""Which episodes say how good a policy is, and what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from robot_rl.report.bags import Details
from robot_rl.report.charts import _per_episode
from robot_rl.report.episodes import (by_mode, counted, Episode, evaluations, HELPED, left_out,
                                      share, STOPPED)
from robot_rl.report.figures import success_figure
from robot_rl.run_folder import WINDOW

DETAILS = Details(-2.0, 10, 0, 0, '', (), np.zeros(0), np.zeros(0), np.zeros((0, 2)))
HELP = replace(DETAILS, human=3)


def episode(outcome: str, mode: str = 'evaluate', version: int = 1, details: Details = DETAILS
            ) -> Episode:
    return Episode('x', mode, version, outcome, 10, 0, details=details)


@pytest.mark.parametrize(('outcome', 'why'), [
    ('success', ''), ('failure', ''), ('truncated', ''), ('aborted', STOPPED),
    ('abandoned', STOPPED), ('incomplete', STOPPED), ('', STOPPED), ('of a stranger', STOPPED)])
def test_only_what_came_to_an_end_of_its_own_counts(outcome, why):
    assert episode(outcome).left_out == why


@pytest.mark.parametrize(('mode', 'why'), [
    ('evaluate', HELPED), ('transfer', HELPED), ('learn', ''), ('explore', ''), ('scripted', '')])
def test_a_greedy_policy_that_a_person_helped_is_not_measured(mode, why):
    assert episode('success', mode, details=HELP).left_out == why


def test_rates_are_of_what_counts_and_the_others_stand_beside():
    found = [episode('success'), episode('truncated'), episode('aborted'),
             episode('success', details=HELP)]
    assert left_out(found) == {STOPPED: 1, HELPED: 1}
    assert (len(counted(found)), share(found), share(found[2:])) == (2, 0.5, None)
    one = by_mode(found)['evaluate']
    assert (one['episodes'], one['counted'], one['successes'], one['success']) == (4, 2, 1, 0.5)
    assert (one[STOPPED], one[HELPED], one['return'], one['length']) == (1, 1, -2.0, 10.0)


def test_a_mode_in_which_nothing_counts_has_no_rate():
    one = by_mode([episode('aborted', 'learn')])['learn']
    assert (one['success'], one['return'], one['length'], one['counted']) == (None, None, None, 0)


def test_an_evaluation_is_as_many_episodes_that_count_with_the_stopped_among_them():
    first = [episode(outcome, version=0) for outcome in ('aborted', 'truncated', 'success')]
    final = [episode(outcome, version=7) for outcome in (
        'success', 'truncated', 'aborted', 'success', 'aborted')]
    before, after = evaluations([*first, *final], 2)
    assert [one.outcome for one in before] == ['aborted', 'truncated', 'success']
    assert [one.outcome for one in after] == ['truncated', 'aborted', 'success', 'aborted']


def test_the_last_policy_is_not_measured_where_all_its_episodes_were_stopped():
    _, final = evaluations([episode('success', version=6), episode('aborted', version=7)], 20)
    assert (share(final), left_out(final)[STOPPED]) == (None, 1)


def test_what_was_stopped_is_a_cross_and_in_no_mean():
    found = [episode('success', 'learn'), episode('aborted', 'learn')]
    chart = _per_episode(found, 'lengths', 'Lengths', 'actions', lambda one: one.actions)
    crosses, dots, mean = chart.figure.axes[0].get_lines()
    assert [line.get_xdata().tolist() for line in (crosses, dots, mean)] == [[20], [10], [10]]
    assert 'crosses' in chart.says
    assert 'crosses' not in _per_episode(found[:1], 'x', 'X', 'x', lambda one: 0.0).says


def test_what_was_stopped_is_in_no_curve_and_in_no_mark_of_success():
    found = [episode('success', 'learn'), episode('aborted', 'learn'), episode('aborted')]
    [curve] = success_figure(found).axes[0].get_lines()
    assert curve.get_xdata().tolist() == [10]


def test_measuring_a_policy_takes_no_step_of_the_axis_of_success():
    found = [episode('success', 'transfer'), episode('success', 'explore'),
             episode('success', 'evaluate'), episode('success', 'learn')]
    axes = success_figure(found).axes[0]
    explorers, learner = [line.get_xdata().tolist() for line in axes.get_lines()
                          if line.get_label().endswith(f'last {WINDOW} episodes')][::-1]
    assert (explorers, learner) == ([10], [20])
    assert axes.get_xlabel() == 'robot steps of training episodes'


def test_policies_that_are_measured_in_turn_stand_where_they_began():
    turns = [episode('success', mode) for mode in ('evaluate', 'demonstrate') * 3]
    axes = success_figure([episode('success', 'learn'), *turns]).axes[0]
    assert [mark.lines[0].get_xdata() for mark in axes.containers] == [[10], [10]]
