"""Where the numbers of an observation lie in MuJoCo's sensordata, for many worlds at once.

A Twin builds messages from one MjData. Many worlds stepped by `mujoco.rollout` leave only states
and sensordata behind, so what a contract selects is added to the model as sensors at load: each
selected number is then a column, or for rotations and local twists a function of a few columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from robot_rl.contract import Contract
from robot_rl.errors import InvalidFile, Problem
from robot_rl.fields import AXES, ROTATIONS
from robot_rl.sim.sources import FRAMES

JOINT, SENSOR = mujoco.mjtObj.mjOBJ_JOINT, mujoco.mjtSensor
# Their values come from outside the state that a rollout carries from one period to the next.
UNSUPPORTED = {int(SENSOR.mjSENS_USER): 'user', int(SENSOR.mjSENS_PLUGIN): 'plugin'}
GIMBAL_LOCK = 4 * np.finfo(float).eps       # below it, as in transforms3d, yaw is 0


@dataclass(frozen=True)
class Field:
    """One field of a message as a sensor: the name of one in the model, or one to add."""

    sensor: str | tuple         # name, or (sensor type, object type, object name)
    noisy: bool = False         # a position: the gap's observation noise is added
    frame: tuple | None = None  # the FRAMEQUAT sensor in whose axes the vector is told


@dataclass(frozen=True)
class Columns:
    """A compiled observation of n numbers."""

    copied: np.ndarray      # (n,) column of every component; what is not copied is overwritten
    noisy: np.ndarray       # (n,) bool
    computed: tuple[tuple[slice, Callable], ...]    # components, and their function of sensordata

    def read(self, sensordata: np.ndarray) -> np.ndarray:
        """Return observations (N, n) of sensordata (N, k)."""
        values = sensordata[:, self.copied]
        for target, compute in self.computed:
            values[:, target] = compute(sensordata)
        return values


def compile_columns(contract: Contract) -> tuple[mujoco.MjModel, Columns]:
    """Return the contract's model with the sensors added, and where the observation lies in it.

    The contract's names are those of the model: a Twin has been made of it. Raises InvalidFile for
    every source that only a Twin can read.
    """
    spec = mujoco.MjSpec.from_file(str(contract.simulation.model))
    parts, problems, added = [], [], {}
    for entry in contract.observations:
        key = f'simulation.observation.{entry.name}'
        if entry.type not in FIELDS:
            problems.append(Problem(key, 'a type that many worlds can read at once: '
                                    + ', '.join(FIELDS), entry.type, 'use Twin'))
            continue
        fields = FIELDS[entry.type](contract.simulation.observation[entry.name])
        for field in fields.values():
            if isinstance(field.sensor, str) and (
                    kind := UNSUPPORTED.get(int(spec.sensor(field.sensor).type))):
                problems.append(Problem(key, 'sensors that follow from the state alone',
                                        f'{field.sensor} of type {kind}', 'use Twin'))
        found = [_locate(component.name, fields) for component in entry.selection.components]
        parts += found
        for field, *_ in found:
            for sensor in (field.sensor, field.frame):
                if isinstance(sensor, tuple) and sensor not in added:
                    added[sensor] = f'robot_rl/{len(added)}'
                    _add(spec, added[sensor], *sensor)
    if problems:
        raise InvalidFile(contract.file, problems)
    model = spec.compile()

    def start(sensor) -> int:
        return int(model.sensor(added.get(sensor, sensor)).adr[0])

    copied, computed = np.empty(len(parts), int), []
    for index, (field, rotation, axis) in enumerate(parts):
        copied[index] = start(field.sensor) + (0 if rotation else axis)
        if rotation and axis == 0:
            target = slice(index, index + len(ROTATIONS[rotation]))
            computed.append((target, _rotation(start(field.sensor), rotation)))
        elif field.frame:
            computed.append((slice(index, index + 1), _local(start(field.sensor),
                                                             start(field.frame), axis)))
    noisy = np.array([field.noisy for field, *_ in parts])
    return model, Columns(copied, noisy, tuple(computed))


def _add(spec: mujoco.MjSpec, name: str, kind, objtype, objname: str) -> None:
    spec.add_sensor(name=name, type=kind, objtype=objtype, objname=objname)


def _locate(name: str, fields: dict[str, Field]) -> tuple[Field, str, int]:
    """Return the field of a component, its rotation ('' for none) and its index within."""
    if name in fields:                          # a field of one number
        return fields[name], '', 0
    head, _, last = name.rpartition('.')
    head, _, rotation = head.partition(':')
    if rotation:
        return fields[head], rotation, ROTATIONS[rotation].index(last)
    return fields[head], '', AXES.index(last) if last in AXES else int(last)


def _joint_state(source: dict) -> dict[str, Field]:
    fields = {}
    for joint in source['joints']:
        fields[f'position.{joint}'] = Field((SENSOR.mjSENS_JOINTPOS, JOINT, joint), noisy=True)
        fields[f'velocity.{joint}'] = Field((SENSOR.mjSENS_JOINTVEL, JOINT, joint))
        fields[f'effort.{joint}'] = Field((SENSOR.mjSENS_JOINTACTFRC, JOINT, joint))
    return fields


def _framed(source: dict, kind) -> tuple:
    objtype = next(name for name in FRAMES if name in source)
    return kind, FRAMES[objtype], source[objtype]


def _pose(source: dict, prefix: str = 'pose') -> dict[str, Field]:
    return {f'{prefix}.position': Field(_framed(source, SENSOR.mjSENS_FRAMEPOS), noisy=True),
            f'{prefix}.orientation': Field(_framed(source, SENSOR.mjSENS_FRAMEQUAT))}


def _point(source: dict) -> dict[str, Field]:
    return {'point': Field(_framed(source, SENSOR.mjSENS_FRAMEPOS), noisy=True)}


def _twist(source: dict, prefix: str = 'twist', frame=None) -> dict[str, Field]:
    return {f'{prefix}.linear': Field(_framed(source, SENSOR.mjSENS_FRAMELINVEL), frame=frame),
            f'{prefix}.angular': Field(_framed(source, SENSOR.mjSENS_FRAMEANGVEL), frame=frame)}


def _odometry(source: dict) -> dict[str, Field]:
    own_axes = _framed(source, SENSOR.mjSENS_FRAMEQUAT)
    return {**_pose(source, 'pose.pose'), **_twist(source, 'twist.twist', own_axes)}


def _wrench(source: dict) -> dict[str, Field]:
    return {f'wrench.{key}': Field(source[key]) for key in ('force', 'torque')}


def _imu(source: dict) -> dict[str, Field]:
    return {key: Field(source[key])
            for key in ('orientation', 'angular_velocity', 'linear_acceleration')}


def _data(source: dict) -> dict[str, Field]:
    return {'data': Field(source['sensor'])}


FIELDS = {
    'sensor_msgs/msg/JointState': _joint_state,
    'geometry_msgs/msg/PoseStamped': _pose,
    'geometry_msgs/msg/PointStamped': _point,
    'geometry_msgs/msg/TwistStamped': _twist,
    'nav_msgs/msg/Odometry': _odometry,
    'geometry_msgs/msg/WrenchStamped': _wrench,
    'sensor_msgs/msg/Imu': _imu,
    'std_msgs/msg/Float64': _data,
    'std_msgs/msg/Float64MultiArray': _data,
}


def _rotation(start: int, rotation: str) -> Callable:
    """Return the function from sensordata (N, k) to one rotation (N, 3, 4 or 6)."""
    columns = slice(start, start + 4)
    if rotation == 'quaternion':
        return lambda sensordata: _quaternion(sensordata[:, columns])
    convert = {'rpy': _rpy, 'rot6d': _rot6d}[rotation]
    return lambda sensordata: convert(_matrix(sensordata[:, columns]))


def _local(start: int, frame: int, axis: int) -> Callable:
    """Return the function from sensordata (N, k) to one component (N, 1) in the frame's axes."""
    def compute(sensordata: np.ndarray) -> np.ndarray:
        direction = _matrix(sensordata[:, frame:frame + 4])[:, :, axis]
        return (sensordata[:, start:start + 3] * direction).sum(axis=1, keepdims=True)

    return compute


