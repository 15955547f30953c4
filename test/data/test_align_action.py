from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from types import SimpleNamespace as Bunch

import numpy as np
import pytest
from robot_rl.data.align_action import compile_action
from robot_rl.fields import BadMessage
from robot_rl.layout import Layout


@pytest.fixture
def make_action(contract):
    def make(type_name: str, *names: str):
        return compile_action(replace(contract.action, type=type_name,
                                      layout=Layout(names, ('',) * len(names))))
    return make


def test_numbers_are_taken_as_they_come(make_action):
    read = make_action('std_msgs/msg/Float64MultiArray', 'a', 'b').read
    assert read(Bunch(data=np.array([2.0, 1.0]))).tolist() == [2.0, 1.0]


def test_a_twist_is_matched_by_axis(make_action):
    read = make_action('geometry_msgs/msg/TwistStamped', 'angular.z', 'linear.x').read
    twist = Bunch(linear=Bunch(x=0.5, y=9.0), angular=Bunch(z=-1.0))
    assert read(Bunch(twist=twist)).tolist() == [-1.0, 0.5]


def test_the_last_point_of_a_trajectory_is_matched_by_joint(make_action):
    read = make_action('trajectory_msgs/msg/JointTrajectory', 'b', 'a').read
    points = [Bunch(positions=[0.0, 0.0]), Bunch(positions=[1.0, 2.0])]
    assert read(Bunch(joint_names=['a', 'b'], points=points)).tolist() == [2.0, 1.0]


@pytest.mark.parametrize('points', [[], [Bunch(positions=[1.0])], [Bunch(positions=[])]])
def test_a_trajectory_that_lacks_a_joint_is_refused(make_action, points):
    read = make_action('trajectory_msgs/msg/JointTrajectory', 'a', 'b').read
    with pytest.raises(BadMessage, match='expected 2 finite values'):
        read(Bunch(joint_names=['a'], points=points))


@pytest.mark.parametrize('values', [[], [1.0, 2.0], [nan], [-inf]])
def test_a_command_of_the_wrong_size_or_not_finite_is_refused(make_action, values):
    read = make_action('std_msgs/msg/Float64MultiArray', 'a').read
    with pytest.raises(BadMessage, match='action: expected 1 finite values, found'):
        read(Bunch(data=values))
