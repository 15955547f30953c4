"""The values of a command message, in the contract's order."""

from __future__ import annotations

from math import isfinite

import numpy as np

from robot_rl.contract import Action
from robot_rl.fields import BadMessage


def action_values(action: Action, message) -> np.ndarray:
    """Return the values (m,) of an action message, matched by name; raise BadMessage."""
    names = action.layout.names
    if action.type == 'std_msgs/msg/Float64MultiArray':
        values = list(message.data)
    elif action.type == 'geometry_msgs/msg/TwistStamped':
        values = [getattr(getattr(message.twist, part), axis)
                  for part, axis in (name.split('.') for name in names)]
    else:
        point = message.points[-1] if message.points else None
        found = dict(zip(message.joint_names, point.positions)) if point else {}
        values = [found.get(name, np.nan) for name in names]
    if len(values) != len(names) or not all(map(isfinite, values)):
        raise BadMessage(f'action: expected {len(names)} finite values, found {values}')
    return np.array(values, float)
