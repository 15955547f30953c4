"""The stand-in for tf_transformations agrees with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from robot_rl.transformations import (euler_from_quaternion, quaternion_from_euler,
                                      quaternion_from_matrix, quaternion_matrix)

Rotation = pytest.importorskip('scipy.spatial.transform').Rotation
ROTATIONS = Rotation.random(100, np.random.default_rng(0))
QUATERNIONS = ROTATIONS.as_quat()       # x, y, z, w


def same_rotation(quaternion, expected) -> bool:
    return np.allclose(np.abs(np.dot(quaternion, expected)), 1.0, rtol=0.0, atol=1e-12)


def test_matrix_of_a_quaternion():
    found = np.array([quaternion_matrix(quaternion) for quaternion in QUATERNIONS])
    assert found.shape == (100, 4, 4)
    assert np.allclose(found[:, :3, :3], ROTATIONS.as_matrix(), atol=1e-12)
    assert np.array_equal(found[:, 3], np.tile([0, 0, 0, 1], (100, 1)))
    assert not found[:, :3, 3].any()


@pytest.mark.parametrize('size', [3, 4])
def test_quaternion_of_a_matrix(size):
    for rotation in ROTATIONS:
        matrix = np.identity(size)
        matrix[:3, :3] = rotation.as_matrix()
        assert same_rotation(quaternion_from_matrix(matrix), rotation.as_quat())


def test_euler_angles_of_a_quaternion():
    found = [euler_from_quaternion(quaternion) for quaternion in QUATERNIONS]
    assert np.allclose(found, ROTATIONS.as_euler('xyz'), atol=1e-9)


def test_quaternion_of_euler_angles():
    for rotation in ROTATIONS:
        assert same_rotation(quaternion_from_euler(*rotation.as_euler('xyz')), rotation.as_quat())


def test_the_order_is_x_y_z_w():
    assert np.allclose(quaternion_from_euler(0.0, 0.0, np.pi), [0, 0, 1, 0])
    assert np.allclose(quaternion_matrix([0, 0, 0, 1]), np.identity(4))
