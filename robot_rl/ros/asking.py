"""Ask one thing of a running graph: call a service, set a parameter, hear how nodes are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter
from robot_rl.errors import UserError
from robot_rl.ros.live_graph import Ear, listening
from robot_rl.ros.operator import NODES
from robot_rl.ros.qos import LATCHED
from robot_rl.schema import suggestion
from std_srvs.srv import SetBool, Trigger

PRESENT = 10.0      # s until a service is surely there
KNOWN = 0.3         # s in which it finds us too: it drops the answer to whom it has not found
ANSWER = 30.0       # s
HEARD = 4.0         # s in which every node has said how it is
FRESH = 1.2         # s more, since a latched status may be a second old, before what was just set
KINDS = {'std_srvs/srv/Trigger': Trigger, 'std_srvs/srv/SetBool': SetBool}
UP = 'is its node up? see robot_rl status'
LEVELS = ('ok', 'warn', 'error', 'stale')       # of DiagnosticStatus
LOOK = 1.5          # s until nodes that run are surely discovered, before others are started


@dataclass(frozen=True)
class Said:
    """What a node last said of itself."""

    level: str      # one of LEVELS
    text: str
    values: tuple[tuple[str, str], ...] = ()


def call(service: str, value: bool | None, namespace: str = '') -> tuple[bool, str]:
    """Call a Trigger (value None) or SetBool service; return its success and message."""
    with listening(namespace) as ear:
        name = ear.resolve_service_name(service)
        ear.until(lambda: name in _callable(ear), PRESENT)
        offered = _callable(ear)
        if name not in offered:
            raise UserError(f'{name}: expected a service of type Trigger or SetBool, found none '
                            f'in {PRESENT:g} s; {advice(name, offered)}')
        kind = offered[name]
        if (kind is SetBool) != (value is not None):
            raise UserError(f'{name}: expected ' + (
                'true or false after it, found nothing' if kind is SetBool
                else f'nothing after it, found {str(value).lower()}'))
        response = _answer(ear, kind, name,
                           SetBool.Request(data=value) if kind is SetBool else Trigger.Request())
        return response.success, response.message


def set_parameter(node: str, name: str, value, text: str, namespace: str = '') -> tuple[bool, str]:
    """Set a parameter to a value, which the user wrote as `text`; return (success, reason).

    A whole number is taken for a float, and text for text, where the parameter is one.
    """
    with listening(namespace) as ear:
        service = ear.resolve_service_name(f'{node}/list_parameters')
        if not ear.until(lambda: ear.count_services(service), PRESENT):
            raise UserError(f'{node}: expected a node that runs, found none of this name in '
                            f'{PRESENT:g} s; {advice(node, set(ear.get_node_names()))}')
        names = _answer(ear, ListParameters, service, ListParameters.Request()).result.names
        if name not in names:
            raise UserError(f'{node}: expected one of its parameters, found {name!r}; '
                            + advice(name, names, 'docs/nodes.md lists them'))
        present, = _answer(ear, GetParameters, f'{node}/get_parameters',
                           GetParameters.Request(names=[name])).values
        kind = Parameter.Type(present.type)
        try:
            parameter = Parameter(name, kind, _typed(value, kind, text)).to_parameter_msg()
        except (TypeError, ValueError):
            raise UserError(f'{node} {name}: {wrong_type(kind, value, text)}') from None
        result, = _answer(ear, SetParameters, f'{node}/set_parameters',
                          SetParameters.Request(parameters=[parameter])).results
        return result.successful, result.reason


def running(names: Iterable[str], namespace: str = '') -> list[str]:
    """Return the full names of those nodes that the graph has already; at most LOOK s."""
    with listening(namespace) as ear:
        wanted = {f'{ear.get_namespace().rstrip("/")}/{name}' for name in names}
        if ear.until(lambda: wanted.intersection(ear.get_fully_qualified_node_names()), LOOK):
            ear.until(lambda: False, KNOWN)     # the others too
        return sorted(wanted.intersection(ear.get_fully_qualified_node_names()))


def statuses(names: tuple[str, ...] = NODES, namespace: str = '') -> dict[str, Said]:
    """Return what the nodes say that say how they are."""
    found: dict[str, Said] = {}

    def hear(name: str, message: DiagnosticArray) -> None:
        for status in message.status[:1]:       # not its parts
            found[name] = Said(LEVELS[min(ord(status.level), len(LEVELS) - 1)], status.message,
                               tuple((pair.key, pair.value) for pair in status.values))

    with listening(namespace) as ear:
        for name in names:
            ear.create_subscription(DiagnosticArray, f'{name}/status',
                                    lambda message, name=name: hear(name, message), LATCHED)
        ear.until(lambda: len(found) == len(names), HEARD)
        if found:
            ear.until(lambda: False, FRESH)
    return {name: found[name] for name in names if name in found}


def wrong_type(kind: Parameter.Type, value, text: str) -> str:
    """Return what is said of a value that the user wrote as `text` and that is not of a type."""
    one = kind.name.endswith('_ARRAY') and not isinstance(value, list)
    return (f'expected a value of type {kind.name.lower()}, found {text!r}'
            + (f"; write '[{text}]'" if one else ''))


def advice(name: str, offered: Iterable[str], otherwise: str = UP) -> str:
    """Return which of the offered names may be meant, or what else to do."""
    return suggestion(name, offered, 3) or otherwise


def _callable(ear: Ear) -> dict[str, type]:
    return {name: KINDS[kind] for name, (kind, *_) in ear.get_service_names_and_types()
            if kind in KINDS}


def _typed(value, kind: Parameter.Type, text: str):
    """Return a value of YAML as one of the parameter's type, where that is plain."""
    if kind == Parameter.Type.STRING:
        return value if isinstance(value, str) else text
    if kind == Parameter.Type.DOUBLE and type(value) is int:
        return float(value)
    if kind == Parameter.Type.INTEGER and isinstance(value, bool):
        raise TypeError
    if kind == Parameter.Type.DOUBLE_ARRAY and isinstance(value, list):
        return [float(item) if type(item) is int else item for item in value]
    return value


def _answer(ear: Ear, kind: type, service: str, request):
    """Return the response of a service; raise UserError where none comes."""
    client = ear.create_client(kind, service)
    if not ear.until(client.service_is_ready, PRESENT):
        raise UserError(f'{service}: nobody serves it after {PRESENT:g} s; {UP}')
    ear.until(lambda: False, KNOWN)
    future = client.call_async(request)
    if not ear.until(future.done, ANSWER):
        raise UserError(f'{service}: no answer in {ANSWER:g} s; it may have been done: see '
                        'robot_rl status')
    return future.result()
