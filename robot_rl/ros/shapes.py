"""Markers of plain shapes; whoever sends them gives each a frame, a namespace and a number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from geometry_msgs.msg import Point
import numpy as np
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

Color = Sequence[float]     # red, green, blue and, where it is not 1, alpha: 0 to 1


def color_message(color: Color) -> ColorRGBA:
    """Return a colour as a message."""
    red, green, blue, *alpha = map(float, color)
    return ColorRGBA(r=red, g=green, b=blue, a=alpha[0] if alpha else 1.0)


def lines(paths: np.ndarray, width: float, color: Color,
          colors: Sequence[Color] = ()) -> Marker:
    """Return paths (count, k, 3) m as lines from point to point; of one point each, the points.

    `colors` are those of the k points, the same in every path; without any it is `color`.
    """
    kind = Marker.LINE_LIST if paths.shape[1] > 1 else Marker.POINTS
    marker = _shape(kind, color)
    marker.scale.x = width
    if kind == Marker.POINTS:
        marker.scale.y = width
    marker.points = _points(paths if kind == Marker.POINTS else _ends(paths))
    if len(colors):
        told = list(map(color_message, colors))
        told = told if kind == Marker.POINTS else [
            end for pair in zip(told, told[1:]) for end in pair]
        marker.colors = told * len(paths)
    return marker


def box(corners: np.ndarray, width: float, color: Color) -> Marker:
    """Return the edges of a box between its lowest and highest corner (2, 3) m."""
    marker = _shape(Marker.LINE_LIST, color)
    marker.scale.x = width
    ends = []
    for axis, (first, second) in product(range(3), product((0, 1), repeat=2)):
        for end in (0, 1):
            chosen = np.insert([first, second], axis, end)
            ends.append(corners[chosen, np.arange(3)])
    marker.points = _points(np.array(ends))
    return marker


def ball(place: np.ndarray, radius: float, color: Color) -> Marker:
    """Return a sphere at (3,) m."""
    marker = _shape(Marker.SPHERE, color)
    _put(marker, place)
    marker.scale.x = marker.scale.y = marker.scale.z = 2.0 * radius
    return marker


def arrow(start: np.ndarray, end: np.ndarray, width: float, color: Color) -> Marker:
    """Return an arrow between two points (3,) m; `width` is that of its shaft, m."""
    marker = _shape(Marker.ARROW, color)
    marker.points = _points(np.array([start, end]))
    marker.scale.x, marker.scale.y = width, 2.5 * width
    marker.scale.z = min(3.0 * width, 0.5 * float(np.linalg.norm(end - start)))     # of its head
    return marker


def text(words: str, place: Sequence[float], height: float, color: Color) -> Marker:
    """Return lines of text that face the viewer; `height` is that of a capital letter, m."""
    marker = _shape(Marker.TEXT_VIEW_FACING, color)
    _put(marker, place)
    marker.scale.z, marker.text = height, words
    return marker


def _shape(kind: int, color: Color) -> Marker:
    marker = Marker(type=kind, action=Marker.ADD, color=color_message(color))
    marker.pose.orientation.w = 1.0
    return marker


def _put(marker: Marker, place: Sequence[float]) -> None:
    position = marker.pose.position
    position.x, position.y, position.z = map(float, place)


def _ends(paths: np.ndarray) -> np.ndarray:
    return np.stack((paths[:, :-1], paths[:, 1:]), axis=2)


def _points(places: np.ndarray) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in places.reshape(-1, 3).tolist()]
