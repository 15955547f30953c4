"""Visited places as a point cloud: x, y, z and rgb, as PCL and RViz read them."""

from __future__ import annotations

import array

import numpy as np
from rclpy.time import Time
from robot_rl.visited import POINT
from sensor_msgs.msg import PointCloud2, PointField

FIELDS = [PointField(name=name, offset=POINT.fields[name][1], datatype=PointField.FLOAT32, count=1)
          for name in POINT.names]      # the colour's 32 bits pass for a float by convention


def cloud_message(points: np.ndarray, stamp: Time, frame: str) -> PointCloud2:
    """Return points (n,) of dtype POINT as a message."""
    message = PointCloud2(
        height=1, width=len(points), fields=FIELDS, is_bigendian=False,
        point_step=POINT.itemsize, row_step=POINT.itemsize * len(points), is_dense=True,
        data=array.array('B', points.tobytes()))
    message.header.frame_id, message.header.stamp = frame, stamp.to_msg()
    return message
