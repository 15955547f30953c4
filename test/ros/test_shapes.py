from __future__ import annotations

import numpy as np
import pytest
from rclpy.time import Time
from robot_rl.ros.clouds import cloud_message
from robot_rl.ros.plan_markers import SURE, sureness, UNSURE
from robot_rl.ros.shapes import arrow, ball, box, lines, text
from robot_rl.visited import POINT, Visited
from shown import faults, faults_of_cloud, places
from visualization_msgs.msg import Marker

WHITE = 1.0, 1.0, 1.0


def sent(marker: Marker) -> Marker:
    """Return it as whoever sends it completes it."""
    marker.ns, marker.header.frame_id = 'test', 'world'
    return marker


def points(marker: Marker) -> np.ndarray:
    return np.array([[point.x, point.y, point.z] for point in marker.points])


@pytest.mark.parametrize('marker', [
    lines(np.random.default_rng(0).normal(size=(3, 4, 3)), 0.01, WHITE),
    lines(np.random.default_rng(0).normal(size=(3, 1, 3)), 0.01, WHITE, [WHITE]),
    lines(np.random.default_rng(0).normal(size=(2, 3, 3)), 0.01, WHITE, [WHITE] * 3),
    box(np.array([[-1.0, -1.0, 0.0], [1.0, 2.0, 0.0]]), 0.01, (1.0, 0.0, 0.0, 0.5)),
    ball(np.zeros(3), 0.01, WHITE), arrow(np.zeros(3), np.ones(3), 0.01, WHITE),
    arrow(np.zeros(3), np.array([0.002, 0.0, 0.0]), 0.01, WHITE),
    text('stopped', (0.0, 0.0, 1.0), 0.02, WHITE)],
    ids=['lines', 'points', 'colours', 'box', 'ball', 'arrow', 'short arrow', 'text'])
def test_every_shape_is_one_that_rviz_takes(marker):
    assert not faults(sent(marker))


@pytest.mark.parametrize('spoil', [
    lambda marker: setattr(marker.scale, 'x', 0.0),
    lambda marker: setattr(marker.pose.orientation, 'w', 0.0),
    lambda marker: setattr(marker.color, 'a', 0.0),
    lambda marker: setattr(marker, 'ns', ''),
    lambda marker: setattr(marker.header, 'frame_id', ''),
    lambda marker: setattr(marker.points[0], 'x', float('nan')),
    lambda marker: marker.points.pop(),
    lambda marker: marker.colors.append(marker.color)])
def test_the_check_sees_each_fault(spoil):
    marker = sent(lines(np.zeros((1, 2, 3)), 0.01, WHITE))
    assert not faults(marker)
    spoil(marker)
    assert faults(marker)


def test_a_path_is_drawn_from_point_to_point_in_the_colours_of_its_points():
    path = np.array([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0]]])
    marker = lines(path, 0.01, WHITE, [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)])
    assert points(marker).tolist() == path[0, [0, 1, 1, 2]].tolist()
    assert [color.r for color in marker.colors] == [0.0, 0.5, 0.5, 1.0]


def test_a_box_has_twelve_edges_between_its_corners():
    low, high = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 3.0, 2.5])
    ends = points(box(np.array([low, high]), 0.01, WHITE)).reshape(12, 2, 3)
    assert (np.sort(np.abs(ends[:, 1] - ends[:, 0]), axis=1)[:, :2] == 0.0).all()
    assert np.abs(ends[:, 1] - ends[:, 0]).sum(0).tolist() == [8.0, 12.0, 2.0]
    assert len({tuple(end) for end in ends.reshape(-1, 3)}) == 8
    assert (ends.min((0, 1)) == low).all() and (ends.max((0, 1)) == high).all()


def test_an_arrow_leads_from_its_start_to_its_end():
    marker = arrow(np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 3.0]), 0.01, WHITE)
    assert points(marker).tolist() == [[1.0, 2.0, 3.0], [1.5, 2.0, 3.0]]


@pytest.mark.parametrize(('off', 'share'), [(0.0, 0.0), (0.05, 0.5), (0.1, 1.0), (7.0, 1.0)])
def test_the_more_members_deviate_the_redder_the_path(off, share):
    path = np.linspace((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 2)
    members = np.stack((path, path))
    members[0, 1, 1] += off
    members[1, 1, 1] -= off
    first, last = sureness(members, 0.1)
    assert np.allclose(first, SURE) and np.allclose(last, SURE + share * (UNSURE - SURE))


@pytest.mark.parametrize('count', [0, 1, 5])
def test_a_cloud_is_read_back_as_it_was(count):
    visited = Visited()
    for index in range(count):
        visited.add((index, 0.5, -0.25), (0.2 * index, 1.0, 0.0))
    cloud = cloud_message(visited.points, Time(seconds=3), 'table')
    assert not faults_of_cloud(cloud)
    assert (cloud.header.frame_id, cloud.header.stamp.sec, cloud.width) == ('table', 3, count)
    assert np.array_equal(places(cloud), visited.points)
    assert [(field.name, field.offset) for field in cloud.fields] == [
        (name, POINT.fields[name][1]) for name in POINT.names]
