"""A small stand-in for RViz, which needs a desktop: markers and point clouds become a picture.

It keeps what it was sent as RViz does, by namespace and id, and draws it to scale, with the camera
and the grid of a .rviz file: solids shaded, lines as ribbons that face the camera, points as
squares of so many pixels, text in front. Depth is tested per pixel; twice the size, then halved.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import Marker, MarkerArray
import yaml

FINER = 2                       # pixels drawn for one of the picture, each way
FIELD = np.radians(45.0)        # vertical field of view of RViz
NEAR = 0.02                     # m
LARGEST = 0.25                  # m, edge of a triangle: larger ones are split
SIDES = 24                      # of what is round
LIGHT = np.array((0.35, 0.25, 0.9))
LINE_SPACE = 1.25               # heights of a letter from line to line
FONT = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / 'DejaVuSans.ttf'


class View:
    """What a display of RViz holds."""

    def __init__(self):
        self.markers: dict[tuple[str, str, int], Marker] = {}
        self.clouds: dict[str, PointCloud2] = {}

    def take(self, topic: str, message: MarkerArray | PointCloud2) -> None:
        """Add, replace and delete, as told."""
        if isinstance(message, PointCloud2):
            self.clouds[topic] = message
            return
        for marker in message.markers:
            name = topic, marker.ns, marker.id
            if marker.action == Marker.ADD:
                self.markers[name] = marker
            elif marker.action == Marker.DELETE:
                self.markers.pop(name, None)
            else:
                self.markers = {key: kept for key, kept in self.markers.items()
                                if key[0] != topic}


class Camera:
    """An orbit camera of RViz: points in m to pixels."""

    def __init__(self, settings: dict, width: int, height: int):
        focus = np.array([settings['Focal Point'][axis] for axis in 'XYZ'], float)
        pitch, yaw = settings['Pitch'], settings['Yaw']
        back = np.array((np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)))
        right = np.array((-np.sin(yaw), np.cos(yaw), 0.0))
        self.place = focus + settings['Distance'] * back
        self._axes = np.stack((right, np.cross(back, right), back))
        self._scale = 0.5 * height / np.tan(0.5 * FIELD)
        self._middle = 0.5 * np.array((width, height))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return (..., 3): pixels from the left and from the top, and depth in m."""
        x, y, z = np.moveaxis((points - self.place) @ self._axes.T, -1, 0)
        depth = np.maximum(-z, 1e-6)
        return np.stack((self._middle[0] + self._scale * x / depth,
                         self._middle[1] - self._scale * y / depth, -z), axis=-1)

    def pixels(self, size: float, depth: float) -> float:
        """Return the pixels of so many m at that depth."""
        return self._scale * size / depth


class Canvas:
    """A picture with a depth for every pixel."""

    def __init__(self, width: int, height: int, background):
        self.color = np.tile(np.asarray(background, float), (height, width, 1))
        self.depth = np.full((height, width), np.inf)

    def fill(self, corners: np.ndarray, color: np.ndarray) -> None:
        """Draw a triangle (3, 3) of pixels and depth; what is translucent hides nothing."""
        if (corners[:, 2] < NEAR).any():
            return
        height, width = self.depth.shape
        low = np.maximum(np.floor(corners[:, :2].min(0)), 0).astype(int)
        high = np.minimum(np.ceil(corners[:, :2].max(0)) + 1, (width, height)).astype(int)
        if (low >= high).any():
            return
        (x0, y0), (x1, y1), (x2, y2) = corners[:, :2]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-9:
            return
        y, x = np.mgrid[low[1]:high[1], low[0]:high[0]] + 0.5
        first = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
        second = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
        third = 1.0 - first - second
        inside = (first >= 0) & (second >= 0) & (third >= 0)
        with np.errstate(divide='ignore'):
            depth = 1.0 / (first / corners[0, 2] + second / corners[1, 2] + third / corners[2, 2])
        window = slice(low[1], high[1]), slice(low[0], high[0])
        seen = inside & (depth > 0) & (depth < self.depth[window])
        self.color[window][seen] += color[3] * (color[:3] - self.color[window][seen])
        if color[3] == 1.0:
            self.depth[window][seen] = depth[seen]


