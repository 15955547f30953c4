"""Rotations in ROS order (x, y, z, w): tf_transformations, or a stand-in where only pip is there.

The stand-in has the same names, arguments and order, and is built on transforms3d, on which
tf_transformations itself is built.
"""

from __future__ import annotations

try:
    from tf_transformations import euler_from_quaternion
    from tf_transformations import quaternion_from_euler
    from tf_transformations import quaternion_from_matrix
    from tf_transformations import quaternion_matrix
except ImportError:
    import numpy as np
    from transforms3d import euler, quaternions

    def _to_wxyz(quaternion):
        x, y, z, w = quaternion
        return w, x, y, z

    def _to_xyzw(quaternion):
        w, x, y, z = quaternion
        return np.array([x, y, z, w])

    def quaternion_matrix(quaternion):
        """Return the homogeneous 4 x 4 rotation matrix of a quaternion (x, y, z, w)."""
        matrix = np.identity(4)
        matrix[:3, :3] = quaternions.quat2mat(_to_wxyz(quaternion))
        return matrix

    def quaternion_from_matrix(matrix):
        """Return the quaternion (x, y, z, w) of a 3 x 3 or homogeneous 4 x 4 matrix."""
        return _to_xyzw(quaternions.mat2quat(np.asarray(matrix)[:3, :3]))

    def euler_from_quaternion(quaternion, axes='sxyz'):
        """Return roll, pitch, yaw (rad) of a quaternion (x, y, z, w)."""
        return euler.quat2euler(_to_wxyz(quaternion), axes=axes)

    def quaternion_from_euler(ai, aj, ak, axes='sxyz'):
        """Return the quaternion (x, y, z, w) of roll, pitch, yaw (rad)."""
        return _to_xyzw(euler.euler2quat(ai, aj, ak, axes=axes))

__all__ = ['euler_from_quaternion', 'quaternion_from_euler', 'quaternion_from_matrix',
           'quaternion_matrix']