def _quaternion(wxyz: np.ndarray) -> np.ndarray:
    """Return x, y, z, w (N, 4) of unit length with w >= 0."""
    xyzw = wxyz[:, [1, 2, 3, 0]] / np.linalg.norm(wxyz, axis=1, keepdims=True)
    return np.where(xyzw[:, 3:] >= 0, xyzw, -xyzw)


def _matrix(wxyz: np.ndarray) -> np.ndarray:
    """Return rotation matrices (N, 3, 3)."""
    x, y, z, w = _quaternion(wxyz).T
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]
                    ).transpose(2, 0, 1)


def _rot6d(matrix: np.ndarray) -> np.ndarray:
    """Return the first two columns (N, 6): Zhou et al. 2019."""
    return matrix[:, :, :2].transpose(0, 2, 1).reshape(-1, 6)


def _rpy(matrix: np.ndarray) -> np.ndarray:
    """Return roll, pitch, yaw (N, 3) in rad about fixed axes."""
    flat = np.hypot(matrix[:, 0, 0], matrix[:, 1, 0])
    regular = flat > GIMBAL_LOCK
    roll = np.where(regular, np.arctan2(matrix[:, 2, 1], matrix[:, 2, 2]),
                    np.arctan2(-matrix[:, 1, 2], matrix[:, 1, 1]))
    yaw = np.where(regular, np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]), 0.0)
    return np.stack((roll, np.arctan2(-matrix[:, 2, 0], flat), yaw), axis=1)
