"""Simulator geoms as RViz markers and body frames as tf."""

from __future__ import annotations

from collections.abc import Container

from rclpy.time import Time
from visualization_msgs.msg import Marker, MarkerArray

SHAPES = {'plane': Marker.CUBE, 'box': Marker.CUBE, 'sphere': Marker.SPHERE,
          'ellipsoid': Marker.SPHERE, 'cylinder': Marker.CYLINDER, 'capsule': Marker.CYLINDER}
PLANE_SIZE = 2.0        # m, shown for a plane that MuJoCo takes as endless
THIN = 1e-3             # m, thickness of a shown plane


def geom_markers(geoms, stamp: Time, frame: str, hidden: Container[str] = ()) -> MarkerArray:
    """Return one marker per geom, to add or, of a namespace in `hidden`, to delete.

    Ids are constant, so each message replaces the last.
    """
    markers = MarkerArray()
    for index, geom in enumerate(geoms):
        action = Marker.DELETE if geom.ns in hidden else Marker.ADD
        marker = Marker(ns=geom.ns, id=index, type=SHAPES[geom.type], action=action)
        marker.header.frame_id, marker.header.stamp = frame, stamp.to_msg()
        position, rotation = marker.pose.position, marker.pose.orientation
        position.x, position.y, position.z = map(float, geom.pos)
        rotation.x, rotation.y, rotation.z, rotation.w = map(float, geom.quat)
        marker.scale.x, marker.scale.y, marker.scale.z = _scale(geom)
        color = marker.color
        color.r, color.g, color.b, color.a = map(float, geom.rgba)
        markers.markers.append(marker)
    return markers


def clear_markers(frame: str) -> MarkerArray:
    """Return the message that removes everything shown before."""
    marker = Marker(action=Marker.DELETEALL)
    marker.header.frame_id = frame
    return MarkerArray(markers=[marker])


def _scale(geom) -> tuple[float, float, float]:
    """Return full extents, as RViz wants them; MuJoCo gives half sizes."""
    x, y, z = (2.0 * float(size) for size in geom.size)
    if geom.type == 'plane':
        return x or PLANE_SIZE, y or PLANE_SIZE, THIN
    if geom.type == 'sphere':
        return x, x, x
    if geom.type == 'cylinder':
        return x, x, y
    if geom.type == 'capsule':
        return x, x, y + x
    return x, y, z
