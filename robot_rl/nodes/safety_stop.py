"""safety_stop: the watchdog outside the policy process. No heartbeat, and the robot is stopped.

It shares nothing with policy_server but topics: killed, hung or cut off, the server falls silent.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from robot_rl.fields import BadMessage
from robot_rl.ros.codecs import action_message, action_values, interface_class
from robot_rl.ros.health import ERROR, EventPublisher, Health, HealthReporter, OK, WARN
from robot_rl.ros.main import run
from robot_rl.ros.params import node_contract, Parameters
from robot_rl.ros.qos import COMMAND, LATCHED
from robot_rl.ros.settings.safety_stop import Settings
from robot_rl.safety.gate import Gate
from robot_rl.safety.watch import Watch
from robot_rl.vitals.company import Company
from robot_rl.vitals.limits import at_most, Part
from robot_rl.vitals.meters import Meter
from std_msgs.msg import Bool, UInt64
from std_srvs.srv import Trigger

LOOKS = 4       # in a timeout of silence, the last one at its end


class SafetyStop(Node):
    """Listens to `heartbeat`; in silence it sends the contract's stop action, again and again."""

    def __init__(self):
        super().__init__('safety_stop')
        self._live = Parameters(self, Settings)
        settings = self._live.settings
        self.contract = node_contract(self, settings.contract)
        self._watch, self._pulse = Watch(int(settings.timeout * 1e9)), Meter()
        self._company, self._told = Company(), False    # of commands; that they are alone
        action = self.contract.action
        self._action = np.zeros(len(action.layout))     # to stop with
        self._gate, self._bad_actions = Gate(self.contract), 0
        kind = interface_class(action.type)
        self._commands = self.create_publisher(kind, action.topic, COMMAND)
        self._stopped = self.create_publisher(Bool, '~/stopped', LATCHED)
        self._event = EventPublisher(self)
        self._health = HealthReporter(self, self._describe, self.contract.task, self._parts)
        self._heartbeat = self.resolve_topic_name('heartbeat')
        self.create_subscription(UInt64, 'heartbeat', self._on_heartbeat, COMMAND)
        self.create_subscription(kind, action.topic, self._on_action, COMMAND)
        self.create_service(Trigger, '~/clear_stop', self._on_clear_stop)
        wall = Clock(clock_type=ClockType.STEADY_TIME)      # a simulator may stand still
        self._look_timer = self.create_timer(settings.timeout / LOOKS, self._look, clock=wall)
        rate = settings.repeat or self.contract.control_rate
        self._repeat_timer = self.create_timer(1.0 / rate, self._repeat, clock=wall)
        self._repeat_timer.cancel()
        self._stopped.publish(Bool(data=False))

    def _on_heartbeat(self, message: UInt64) -> None:
        self._watch.beat(message.data, time.monotonic_ns())
        self._company.join()
        self._told = False
        if message.data:
            self._pulse.add(time.monotonic())
        else:
            self._pulse.forget()        # an orderly end: none is due
        self._look_timer.reset()

    def _on_action(self, message) -> None:
        """Note what is commanded, to hold it; while stopped, answer whoever has not heard of it.

        A server that was started again may be asked for episodes before it hears `~/stopped`.
        """
        action = self.contract.action
        try:
            values = action_values(action, message)
        except BadMessage:
            self._bad_actions += 1
            return
        if self._watch.stopped:
            if not np.array_equal(values, self._action):        # not our own
                self._send()
            return
        self._watch.command()
        if not self._watch.armed:       # no heartbeat is due
            self._unwatched()
        if action.on_stop == 'hold':
            self._action = values

    def _unwatched(self) -> None:
        """Tell of commands that nobody watches, once until a heartbeat comes."""
        now = time.monotonic()
        self._company.come(now)
        if self._company.alone(now) and not self._told:
            self._told = True
            self._event('unwatched', ERROR, heartbeat=self._heartbeat)
            self._health.publish()

    def _look(self) -> None:
        now = time.monotonic_ns()
        if not self._watch.look(now):
            return
        self._send()                    # first of all
        self._repeat_timer.reset()
        self._stopped.publish(Bool(data=True))
        self._event('stop', WARN, reason=self._watch.stopped,
                    silent_ms=round(self._watch.silence(now) * 1e-6),
                    action=self.contract.action.on_stop)
        self._health.publish()

    def _repeat(self) -> None:
        if self._watch.stopped and self._watch.silent(time.monotonic_ns()):
            self._send()

    def _send(self) -> None:
        if self.contract.action.on_stop == 'hold':      # from outside the range in, without a jump
            self._action = self._gate.limit(self._action, self._action)
        self._commands.publish(action_message(
            self.contract.action, self._action, self.get_clock().now().nanoseconds,
            1.0 / self.contract.control_rate))

    def _on_clear_stop(self, request, response):
        reason = self._watch.stopped
        refused = self._watch.clear(time.monotonic_ns())
        response.success, response.message = not refused, refused or f'cleared: {reason}'
        if not refused:
            self._repeat_timer.cancel()
            self._stopped.publish(Bool(data=False))
            self._event('clear_stop', reason=reason)
            self._health.publish()
        return response

    def close(self) -> None:
        """Leave a silent robot with the stop action."""
        self._repeat()

    def _describe(self) -> Health:
        watch, silence = self._watch, self._watch.silence(time.monotonic_ns())
        values = {'armed': watch.armed, 'silent_ms': round(silence * 1e-6), 'beats': watch.beats,
                  'stops': watch.stops, 'bad_actions': self._bad_actions,
                  'contract': self.contract.hash}
        if watch.stopped:
            silent = watch.silent(time.monotonic_ns())
            advice = 'start policy_server again' if silent else 'call clear_stop'
            return Health(f'stopped: {watch.stopped}; {advice}', values, ERROR)
        if self._company.alone(time.monotonic()):
            return Health(f'commands come, but no heartbeat on {self._heartbeat}: nobody watches',
                          values, ERROR)
        return Health('armed' if watch.armed else 'not armed', values, OK)

    def _parts(self) -> list[Part]:
        pulse, settings = self._pulse.look(time.monotonic()), self._live.settings
        most = settings.timeout * settings.warn_gap
        return [Part('heartbeat', {'rate_hz': pulse.rate, 'age_s': pulse.age,
                                   'longest_gap_s': pulse.gap, 'timeout_s': settings.timeout},
                     [at_most('longest silence of the heartbeat', pulse.gap, most, unit='s')])]


def main() -> int:
    """Entry point."""
    return run(SafetyStop, Settings, shared_memory=False)


if __name__ == '__main__':
    sys.exit(main())
