from __future__ import annotations

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile
from robot_rl.paths import contract_path

REACH = contract_path('reach').read_text()
SHOWN = REACH[REACH.index('display:'):REACH.index('simulation:')]
LIMITS = """safety:
  limits:
    tip.point.x: [-0.3, 0.4]
"""


@pytest.fixture
def load(tmp_path):
    """Load contract `reach` with these lines as its `display`, and more."""
    def load(*lines: str, more: str = ''):
        path = tmp_path / 'mine.yaml'
        display = 'display:\n' + ''.join(f'  {line}\n' for line in lines) if lines else ''
        path.write_text(REACH.replace(SHOWN, display + more))
        return load_contract(path)
    return load


def seen(contract, x: float, y: float):
    return contract.layout.view(np.array([0.1, 0.2, 0.0, 0.0, x, y]))


@pytest.mark.parametrize('name', ['reach', 'puck_push', 'push_t', 'ur5e_forward', 'servo_twist',
                                  'fr3_trajectory', 'base_cmd_vel'])
def test_every_shipped_contract_says_where_the_robot_and_its_goal_are(name):
    display = load_contract(name).display
    assert display.here.observed and display.goal


def test_what_moves_is_where_it_is_observed_and_constant_elsewhere(load):
    contract = load('here: [tip.point.x, tip.point.y, 0.05]')
    assert contract.display.here(seen(contract, 0.3, -0.1)).tolist() == [0.3, -0.1, 0.05]
    batch = contract.layout.view(np.arange(12.0).reshape(2, 6))
    assert contract.display.here(batch).tolist() == [[4.0, 5.0, 0.05], [10.0, 11.0, 0.05]]


def test_a_goal_may_be_constant_observed_or_several(load):
    contract = load('goal: [0.1, 0.2, 0]')
    [place] = contract.display.goal
    assert not place.observed and place(seen(contract, 9.0, 9.0)).tolist() == [0.1, 0.2, 0.0]
    contract = load('goal: [[0.1, 0.2, 0], [tip.point.x, 0.0, 0.0]]')
    _, place = contract.display.goal
    assert place.observed and place(seen(contract, 0.7, 9.0)).tolist() == [0.7, 0.0, 0.0]


def test_every_key_may_be_left_out(load):
    display = load('frame: base').display
    assert (display.path, display.here, display.goal) == (None, None, ())
    assert (display.frame, display.radius, display.text) == ('base', 0.03, (0.0, 0.0, 0.0))


@pytest.mark.parametrize(('line', 'key', 'expected'), [
    ('here: [tip.point.q, 0, 0]', r'here\[0\]', 'a name of the observation vector'),
    ('here: [0, 0]', 'here', 'x, y and z'),
    ('here: tip', 'here', 'x, y and z'),
    ('here: [0, true, 0]', r'here\[1\]', 'a finite number'),
    ('goal: [[0, 0, 0], [0, 0, .nan]]', r'goal\[1\]\[2\]', 'a finite number'),
    ('goal: [[0, 0, 0], 1]', r'goal\[1\]', 'x, y and z'),
    ('radius: 0', 'radius', 'a finite number > 0'),
    ('text: [0, 0]', 'text', 'a list of 3 numbers'),
    ('places: []', 'places', 'a known key')])
def test_what_is_no_place_is_refused_at_load_with_its_key(load, line, key, expected):
    with pytest.raises(InvalidFile, match=f'display.{key}: expected {expected}'):
        load(line)


def test_the_workspace_is_what_the_place_is_limited_to(load):
    whole = LIMITS + '    tip.point.y: [-0.2, 0.25]\n'
    contract = load('here: [tip.point.x, tip.point.y, 0.05]', more=whole)
    box = contract.display.workspace(contract.safety)
    assert box.tolist() == [[-0.3, -0.2, 0.05], [0.4, 0.25, 0.05]]


@pytest.mark.parametrize('here', ['here: [tip.point.x, tip.point.y, 0.05]', 'here: [0, 0, 0]',
                                  'frame: world'])
def test_there_is_no_workspace_where_an_axis_is_free_or_nothing_is_observed(load, here):
    contract = load(here, more=LIMITS)
    assert contract.display.workspace(contract.safety) is None
