"""What RViz would refuse or not show of a message."""

from __future__ import annotations

import numpy as np
from robot_rl.visited import POINT
from sensor_msgs.msg import PointField
from visualization_msgs.msg import Marker

SOLID = (Marker.CUBE, Marker.SPHERE, Marker.CYLINDER, Marker.ARROW)
OF_POINTS = (Marker.LINE_LIST, Marker.LINE_STRIP, Marker.POINTS, Marker.ARROW)
USED = {**dict.fromkeys(SOLID, 'xyz'), Marker.LINE_LIST: 'x', Marker.LINE_STRIP: 'x',
        Marker.POINTS: 'xy', Marker.TEXT_VIEW_FACING: 'z'}     # components of scale


def faults(marker: Marker) -> list[str]:
    """Return what is wrong with a marker."""
    found = []
    if not marker.header.frame_id:
        found.append('no frame')
    if marker.action != Marker.ADD:
        return found if marker.action in (Marker.DELETE, Marker.DELETEALL) else ['action']
    if not marker.ns:
        found.append('no namespace')
    found += [f'scale.{axis}' for axis in USED[marker.type] if not getattr(marker.scale, axis) > 0]
    found += [f'scale.{axis} is not used' for axis in 'xyz'
              if axis not in USED[marker.type] and getattr(marker.scale, axis)]
    turn, place = marker.pose.orientation, marker.pose.position
    if abs(np.linalg.norm([turn.x, turn.y, turn.z, turn.w]) - 1.0) > 1e-6:
        found.append('quaternion')
    places = [place, *marker.points]
    if not np.isfinite([[point.x, point.y, point.z] for point in places]).all():
        found.append('not finite')
    if marker.type == Marker.ARROW and len(marker.points) not in (0, 2):
        found.append('points of an arrow')
    if bool(marker.points) != (marker.type in OF_POINTS):
        found.append('points')
    if marker.type == Marker.LINE_LIST and len(marker.points) % 2:
        found.append('an odd point')
    if marker.colors and len(marker.colors) != len(marker.points):
        found.append('colors')
    for color in [marker.color, *marker.colors]:
        if not color.a > 0 or not all(0 <= part <= 1 for part in (color.r, color.g, color.b,
                                                                  color.a)):
            found.append('color')
    if (marker.type == Marker.TEXT_VIEW_FACING) != bool(marker.text.strip()):
        found.append('text')
    return found


def faults_of_cloud(cloud) -> list[str]:
    """Return what is wrong with a point cloud."""
    found = [] if cloud.header.frame_id else ['no frame']
    if [field.name for field in cloud.fields] != ['x', 'y', 'z', 'rgb'] or any(
            field.datatype != PointField.FLOAT32 or field.count != 1 for field in cloud.fields):
        found.append('fields')
    if cloud.row_step != cloud.point_step * cloud.width or cloud.height != 1:
        found.append('steps')
    if len(cloud.data) != cloud.row_step * cloud.height:
        found.append('size')
    elif not all(np.isfinite(places(cloud)[axis]).all() for axis in 'xyz'):
        found.append('not finite')
    return found


def places(cloud) -> np.ndarray:
    """Return the points of a cloud (n,) as dtype POINT."""
    return np.frombuffer(bytes(cloud.data), POINT)


def names(markers) -> list[tuple[str, int]]:
    """Return (namespace, id) of each."""
    return [(marker.ns, marker.id) for marker in markers]
