"""Who else is in the graph under this node's name, or commands its robot."""

from __future__ import annotations

import time

from rclpy.node import Node
from robot_rl.vitals.limits import ERROR, Finding, WARN

GHOST = 25.0            # s: a killed node may stay in the graph so long (Fast DDS: 20)
WATCHDOG = 'safety_stop'
UNKNOWN = '_NODE_NAME_UNKNOWN_'     # rmw's name of a node that is not yet wholly discovered


class Neighbours:
    """Asked once a second; tells the log once of each trouble that it finds.

    command_topic   nobody but this node and the watchdog is expected to publish it; empty: none
    """

    def __init__(self, node: Node, command_topic: str = ''):
        self._node = node
        self._name = node.get_fully_qualified_name()
        self._topic = command_topic and node.resolve_topic_name(command_topic)
        self._trusted_from = time.monotonic() + GHOST
        self._found = Finding()

    def look(self) -> Finding:
        """Return what is wrong with the neighbours, an empty reason where nothing is."""
        found = self._namesakes() or self._commanders() or Finding()
        if found != self._found and found.reason:
            log = self._node.get_logger()
            if found.level == ERROR:    # two statements: rclpy raises where one changes severity
                log.error(found.reason)
            else:
                log.warning(found.reason)
        self._found = found
        return found

    def _namesakes(self) -> Finding | None:
        """Find another node of this name.

        One that is there from the start may be this one's predecessor, which was killed; one that
        comes later is alive.
        """
        count = self._node.get_fully_qualified_node_names().count(self._name)
        if count < 2:
            self._trusted_from = 0.0
        elif time.monotonic() >= self._trusted_from:
            return Finding(ERROR, f'{count} nodes are called {self._name}: end all but one')
        return None

    def _commanders(self) -> Finding | None:
        if not self._topic:
            return None
        infos = self._node.get_publishers_info_by_topic(self._topic)
        others = {owner(info) for info in infos
                  if info.node_name not in (WATCHDOG, UNKNOWN)} - {self._name}
        return Finding(WARN, f'{", ".join(sorted(others))} may command {self._topic} as well'
                       ) if others else None


def owner(info) -> str:
    """Return the full name of the node that an end of a topic belongs to."""
    return f'{info.node_namespace.rstrip("/")}/{info.node_name}'
