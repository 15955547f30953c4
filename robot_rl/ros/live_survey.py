"""Ask the graph what a robot offers: topics to observe, controllers to command, switches."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
import time

from robot_rl.contract import RESET_TYPES
from robot_rl.fields import ACTION_TYPES, OBSERVATION_TYPES
from robot_rl.live_check import Endpoint
from robot_rl.ros import live_graph
from robot_rl.ros.codecs import interface_class
from robot_rl.ros.live_graph import Ear, listening
from robot_rl.ros.operator import NODES
from robot_rl.ros.qos import SENSOR
from robot_rl.safety.settings import BOOL, JOY
from robot_rl.starting_contract import Commanded, JOINT_STATE, Seen, Survey

OURS = (*NODES, live_graph.NAME)        # the twin too: its contract is there already


def survey(seconds: float, namespace: str = '') -> Survey:
    """Find out who is there, then listen for `seconds`; names are relative to `namespace`."""
    with listening(namespace) as ear:
        ear.until(lambda: False, live_graph.DISCOVERY)
        published = {name: kind for name, (kind, *_) in ear.published().items()
                     if _foreign(ear.publishers(name))}
        heard: dict[str, list] = {name: [] for name, kind in published.items()
                                  if kind in OBSERVATION_TYPES}
        for name, messages in heard.items():
            ear.create_subscription(interface_class(published[name]), name,
                                    partial(_hear, messages), SENSOR)
        ear.until(lambda: False, seconds)
        return Survey(
            tuple(_seen(ear, name, published[name], messages)
                  for name, messages in heard.items()),
            tuple(_commanded(ear)),
            tuple((_relative(ear, name), kind) for name, kind in published.items()
                  if kind == JOY or (kind == BOOL and 'stop' in name)),
            tuple((_relative(ear, name), kind)
                  for name, kind in sorted(ear.offered(RESET_TYPES, OURS).items())))


def _foreign(ends: Iterable[Endpoint]) -> bool:
    """Tell whether one of them is none of ours: beside a robot our twin may publish as well."""
    return any(not one.is_one_of(OURS) for one in ends)


def _hear(messages: list, message) -> None:
    """Keep the instant of each message, and the first as it is."""
    messages.append((time.monotonic(), None if messages else message))


def _seen(ear: Ear, name: str, kind: str, messages: list) -> Seen:
    topic, rate = _relative(ear, name), None
    if not messages:
        return Seen(topic, kind)
    (began, first), (ended, _) = messages[0], messages[-1]
    if ended > began:
        rate = (len(messages) - 1) / (ended - began)
    if kind != JOINT_STATE:
        return Seen(topic, kind, rate, size=len(getattr(first, 'data', ()))
                    if kind.endswith('MultiArray') else 0)
    arrays = tuple(array for array in OBSERVATION_TYPES[kind].joints
                   if len(getattr(first, array)) == len(first.name) and array != 'effort')
    return Seen(topic, kind, rate, tuple(first.name), arrays)


def _commanded(ear: Ear):
    """Yield every topic by which somebody else than we may be commanded."""
    for name, (kind, *_) in ear.awaited().items():
        if kind in ACTION_TYPES:
            for one in ear.subscribers(name):
                if not one.is_one_of(OURS):
                    yield Commanded(_relative(ear, name), kind, one.node, one.joints)


def _relative(ear: Ear, name: str) -> str:
    """Return a name as a contract of this namespace has it."""
    inside = f'{ear.get_namespace().rstrip("/")}/'
    return name.removeprefix(inside) if name.startswith(inside) else name
