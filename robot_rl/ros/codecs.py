"""Between ROS messages and the core's plain values. No mathematics, only packing."""

from __future__ import annotations

import array
from functools import cache
import importlib

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
import numpy as np
from rclpy.time import Time
from robot_rl.contract import Action
from robot_rl.data.align_action import compile_action
from robot_rl.data.steps import Step
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, UInt8MultiArray

__all__ = ['action_message', 'action_values', 'bytes_message', 'fill', 'interface_class',
           'status_entry', 'status_message', 'status_values', 'step_message']


@cache        # one for every action that is sent
def interface_class(name: str):
    """Return the class of `package/msg/Type` or `package/srv/Type`."""
    package, kind, type_name = name.split('/')
    return getattr(importlib.import_module(f'{package}.{kind}'), type_name)


def fill(message, tree) -> None:
    """Copy a tree of plain values onto a message, field by field of the same name."""
    for name, value in vars(tree).items():
        if hasattr(value, '__dict__'):
            fill(getattr(message, name), value)
        else:
            setattr(message, name, value)


def action_values(action: Action, message) -> np.ndarray:
    """Return the values (m,) of an action message, matched by name; raise BadMessage."""
    return compile_action(action).read(message)


def action_message(action: Action, values: np.ndarray, stamp: int, period: float):
    """Return the contract's action message for values (m,); `period` s is one control step."""
    message = interface_class(action.type)()
    if action.type == 'std_msgs/msg/Float64MultiArray':
        message.data = array.array('d', values)
        return message
    message.header.stamp = Time(nanoseconds=stamp).to_msg()
    message.header.frame_id = action.frame_id
    if action.type == 'geometry_msgs/msg/TwistStamped':
        for name, value in zip(action.layout.names, values):
            part, axis = name.split('.')
            setattr(getattr(message.twist, part), axis, float(value))
        return message
    point = interface_class('trajectory_msgs/msg/JointTrajectoryPoint')()
    point.positions = array.array('d', values)
    point.time_from_start.nanosec = int(period % 1.0 * 1e9)
    point.time_from_start.sec = int(period)
    message.header.stamp = Time().to_msg()      # zero: start at once, as the controller asks
    message.joint_names = list(action.layout.names)
    message.points = [point]
    return message


def step_message(step: Step) -> Float64MultiArray:
    """Return a step record with one labelled dimension per segment, which messages share."""
    segments = step.segments()
    message = Float64MultiArray()
    message.layout.dim = list(_dimensions(*[(label, len(values)) for label, values in segments]))
    message.data = array.array('d', np.concatenate([values for _, values in segments]).tobytes())
    return message


@cache      # those of every step of a contract
def _dimensions(*sizes: tuple[str, int]) -> tuple[MultiArrayDimension, ...]:
    return tuple(MultiArrayDimension(label=label, size=size, stride=size) for label, size in sizes)


def bytes_message(data: bytes) -> UInt8MultiArray:
    """Return bytes as a message; array.array, since a list would cost a hundred times more."""
    return UInt8MultiArray(data=array.array('B', data))


def status_entry(name: str, text: str, values: dict, level: bytes = DiagnosticStatus.OK,
                 hardware: str = 'robot_rl') -> DiagnosticStatus:
    """Return one status or event: what (message) with its figures (values); None is unknown."""
    return DiagnosticStatus(
        level=level, name=name, message=text, hardware_id=hardware,
        values=[KeyValue(key=key, value='' if value is None else str(value))
                for key, value in values.items()])


def status_message(stamp: Time, name: str, text: str, values: dict,
                   level: bytes = DiagnosticStatus.OK) -> DiagnosticArray:
    """Return a message of one status or event."""
    message = DiagnosticArray()
    message.header.stamp = stamp.to_msg()
    message.status = [status_entry(name, text, values, level)]
    return message


def status_values(message: DiagnosticArray) -> list[tuple[str, str, dict[str, str]]]:
    """Return (name, message, values) of every status in an array."""
    return [(status.name, status.message, {pair.key: pair.value for pair in status.values})
            for status in message.status]
