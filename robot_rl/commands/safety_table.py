"""What stops the robot under a contract, and who may take over, as rows of a table.

Whoever owns the robot has to see what is missing too: each line is there, if only with `none`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robot_rl.contract import Contract
    from robot_rl.safety.settings import Intervention, Switch

NONE = 'none'
Row = tuple[str, str]


def safety_rows(contract: Contract) -> list[Row]:
    """Return the head, then (what, when it acts) of all that is in force under a contract."""
    return [('what', 'stops the robot, or takes over'), *_stale(contract), *_limits(contract),
            ('e_stop', _switch(contract.safety.e_stop, 'says true')),
            ('dead_man', _switch(contract.safety.dead_man, 'says false')),
            ('intervention', _intervention(contract.safety.intervention)), *_ticks(contract)]


def _stale(contract: Contract) -> Iterator[Row]:
    for entry in contract.inputs:
        yield f'max_age {entry.name}', f'{entry.topic} is older than {entry.max_age:g} s'


def _limits(contract: Contract) -> Iterator[Row]:
    """Yield the limits of what is observed, the workspace among them."""
    units = dict(zip(contract.layout.names, contract.layout.units))
    for name, (low, high) in contract.safety.limits.items():
        yield 'limits', f'{name} is outside {low:g} to {high:g} {units[name]}'.rstrip()
    if not contract.safety.limits:
        yield 'limits', NONE


def _switch(switch: Switch | None, says: str) -> str:
    if switch is None:
        return NONE
    if switch.type.endswith('Joy'):
        says = f'has button {switch.button} up'
    return f'{switch.topic} {says}, or is silent for {switch.timeout:g} s'


def _intervention(found: Intervention | None) -> str:
    if found is None:
        return NONE
    parts = [f'a person by {found.topic}, {found.type}', f'until it is silent for '
             f'{found.timeout:g} s', f'blended for {found.blend:g} s']
    if found.axes:
        scale = found.scale or (1.0,) * len(found.axes)
        axes = ', '.join(f'{axis} x {factor:g}' if factor != 1.0 else str(axis)
                         for axis, factor in zip(found.axes, scale))
        parts += [f'axes {axes}', f'while button {found.enable} is down']
        parts += [f'button {button} {name}' for name, button in found.buttons.items()]
    if found.joints:
        parts.append(f'{found.joints} of the joints')
    return '; '.join(parts)


def _ticks(contract: Contract) -> Iterator[Row]:
    late, rate = contract.safety.policy_late, contract.control_rate
    yield 'policy_late', f'{late} control periods ({late / rate:g} s) without a tick'
    yield 'watchdog', 'policy_server is silent for `timeout` s, a parameter of safety_stop'
    yield 'on_stop', {'zeros': 'a stop sends zeros', 'hold': 'a stop sends the last action again'}[
        contract.action.on_stop]