def picture(view: View, rviz: Path, width: int = 960, height: int = 600,
            clouds: dict[str, int] | None = None, **camera) -> Image.Image:
    """Return what RViz shows with the settings of a .rviz file.

    `clouds` are pixels of a point, by topic; `camera` replaces settings of the view in the file.
    """
    settings = yaml.safe_load(rviz.read_text(encoding='utf-8'))['Visualization Manager']
    size = FINER * width, FINER * height
    look = Camera({**settings['Views']['Current'], **camera}, *size)
    canvas = Canvas(*size, _color(settings['Global Options']['Background Color']))
    parts = [part for marker in view.markers.values() for part in _parts(marker, look)]
    parts += [part for display in settings['Displays']
              if display['Class'].endswith('/Grid') for part in _grid(display, look)]
    solid = [part for part in parts if part[1][3] == 1.0]
    clear = sorted((part for part in parts if part[1][3] < 1.0),
                   key=lambda part: -np.linalg.norm(part[0].mean(0) - look.place))
    for corners, color in solid:
        canvas.fill(look(corners), color)
    for topic, cloud in view.clouds.items():
        _points(canvas, look, cloud, FINER * (clouds or {}).get(topic, 3))
    for corners, color in clear:
        canvas.fill(look(corners), color)
    image = Image.fromarray((255 * np.clip(canvas.color, 0, 1)).round().astype(np.uint8))
    for marker in view.markers.values():
        if marker.type == Marker.TEXT_VIEW_FACING:
            _write(image, look, marker)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _color(text: str) -> np.ndarray:
    return np.array([int(part) / 255 for part in text.split(';')])


def _rgba(color) -> np.ndarray:
    return np.array((color.r, color.g, color.b, color.a))


def _at(marker: Marker) -> np.ndarray:
    return np.array([getattr(marker.pose.position, axis) for axis in 'xyz'])


def _ends(marker: Marker) -> np.ndarray:
    return np.array([[point.x, point.y, point.z] for point in marker.points]).reshape(-1, 3)


def _parts(marker: Marker, look: Camera) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return triangles (3, 3) m and their colours (4,)."""
    color = _rgba(marker.color)
    if marker.type in (Marker.CUBE, Marker.SPHERE, Marker.CYLINDER):
        shape = {Marker.CUBE: _cube, Marker.SPHERE: _sphere, Marker.CYLINDER: _cylinder}
        scale = np.array([getattr(marker.scale, axis) for axis in 'xyz'])
        triangles = (shape[marker.type]() * scale) @ _turn(marker.pose.orientation).T + _at(marker)
        return _shaded(triangles, color)
    if marker.type == Marker.LINE_LIST:
        ends = _ends(marker).reshape(-1, 2, 3)
        colors = [_rgba(found) for found in marker.colors][::2] or [color] * len(ends)
        return [part for (start, end), found in zip(ends, colors)
                for part in _ribbon(start, end, marker.scale.x, found, look)]
    if marker.type == Marker.ARROW:
        return _shaded(_arrow(*_ends(marker), marker.scale), color)
    return []


def _shaded(triangles: np.ndarray, color: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the triangles (n, 3, 3), split where they are large, in the light."""
    found = []
    waiting = list(triangles)
    while waiting:
        corners = waiting.pop()
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)   # 0-2, 1-0, 2-1
        if edges.max() > LARGEST:
            corners = np.roll(corners, 1 - int(edges.argmax()), axis=0)     # the longest is 1-0
            middle = corners[:2].mean(0)
            waiting += [np.stack((corners[0], middle, corners[2])),
                        np.stack((middle, corners[1], corners[2]))]
            continue
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        length = np.linalg.norm(normal)
        if length > 0:
            light = 0.55 + 0.45 * abs(normal @ LIGHT) / (length * np.linalg.norm(LIGHT))
            found.append((corners, np.append(np.minimum(color[:3] * light, 1.0), color[3])))
    return found


def _ribbon(start, end, width: float, color, look: Camera) -> list:
    """Return a line as two triangles that face the camera, at least a pixel wide."""
    middle = 0.5 * (start + end)
    depth = max(float(np.linalg.norm(middle - look.place)), NEAR)
    width = max(width, 1.2 / look.pixels(1.0, depth))
    aside = np.cross(end - start, look.place - middle)
    length = np.linalg.norm(aside)
    if not length:
        return []
    aside *= 0.5 * width / length
    return [(np.stack((start - aside, start + aside, end + aside)), color),
            (np.stack((start - aside, end + aside, end - aside)), color)]


