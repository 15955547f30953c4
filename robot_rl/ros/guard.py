"""The gate's ears: e-stop, dead-man, controls and watchdog; and the heartbeat for the watchdog."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import time

import numpy as np
from robot_rl.contract import Contract
from robot_rl.fields import stamp_of
from robot_rl.observation import Reading
from robot_rl.ros.codecs import interface_class
from robot_rl.ros.lifecycle import ManagedNode
from robot_rl.ros.qos import COMMAND, LATCHED, SENSOR
from robot_rl.safety.gate import Gate, Inputs, Rule, RULES
from robot_rl.safety.signals import Panel, Signals
from std_msgs.msg import Bool, UInt64
from std_srvs.srv import Trigger


HELD = 'safety_stop holds the robot; call safety_stop/clear_stop first'


class Guard:
    """Holds what people and the watchdog say, and asks the gate's rules between ticks.

    `on_button(name)` is called once for each press, `on_word()` after every message.
    """

    def __init__(self, node: ManagedNode, contract: Contract, on_button: Callable[[str], None],
                 on_word: Callable[[], None]):
        self._node, self._gate, self._panel = node, Gate(contract), Panel(contract)
        self._on_button, self._on_word = on_button, on_word
        self._rest = np.zeros(len(contract.action.layout))
        self._beats = 0
        self.stop = ''              # the watchdog's, while it holds the robot
        self._heartbeat = node.make('publisher', UInt64, '~/heartbeat', COMMAND)
        for role, setting in self._panel.inputs.items():
            node.make('subscription', interface_class(setting.type), setting.topic,
                      partial(self._take, role), SENSOR)
        node.make('subscription', Bool, 'stopped', self._on_stopped, LATCHED)
        controls = contract.safety.intervention
        self._recorder = (node.make('client', Trigger, 'discard_episode')
                          if controls and 'discard' in controls.buttons else None)

    @property
    def refused(self) -> dict[str, str]:
        """Why the last message of an e-stop, dead-man or person was refused, by its role."""
        return self._panel.refused

    def beat(self, last: bool = False) -> None:
        """Tell the watchdog that the thread which acts is alive; `last`: that its end is orderly.

        A thread that hangs does not call this.
        """
        self._beats = 0 if last else self._beats + 1
        self._heartbeat.publish(UInt64(data=self._beats))

    def signals(self) -> Signals:
        """Return what people say now."""
        return self._panel.signals(time.monotonic())

    def reason(self, reading: Reading, rules: tuple[Rule, ...] = RULES) -> str:
        """Return why the robot may not move now, whatever would be asked for; '' where it may."""
        return self._gate.reason(self._seen(reading), rules)

    def lasts(self, reason: str, reading: Reading) -> str:
        """Return how the cause of an earlier stop still stands, '' where it is gone."""
        return HELD if self.stop else self._gate.lasts(reason, self._seen(reading))

    @property
    def advice(self) -> str:
        """What ends a stop."""
        return HELD if self.stop else 'call clear_stop'

    def discard(self) -> bool:
        """Ask the recorder to discard the episode, and to tell; return whether it is there."""
        there = self._recorder is not None and self._recorder.service_is_ready()
        if there:
            self._recorder.call_async(Trigger.Request())
        return there

    def _seen(self, reading: Reading) -> Inputs:
        return Inputs(reading.values, self._rest, self._rest, self.signals(), self.stop,
                      reading.stale, reward_stale=reading.reward_stale)

    def _take(self, role: str, message) -> None:
        stamp = stamp_of(message)
        age = (self._node.get_clock().now().nanoseconds - stamp) * 1e-9 if stamp else 0.0
        for button in self._panel.take(role, message, time.monotonic(), age):
            self._on_button(button)
        self._on_word()

    def _on_stopped(self, message: Bool) -> None:
        self.stop = 'watchdog' if message.data else ''
        self._on_word()
