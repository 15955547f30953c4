from __future__ import annotations

import numpy as np
import pytest
from robot_rl.layout import Layout

LAYOUT = Layout(('arm.position.a', 'arm.position.b', 'arm.velocity.a', 'puck.x'), ('',) * 4)


@pytest.mark.parametrize(('name', 'expected'), [
    ('arm.position.a', 0.0), ('puck.x', 3.0), ('puck', [3.0]), ('arm.position', [0.0, 1.0]),
    ('arm.velocity', [2.0]), ('arm', [0.0, 1.0, 2.0])])
def test_a_name_or_its_prefix_selects_its_numbers(name, expected):
    assert np.array_equal(LAYOUT.view(np.arange(4.0))[name], expected)


def test_leading_dimensions_are_kept():
    view = LAYOUT.view(np.zeros((5, 3, 4)))
    assert view['puck.x'].shape == (5, 3) and view['arm'].shape == (5, 3, 3)


def test_a_view_reads_without_copying():
    values = np.zeros(4)
    LAYOUT.view(values)['arm.velocity'][...] = 7.0
    assert values.tolist() == [0.0, 0.0, 7.0, 0.0]


@pytest.mark.parametrize('name', ['arm.position.c', 'ar', '', 'puck.y'])
def test_an_unknown_name_is_answered_with_the_names_there_are(name):
    with pytest.raises(KeyError, match='arm.position.a, arm.position.b'):
        LAYOUT.view(np.zeros(4))[name]
