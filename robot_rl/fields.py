"""Message types a contract may name, and how selected fields become numbers.

A selection is compiled once, at load, into components (name, unit) and a reader. A reader takes
any object with the message's attributes: a live rclpy message, one decoded from a bag, or the
simulator's stand-in. So live, offline and simulated observations are the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from operator import attrgetter

import numpy as np

from robot_rl.transformations import euler_from_quaternion, quaternion_matrix


class BadMessage(Exception):
    """A message that lacks a selected field or holds a value that is not finite."""


@dataclass(frozen=True)
class MessageType:
    """What can be selected from one message type; values of the dicts are units."""

    vectors: dict[str, str] = field(default_factory=dict)     # fields with x, y, z
    quaternions: tuple[str, ...] = ()                         # fields with x, y, z, w
    scalars: dict[str, str] = field(default_factory=dict)
    joints: dict[str, str] = field(default_factory=dict)      # arrays matched by the field `name`
    arrays: dict[str, str] = field(default_factory=dict)      # arrays matched by index
    stamped: bool = True


OBSERVATION_TYPES = {
    'sensor_msgs/msg/JointState': MessageType(
        joints={'position': 'rad', 'velocity': 'rad/s', 'effort': 'N m'}),
    'geometry_msgs/msg/PoseStamped': MessageType(
        vectors={'pose.position': 'm'}, quaternions=('pose.orientation',)),
    'geometry_msgs/msg/PointStamped': MessageType(vectors={'point': 'm'}),
    'geometry_msgs/msg/TwistStamped': MessageType(
        vectors={'twist.linear': 'm/s', 'twist.angular': 'rad/s'}),
    'geometry_msgs/msg/WrenchStamped': MessageType(
        vectors={'wrench.force': 'N', 'wrench.torque': 'N m'}),
    'std_msgs/msg/Float64MultiArray': MessageType(arrays={'data': ''}, stamped=False),
    'std_msgs/msg/Float64': MessageType(scalars={'data': ''}, stamped=False),
    'sensor_msgs/msg/Imu': MessageType(
        vectors={'angular_velocity': 'rad/s', 'linear_acceleration': 'm/s^2'},
        quaternions=('orientation',)),
    'nav_msgs/msg/Odometry': MessageType(
        vectors={'pose.pose.position': 'm', 'twist.twist.linear': 'm/s',
                 'twist.twist.angular': 'rad/s'},
        quaternions=('pose.pose.orientation',)),
}
REWARD_TYPES = {**OBSERVATION_TYPES, 'std_msgs/msg/Float32': MessageType(
    scalars={'data': ''}, stamped=False)}       # what is simulated as well has 64 bits

ACTION_TYPES = ('std_msgs/msg/Float64MultiArray', 'trajectory_msgs/msg/JointTrajectory',
                'geometry_msgs/msg/TwistStamped')

ROTATIONS = {'quaternion': ('x', 'y', 'z', 'w'), 'rpy': ('roll', 'pitch', 'yaw'),
             'rot6d': tuple('012345')}
ROTATION_UNIT = {'quaternion': '1', 'rpy': 'rad', 'rot6d': '1'}
AXES = ('x', 'y', 'z')
TWIST_AXES = tuple(f'{part}.{axis}' for part in ('linear', 'angular') for axis in AXES)


@dataclass(frozen=True)
class Component:
    """One number of a vector: its name within the entry, and its unit."""

    name: str
    unit: str


@dataclass(frozen=True)
class Selection:
    """A compiled selection: components in vector order, and how they are read from a message.

    What is picked stands so in the message: who knows where in its bytes need not decode it.
    """

    components: tuple[Component, ...]
    pick: Callable[[object], Sequence[float]]   # message -> the numbers that are needed of it
    finish: Callable[[Sequence[float]], Sequence[float]]    # they -> one finite per component

    def read(self, message) -> np.ndarray:
        """Return the number of each component, or raise BadMessage, as either part does."""
        return np.array(self.finish(self.pick(message)))


class BadSelection(Exception):
    """A selection that the message type does not offer."""

    def __init__(self, expected: str, found):
        self.expected = expected
        self.found = found
        super().__init__(f'expected {expected}, found {found!r}')


def compile_selection(type_name: str, select) -> Selection:
    """Compile the `select` of an observation entry or a reward, or raise BadSelection."""
    kind = REWARD_TYPES[type_name]
    if kind.joints:
        parts = _joint_parts(kind, select)
    else:
        if not isinstance(select, list) or not select:
            raise BadSelection('a list of fields such as ' + ', '.join(_examples(kind)), select)
        parts = [_field_part(kind, text) for text in select]
    components = tuple(component for components, _, _ in parts for component in components)
    names = [component.name for component in components]
    for name in names:
        if names.count(name) > 1:
            raise BadSelection('each field once', name)
    readers = [reader for _, reader, _ in parts]
    turns, place = [], 0
    for components_of, _, turn in parts:
        if turn:
            turns.insert(0, (place, turn))      # the last comes first: what lies before stays
        place += 4 if turn else len(components_of)

    def pick(message) -> list[float]:
        try:
            return [float(number) for reader in readers for number in reader(message)]
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise BadMessage(f'{type_name}: {error}') from None

    def finish(numbers: Sequence[float]) -> Sequence[float]:
        try:
            for place, turn in turns:
                numbers = [*numbers[:place], *turn(numbers[place:place + 4]), *numbers[place + 4:]]
        except ValueError as error:
            raise BadMessage(f'{type_name}: {error}') from None
        if not isfinite(sum(numbers)):          # or each is, and their sum is too large
            for name, number in zip(names, numbers):
                if not isfinite(number):
                    raise BadMessage(f'{type_name}: {name} is not finite')
        return numbers

    return Selection(components, pick, finish)


def stamp_of(message) -> int:
    """Return header.stamp in nanoseconds, or 0 where the message has none."""
    header = getattr(message, 'header', None)
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec if header else 0


def _examples(kind: MessageType) -> list[str]:
    examples = [f'{name}.x' for name in kind.vectors] + list(kind.scalars)
    examples += [f'{name}:rot6d' for name in kind.quaternions]
    return examples + [f'{name}.0' for name in kind.arrays]


def _joint_parts(kind: MessageType, select) -> list:
    if not isinstance(select, dict) or not select:
        raise BadSelection('a mapping such as {position: [joint names]}', select)
    parts = []
    for array, joints in select.items():
        if array not in kind.joints:
            raise BadSelection('one of ' + ', '.join(kind.joints), array)
        if not isinstance(joints, list) or not joints or not all(
                isinstance(joint, str) and joint for joint in joints):
            raise BadSelection(f'a list of joint names for {array}', joints)
        components = [Component(f'{array}.{joint}', kind.joints[array]) for joint in joints]
        parts.append((components, _joint_reader(array, joints), None))
    return parts


def _joint_reader(array: str, joints: list[str]):
    order: dict[tuple, list[int]] = {}      # a driver's name order -> our indices, looked up once

    def read(message):
        names = tuple(message.name)
        if names not in order:
            missing = [joint for joint in joints if joint not in names]
            if missing:
                raise ValueError(f'joint {missing[0]} is missing, message has {", ".join(names)}')
            order.clear()
            order[names] = [names.index(joint) for joint in joints]
        values = getattr(message, array)
        if len(values) != len(names):
            raise ValueError(f'{array} has {len(values)} values for {len(names)} names')
        return [values[index] for index in order[names]]

    return read


def _field_part(kind: MessageType, text) -> tuple:
    """Return components, a reader of their numbers, and what turns these where it is needed."""
    if not isinstance(text, str):
        raise BadSelection('a field name', text)
    name, colon, rotation = text.partition(':')
    if name in kind.quaternions:
        if rotation not in ROTATIONS:
            raise BadSelection(f'{name}:rot6d, {name}:quaternion or {name}:rpy', text)
        components = [Component(f'{text}.{axis}', ROTATION_UNIT[rotation])
                      for axis in ROTATIONS[rotation]]
        get = attrgetter(*(f'{name}.{axis}' for axis in ROTATIONS['quaternion']))
        return components, get, partial(_rotation, name, rotation)
    parent, _, leaf = name.rpartition('.')
    if not colon and name in kind.vectors:
        get = attrgetter(name)
        components = [Component(f'{name}.{axis}', kind.vectors[name]) for axis in AXES]
        return components, lambda message: [getattr(get(message), axis) for axis in AXES], None
    if not colon and (name in kind.scalars or (parent in kind.vectors and leaf in AXES)):
        get = attrgetter(name)
        unit = kind.scalars.get(name) or kind.vectors.get(parent, '')
        return [Component(name, unit)], lambda message: [get(message)], None
    if not colon and parent in kind.arrays and leaf.isdecimal():
        get, index = attrgetter(parent), int(leaf)
        component = Component(name, kind.arrays[parent])
        return [component], lambda message: [get(message)[index]], None
    raise BadSelection('a field such as ' + ', '.join(_examples(kind)), text)


def _rotation(name: str, rotation: str, quaternion: Sequence[float]) -> list[float]:
    """Return a quaternion (x, y, z, w) as such a rotation; raise ValueError where it is none."""
    quaternion = np.array(quaternion)
    norm = np.linalg.norm(quaternion)
    if not abs(norm - 1.0) < 1e-2:
        raise ValueError(f'{name} has norm {norm:.3g}, a rotation has 1')
    quaternion /= norm
    if rotation == 'rpy':
        return list(euler_from_quaternion(quaternion))
    if rotation == 'rot6d':       # first two columns of the matrix: Zhou et al. 2019
        return quaternion_matrix(quaternion)[:3, :2].T.ravel().tolist()
    return (quaternion if quaternion[3] >= 0 else -quaternion).tolist()