def _grid(display: dict, look: Camera) -> list:
    cell, half = display['Cell Size'], display['Plane Cell Count'] // 2
    color = np.append(_color(display['Color']), display['Alpha'])
    reach = cell * half
    lines = []
    for index in range(-half, half + 1):
        for piece in np.arange(-reach, reach - 1e-9, 2 * cell):
            at, begin, stop = index * cell, piece, piece + 2 * cell
            lines += [((at, begin, 0.0), (at, stop, 0.0)), ((begin, at, 0.0), (stop, at, 0.0))]
    return [part for start, end in lines
            for part in _ribbon(np.array(start), np.array(end), 0.0, color, look)]


def _turn(rotation) -> np.ndarray:
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])


def _cube() -> np.ndarray:
    triangles = []
    for axis, side in product(range(3), (-0.5, 0.5)):
        corners = [np.insert(corner, axis, side) for corner in (
            (-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
        triangles += [corners[:3], [corners[0], *corners[2:]]]
    return np.array(triangles)


def _lathe(profile: list[tuple[float, float]]) -> np.ndarray:
    """Return what a profile of (radius, height) makes when it turns about z."""
    angles = np.linspace(0.0, 2.0 * np.pi, SIDES + 1)
    rings = [np.stack((radius * np.cos(angles), radius * np.sin(angles),
                       np.full(SIDES + 1, height)), axis=1) for radius, height in profile]
    triangles = []
    for low, high in zip(rings, rings[1:]):
        for index in range(SIDES):
            a, b, c, d = low[index], low[index + 1], high[index + 1], high[index]
            triangles += [[a, b, c], [a, c, d]]
    return np.array(triangles)


def _cylinder() -> np.ndarray:
    return _lathe([(0.0, -0.5), (0.5, -0.5), (0.5, 0.5), (0.0, 0.5)])


def _sphere() -> np.ndarray:
    angles = np.linspace(-0.5 * np.pi, 0.5 * np.pi, SIDES // 2 + 1)
    return _lathe([(0.5 * np.cos(angle), 0.5 * np.sin(angle)) for angle in angles])


def _arrow(start: np.ndarray, end: np.ndarray, scale) -> np.ndarray:
    """Return an arrow by two points: shaft and head, as wide and long as the scale says."""
    along = end - start
    length = float(np.linalg.norm(along))
    neck = length - scale.z
    up = along / length
    side = np.cross(up, (1.0, 0.0, 0.0) if abs(up[0]) < 0.9 else (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side)
    axes = np.stack((side, np.cross(up, side), up))
    return _lathe([(0.0, 0.0), (0.5 * scale.x, 0.0), (0.5 * scale.x, neck), (0.5 * scale.y, neck),
                   (0.0, length)]) @ axes + start


def _points(canvas: Canvas, look: Camera, cloud: PointCloud2, size: int) -> None:
    """Draw the points of a cloud as squares."""
    found = np.frombuffer(bytes(cloud.data), [('place', '<f4', 3), ('rgb', '<u4')])
    height, width = canvas.depth.shape
    for (x, y, depth), rgb in zip(look(found['place'].astype(float)), found['rgb'].tolist()):
        left, top = int(x) - size // 2, int(y) - size // 2
        window = slice(max(top, 0), max(top + size, 0)), slice(max(left, 0), max(left + size, 0))
        if depth < NEAR or left >= width or top >= height:
            continue
        seen = depth < canvas.depth[window]
        canvas.color[window][seen] = [(rgb >> shift & 255) / 255 for shift in (16, 8, 0)]
        canvas.depth[window][seen] = depth


def _write(image: Image.Image, look: Camera, marker: Marker) -> None:
    """Write the lines of a text, centred on its place."""
    x, y, depth = look(_at(marker))
    height = look.pixels(marker.scale.z, depth)
    font = ImageFont.truetype(str(FONT), max(round(1.35 * height), 6))
    lines, draw = marker.text.split('\n'), ImageDraw.Draw(image)
    color = tuple((255 * _rgba(marker.color)[:3]).round().astype(int))
    for index, line in enumerate(lines):
        place = x, y + (index - 0.5 * (len(lines) - 1)) * LINE_SPACE * height * 1.35
        draw.text(place, line, color, font, anchor='mm')
