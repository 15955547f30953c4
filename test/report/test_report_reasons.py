"""Why episodes ended and what stopped the robot, by the kind of reason."""

from __future__ import annotations

import pytest
from robot_rl.report.reasons import ends_by_reason, examples, kind, stops_by_reason, WHY_UNKNOWN
from test_report_bags import event, EVENTS, P, SAFETY, write_bag

STALE = 'observation_stale: arm on joint_states is {} s old, max_age 0.15 s'


def test_a_stop_that_two_bags_hold_counts_once(tmp_path):
    stop = (EVENTS, event(5, 'policy_server', 'stop', reason='observation_stale'))
    silent = (SAFETY, event(5, 'safety_stop', 'stop', reason='silent'))
    again = (EVENTS, event(9, 'policy_server', 'stop', reason='observation_stale'))
    found = [write_bag(tmp_path / 'a', [P], [stop, silent]),
             write_bag(tmp_path / 'b', [P], [stop, again])]
    assert stops_by_reason(found) == {'policy_server: observation_stale': 2,
                                      'safety_stop: silent': 1}


def test_ends_are_counted_most_frequent_first(tmp_path):
    made = [write_bag(tmp_path / str(number), [P], [
        (EVENTS, event(1, 'policy_server', 'end', episode='7', reason=reason))])
        for number, reason in enumerate(('horizon', 'success', 'success'))]
    made.append(write_bag(tmp_path / 'x', [P]))
    assert list(ends_by_reason(made).items()) == [('success', 2), ('horizon', 1),
                                                  ('not recorded', 1)]
    assert examples(made) == {'not recorded': WHY_UNKNOWN}


def test_reasons_that_differ_in_figures_only_are_one_with_its_first_as_example(tmp_path):
    made = [write_bag(tmp_path / str(number), [P], [
        (EVENTS, event(number, 'policy_server', 'end', episode='7', reason=STALE.format(age))),
        (EVENTS, event(number, 'policy_server', 'stop', reason=STALE.format(age)))])
        for number, age in enumerate((0.31, 0.32, 1.0))]
    assert ends_by_reason(made) == {'observation_stale': 3}
    assert stops_by_reason(made) == {'policy_server: observation_stale': 3}
    assert examples(made) == {'observation_stale': STALE.format(0.31)}


@pytest.mark.parametrize(('reason', 'expected'), [
    ('', ''), ('horizon', 'horizon'), ('policy_late: 3 control periods', 'policy_late'),
    ('task_failed: ValueError: x', 'task_failed'),
    ('observation arm is 0.31 s old', 'observation arm is # s old'),
    ('joint_1 of arm2 at -1e-3 rad, v1.2.3', 'joint_1 of arm2 at # rad, v1.2.3')])
def test_the_kind_of_a_reason_is_its_name_or_its_text_without_figures(reason, expected):
    assert kind(reason) == expected


def test_a_reason_that_is_only_a_name_needs_no_example(tmp_path):
    made = write_bag(tmp_path / 'a', [P], [
        (EVENTS, event(1, 'policy_server', 'end', episode='7', reason='horizon'))])
    assert examples([made]) == {}
