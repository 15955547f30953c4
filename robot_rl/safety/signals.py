"""What people said last and how long ago: the e-stop, the dead-man's handle, the controls.

Times are the caller's: monotonic s, so that no jump of a clock makes silence look like speech.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.align_action import compile_action
from robot_rl.fields import BadMessage, compile_selection
from robot_rl.observation import MAX_AHEAD
from robot_rl.safety.settings import Intervention, JOINT_STATE, JOY, Switch

ROLES = ('e_stop', 'dead_man', 'intervention')


@dataclass(frozen=True)
class Signals:
    """What the gate knows of people in one tick; silence in s, inf where nothing ever came."""

    e_stop: bool = False                # pressed
    e_stop_silence: float = 0.0
    dead_man: bool = True               # held
    dead_man_silence: float = 0.0
    request: np.ndarray | None = None   # (m,) of a person who is at the controls
    request_age: float = 0.0            # s


@dataclass(frozen=True)
class _Said:
    value: object
    heard: float            # s


class Panel:
    """Holds the last good message of each role that the contract names.

    A message that is late, of another size or not finite changes nothing: the one before it ages
    on, until silence is noticed.
    """

    def __init__(self, contract: Contract):
        found = {role: getattr(contract.safety, role) for role in ROLES}
        self.inputs: dict[str, Switch | Intervention] = {
            role: setting for role, setting in found.items() if setting}
        self.refused: dict[str, str] = {}       # role -> why its last message was refused
        self._read = {role: _reader(contract, setting) for role, setting in self.inputs.items()}
        self._said: dict[str, _Said] = {}
        self._buttons: dict[str, int] | None = None     # pressed or not, in the last message

    def take(self, role: str, message, now: float, age: float) -> list[str]:
        """Take a message of age s that arrives `now`; return the buttons that it says are new.

        `age` is by the message's own stamp, 0 where it has none.
        """
        timeout = self.inputs[role].timeout
        try:
            if not -MAX_AHEAD <= age <= timeout:
                raise BadMessage(f'{role}: {age:.2f} s old on arrival, timeout {timeout:g} s')
            value, buttons = self._read[role](message)
        except BadMessage as error:
            self.refused[role] = str(error)
            return []
        self.refused.pop(role, None)
        self._said[role] = _Said(value, now)
        if role != 'intervention':
            return []
        before, self._buttons = self._buttons, buttons
        return [name for name, down in buttons.items() if before and down and not before[name]]

    def signals(self, now: float) -> Signals:
        """Return what is known `now`."""
        known = {}
        for role in ('e_stop', 'dead_man'):
            if role in self.inputs:
                said = self._said.get(role, _Said(False, -inf))
                known |= {role: said.value, f'{role}_silence': now - said.heard}
        said = self._said.get('intervention', _Said(None, -inf))
        return Signals(**known, request=said.value, request_age=now - said.heard)


def _reader(contract: Contract, setting: Switch | Intervention) -> Callable:
    """Return message -> (value, buttons), which raises BadMessage."""
    def guarded(message):
        try:
            return read(message)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise BadMessage(f'{setting.topic}: {error}') from None

    action = contract.action
    if isinstance(setting, Switch):
        def read(message):
            return bool(message.buttons[setting.button] if setting.type == JOY
                        else message.data), {}
    elif setting.type == JOY:
        rest = np.clip(0.0, action.low, action.high)    # where the stick stands in the middle
        scales = setting.scale or (1.0,) * len(setting.axes)

        def read(message):
            axes = [scale * message.axes[axis] for axis, scale in zip(setting.axes, scales)]
            if not all(map(isfinite, axes)):
                raise BadMessage(f'{setting.topic}: axes are not finite')
            buttons = {name: message.buttons[index] for name, index in setting.buttons.items()}
            if not message.buttons[setting.enable]:
                return None, buttons
            return np.array([np.interp(axis, (-1.0, 0.0, 1.0), ends)
                             for axis, *ends in zip(axes, action.low, rest, action.high)]), buttons
    else:
        sent = (compile_selection(JOINT_STATE, {setting.joints: list(action.layout.names)})
                if setting.type == JOINT_STATE
                else compile_action(replace(action, type=setting.type)))

        def read(message):
            return sent.read(message), {}
    return guarded
