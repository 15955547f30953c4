"""What `check` says of the section `safety`, and of what stops the robot without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from robot_rl.commands.safety_table import NONE, safety_rows
from robot_rl.contract import load_contract
from robot_rl.safety.settings import BOOL, Intervention, JOINT_STATE, JOY, Safety, Switch

REACH = load_contract('reach')


def rows(**safety) -> list[tuple[str, str]]:
    return safety_rows(replace(REACH, safety=Safety(**safety)))[1:]


def test_without_a_section_each_part_of_it_is_none():
    assert [what for what, when in rows() if when == NONE] == [
        'limits', 'e_stop', 'dead_man', 'intervention']


def test_what_is_in_force_without_a_section_is_told_with_its_units():
    told = dict(rows())
    assert told['max_age arm'] == 'joint_states is older than 0.15 s'
    assert told['policy_late'] == '3 control periods (0.15 s) without a tick'
    assert told['on_stop'] == 'a stop sends zeros'
    assert 'safety_stop' in told['watchdog']


def test_each_limit_has_its_unit():
    assert ('limits', 'arm.velocity.elbow is outside -1.5 to 2 rad/s') in rows(
        limits={'arm.velocity.elbow': (-1.5, 2.0), 'tip.point.x': (0.0, 1.0)})


@pytest.mark.parametrize(('switch', 'told'), [
    (Switch('stop', BOOL, 0.5), 'stop says false, or is silent for 0.5 s'),
    (Switch('pad', JOY, 0.25, 4), 'pad has button 4 up, or is silent for 0.25 s')])
def test_a_switch_tells_what_stops(switch, told):
    assert ('dead_man', told) in rows(dead_man=switch)
    assert ('e_stop', 'stop says true, or is silent for 0.5 s') in rows(
        e_stop=Switch('stop', BOOL, 0.5))


def test_an_intervention_tells_how_a_person_takes_over():
    joy = Intervention('joy', JOY, 0.2, 0.3, (0, 1), 5, {'success': 0}, (1.0, -1.0))
    told = dict(rows(intervention=joy))['intervention']
    assert told == ('a person by joy, sensor_msgs/msg/Joy; until it is silent for 0.2 s; blended '
                    'for 0.3 s; axes 0, 1 x -1; while button 5 is down; button 0 success')
    leader = Intervention('leader', JOINT_STATE, 0.2, joints='velocity')
    assert dict(rows(intervention=leader))['intervention'].endswith('velocity of the joints')


def test_an_action_that_may_change_at_any_rate_is_told_as_such(capsys, tmp_path):
    from robot_rl.cli import main
    text = '\n'.join(line for line in REACH.text.splitlines() if 'max_rate' not in line)
    (tmp_path / 'mine.yaml').write_text(text)
    assert np.isinf(load_contract(str(tmp_path / 'mine.yaml')).action.max_rate).all()
    main(['check', str(tmp_path / 'mine.yaml')])
    printed = capsys.readouterr().out
    assert 'inf' not in printed
    assert printed.partition('max_rate\n')[2].splitlines()[0].endswith('none')
