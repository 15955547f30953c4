"""The values of a command message, in the contract's order."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan

from robot_rl.contract import Action
from robot_rl.fields import BadMessage, Component, Selection


def compile_action(action: Action) -> Selection:
    """Return how the values (m,) of an action are read from its messages, matched by name."""
    names = action.layout.names

    def pick(message) -> list[float]:
        if action.type == 'std_msgs/msg/Float64MultiArray':
            values = message.data
        elif action.type == 'geometry_msgs/msg/TwistStamped':
            values = [getattr(getattr(message.twist, part), axis)
                      for part, axis in (name.split('.') for name in names)]
        else:
            point = message.points[-1] if message.points else None
            found = dict(zip(message.joint_names, point.positions)) if point else {}
            values = [found.get(name, nan) for name in names]
        return [float(value) for value in values]

    def finish(values: Sequence[float]) -> Sequence[float]:
        if len(values) != len(names) or not all(map(isfinite, values)):
            raise BadMessage(f'action: expected {len(names)} finite values, '
                             f'found {list(values)}')
        return values

    return Selection(tuple(map(Component, names, action.layout.units)), pick, finish)
