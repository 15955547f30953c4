"""The stand-in for RViz draws what is told, where it is, and forgets what is deleted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='make setup installs it')

from benchmark_files import load  # noqa: E402, I100
from rclpy.time import Time  # noqa: E402
from robot_rl.ros.clouds import cloud_message  # noqa: E402
from robot_rl.ros.markers import clear_markers  # noqa: E402
from robot_rl.ros.shapes import arrow, ball, box, lines, text  # noqa: E402
from robot_rl.visited import Visited  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

viewer = load('viewer')
RVIZ = Path(__file__).parents[2] / 'rviz' / 'robot_rl.rviz'
ABOVE = {'Distance': 1.0, 'Pitch': 1.5, 'Yaw': 0.0, 'Focal Point': {'X': 0, 'Y': 0, 'Z': 0}}
RED = 1.0, 0.0, 0.0


def draw(*markers: Marker, cloud=None) -> np.ndarray:
    """Return the pixels (101, 101, 3) of a view from above."""
    view = viewer.View()
    for number, marker in enumerate(markers):
        marker.id = number
    view.take('markers', MarkerArray(markers=markers))
    if cloud:
        view.take('cloud', cloud)
    return np.asarray(viewer.picture(view, RVIZ, 101, 101, **ABOVE)).astype(int)


def red(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0] > 120) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)


@pytest.mark.parametrize('marker', [
    ball(np.zeros(3), 0.05, RED), arrow(np.array([-0.1, 0, 0]), np.array([0.1, 0, 0]), 0.05, RED),
    lines(np.array([[[0.0, -0.2, 0.01], [0.0, 0.2, 0.01]]]), 0.05, RED),
    lines(np.array([[[0.0, -0.2, 0.01], [0.0, 0.2, 0.01]]]), 0.05, (0, 1, 0), [RED, RED]),
    box(np.array([[-0.02, -0.02, 0.0], [0.02, 0.02, 0.01]]), 0.04, RED),
    text('HHHH', (0.0, 0.0, 0.0), 0.15, RED)],
    ids=['ball', 'arrow', 'line', 'its own colours', 'box', 'text'])
def test_a_shape_is_drawn_where_it_is(marker):
    pixels = red(draw(marker))
    assert pixels[45:56, 45:56].any() and not pixels[:20].any() and not pixels[:, :5].any()


def test_sizes_are_to_scale():
    across = red(draw(ball(np.zeros(3), 0.1, RED))).sum()
    assert across == pytest.approx(np.pi * (0.1 * 50.5 / np.tan(np.radians(22.5))) ** 2, rel=0.1)


def test_what_is_nearer_hides_what_is_behind_it():
    pixels = draw(ball(np.array([0.0, 0.0, 0.3]), 0.1, (0.0, 1.0, 0.0)),
                  ball(np.zeros(3), 0.05, RED))
    assert not red(pixels).any() and pixels[50, 50, 1] > 100


def test_a_visited_place_has_its_colour():
    visited = Visited()
    visited.add((0.0, 0.0, 0.0), RED)
    assert red(draw(cloud=cloud_message(visited.points, Time(), 'world')))[48:53, 48:53].any()


def test_what_is_deleted_is_gone_and_only_that():
    view = viewer.View()
    markers = [ball(np.zeros(3), 0.1, RED), ball(np.ones(3), 0.1, RED)]
    for number, marker in enumerate(markers):
        marker.ns, marker.id = 'goal', number
    view.take('mine', MarkerArray(markers=markers))
    view.take('other', MarkerArray(markers=markers))
    view.take('mine', MarkerArray(markers=[Marker(ns='goal', id=1, action=Marker.DELETE)]))
    assert set(view.markers) == {('mine', 'goal', 0), ('other', 'goal', 0), ('other', 'goal', 1)}
    view.take('other', clear_markers('world'))
    assert set(view.markers) == {('mine', 'goal', 0)}


def test_the_pictures_of_the_documents_are_there_and_small():
    pictures = sorted((RVIZ.parents[1] / 'docs' / 'images').glob('rviz_*.png'))
    told = (RVIZ.parents[1] / 'docs' / 'rviz.md').read_text()
    assert len(pictures) == 4
    for picture in pictures:
        assert picture.stat().st_size < 150_000 and f'images/{picture.name}' in told
