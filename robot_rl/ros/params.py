"""Node parameters as a frozen dataclass: declared from it, checked against it, read as it.

    @dataclass(frozen=True)
    class Settings:                 # robot_rl/ros/settings/ has one for each node
        seed: int = parameter(0, 'Seed of all random draws', low=0)

Ranges are checked by rclpy, choices by the on-set callback; `on_change` runs after a set that
passed. A parameter that only matters at start is read-only. One that is given at start and not
declared is refused where it looks misspelt, else it is named in a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, fields, replace

from rcl_interfaces.msg import (FloatingPointRange, IntegerRange, ParameterDescriptor,
                                SetParametersResult)
from rclpy.exceptions import (InvalidParameterException, InvalidParameterTypeException,
                              InvalidParameterValueException)
from rclpy.node import Node
from rclpy.parameter import Parameter

from robot_rl.contract import Contract, load_contract
from robot_rl.errors import UserError
from robot_rl.ros.settings import every_parameter
from robot_rl.schema import suggestion

LARGEST_INTEGER = 2 ** 31 - 1
OF_ROS = 'qos_overrides.'       # and what rclpy declares itself
NO_CONTRACT = ('contract: expected a YAML file or the name of a shipped contract, found nothing; '
               'start it with --ros-args -p contract:=my_robot.yaml')


def node_contract(node: Node, name_or_path: str, patience: float = 0.0) -> Contract:
    """Load the contract that a node works for and tell which it is; raise UserError.

    patience    s, the least time that counts as late
    """
    if not name_or_path.strip():
        raise UserError(NO_CONTRACT)
    contract = load_contract(name_or_path)
    node.get_logger().info(f'contract {contract.file.absolute()}, hash {contract.hash}')
    return contract.patient(patience)


class Parameters:
    """Declares the fields of a settings dataclass on a node and follows their changes."""

    def __init__(self, node: Node, kind: type, on_change: Callable[[], None] | None = None):
        self._fields = {item.name: item for item in fields(kind)}
        self._on_change = on_change
        try:
            values = {name: node.declare_parameter(
                name, list(item.default) if isinstance(item.default, tuple) else item.default,
                _descriptor(item)).value for name, item in self._fields.items()}
        except (InvalidParameterException, InvalidParameterTypeException,
                InvalidParameterValueException, ValueError) as error:
            raise UserError(f'{node.get_name()}: parameter: {error}') from None
        for name, value in values.items():
            reason = self._refusal(name, value)
            if reason:
                raise UserError(f'{node.get_name()}: parameter {reason}')
        self.settings = kind(**{name: _plain(value) for name, value in values.items()})
        _refuse_unknown(node, self._fields)
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _refusal(self, name: str, value) -> str:
        item = self._fields.get(name)
        if item is None:
            return ''
        choices = item.metadata['choices']
        if choices and value not in choices:
            return f'{name}: expected one of {_listed(choices)}, found {value!r}'
        return ''

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        reasons = [reason for change in changes
                   if (reason := self._refusal(change.name, change.value))]
        return SetParametersResult(successful=not reasons, reason='; '.join(reasons))

    def _apply(self, changes: list[Parameter]) -> None:
        known = {change.name: _plain(change.value) for change in changes
                 if change.name in self._fields}
        if known and any(asdict(self.settings)[name] != value for name, value in known.items()):
            self.settings = replace(self.settings, **known)
            if self._on_change:
                self._on_change()


def _refuse_unknown(node: Node, known: Collection[str]) -> None:
    """Raise UserError for a given parameter whose name is near a known one; warn of the others.

    A section `/**` of a file may hold parameters of other nodes: exact names of ours are none of
    this one's.
    """
    given = node._parameter_overrides       # rclpy has no public name for it
    unknown = [name for name in given
               if not node.has_parameter(name) and not name.startswith(OF_ROS)]
    for name in unknown:
        meant = suggestion(name, known)
        if meant and name not in every_parameter():
            raise UserError(
                f'{node.get_name()}: parameter: expected one of its own, as --help lists them, '
                f'found {name!r}; {meant} One of another node goes below that name')
    if unknown:
        node.get_logger().warning(
            f'ignored, as no parameters of this node: {", ".join(sorted(unknown))}')


def _plain(value):
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _listed(choices: tuple[str, ...]) -> str:
    return ', '.join(choice or "''" for choice in choices)


def _descriptor(item) -> ParameterDescriptor:
    data = item.metadata
    choices = _listed(data['choices'])
    descriptor = ParameterDescriptor(
        description=data['description'], read_only=not data['live'],
        additional_constraints=f'one of {choices}' if choices else '')
    if data['low'] is None and data['high'] is None:
        return descriptor
    low, high = data['low'], data['high']
    if isinstance(item.default, float):
        descriptor.floating_point_range = [FloatingPointRange(
            from_value=float(low), to_value=float(high if high is not None else 1e9), step=0.0)]
    else:
        descriptor.integer_range = [IntegerRange(
            from_value=low, to_value=high if high is not None else LARGEST_INTEGER, step=1)]
    return descriptor
