"""sim_bridge: the MuJoCo twin as a robot. Actions in, the contract's observation topics out.

It also has exploration policies trained in the simulator, by a process beside it.
"""

from __future__ import annotations

from pathlib import Path
import sys
import time

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.time import Time
from robot_rl.errors import UserError
from robot_rl.fields import BadMessage
from robot_rl.ros.codecs import action_values, fill, interface_class
from robot_rl.ros.explorer_training import ExplorerTraining
from robot_rl.ros.health import ERROR, EventPublisher, Health, HealthReporter
from robot_rl.ros.main import run
from robot_rl.ros.markers import clear_markers, geom_markers
from robot_rl.ros.params import node_contract, Parameters
from robot_rl.ros.qos import COMMAND, DRIVER, LATCHED
from robot_rl.ros.settings.sim_bridge import Settings
from robot_rl.ros.training import TrainingService
from robot_rl.sim.gap import load_gap
from robot_rl.sim.twin import Diverged, Twin, WORLD_FRAME
from robot_rl.vitals.limits import at_least, Part
from robot_rl.vitals.meters import Meter
from rosgraph_msgs.msg import Clock as ClockMessage
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

MARKER_PERIOD = 0.1     # s of wall time between scene messages
REPEAT_PERIOD = 0.5     # s without an action after which lockstep sends its step again
FALL, SPAN = 10, 10**18     # s that time begins earlier each second; ns, all that a stamp may be

try:
    from tf2_msgs.msg import TFMessage
except ImportError:     # no wheel has tf2_msgs; a distro does
    TFMessage = None


class SimBridge(Node):
    """Owns the twin and the training; everything happens on the executor's thread."""

    def __init__(self):
        super().__init__('sim_bridge')
        self._live = Parameters(self, Settings)
        self.settings = settings = self._live.settings
        self.contract = node_contract(self, settings.contract)
        self._gap = load_gap(settings.gap)
        self._twin: Twin | None = None
        self._fault = ''                # why the world stands still: no model, or diverged
        self._steps, self._bad_actions, self._pace = 0, 0, Meter()
        self._size = len(self.contract.action.layout)
        self._command, self._command_at = np.zeros(self._size), 0
        self._shown, self._sent = 0.0, 0.0
        self._event = EventPublisher(self)
        self._health = HealthReporter(self, self._describe, self.contract.task, self._parts)
        job = ExplorerTraining(self.contract, settings.training(), settings.train_gaps,
                               Path(settings.explorers_dir))
        self._training = TrainingService(self, job, self._event, self._health.publish)
        if settings.twin:
            self._play()
        elif self.contract.simulation:      # without one a request is answered so
            self._training.take_up()

    def _play(self) -> None:
        """Open the topics of a robot and begin."""
        self._outputs = {entry.name: self.create_publisher(
            interface_class(entry.type), entry.topic, DRIVER)
            for entry in self.contract.observations}
        self._clock_topic = self.create_publisher(ClockMessage, '/clock', DRIVER)
        self._markers = self.create_publisher(MarkerArray, '~/markers', LATCHED)
        self._tf = self.create_publisher(TFMessage, '/tf', DRIVER) if TFMessage else None
        self.create_subscription(interface_class(self.contract.action.type),
                                 self.contract.action.topic, self._on_action, COMMAND)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self._load()

    def _load(self) -> None:
        """Make the twin and begin; where its model cannot be used, say so and stay for a reset."""
        settings, wall = self.settings, Clock(clock_type=ClockType.STEADY_TIME)
        try:
            self._twin = Twin(self.contract, self._gap, settings.seed, _begin())
        except UserError as error:
            if not self.contract.simulation:
                raise               # nothing that a reset could mend
            self._fault = f'no twin: {error}'
            self._event('no_twin', ERROR, reason=error)
            return
        self._fault = ''
        if settings.lockstep:
            self.create_timer(REPEAT_PERIOD, self._repeat, clock=wall)
        else:
            self.create_timer(self._twin.period_ns * 1e-9 / settings.pace, self._advance,
                              clock=wall)
        self._training.take_up()
        self._publish()

    def _on_action(self, message) -> None:
        try:
            self._command = action_values(self.contract.action, message)
        except BadMessage as error:
            self._bad_actions += 1
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        if self._fault:
            return
        self._command_at = self._twin.time_ns
        if self.settings.lockstep:
            self._step()

    def _advance(self) -> None:
        """One period of free-running time; a silent commander stops the joints, as drivers do."""
        if (self._twin.time_ns - self._command_at) * 1e-9 > self.settings.command_timeout:
            self._command = np.zeros(self._size)
        self._step()

    def _step(self) -> None:
        if self._fault:
            return
        try:
            self._twin.step(self._command)
        except Diverged as error:
            self._fault = f'diverged: {error}'
            self._event('diverged', ERROR, reason=error)
            return
        self._steps += 1
        self._pace.add(time.monotonic(), self._twin.period_ns * 1e-9)
        self._publish()

    def _on_reset(self, request, response):
        if not self._twin:
            self._load()        # the model may have been mended meanwhile
        response.success, response.message = self._twin is not None, self._fault
        if self._twin:
            self._twin.reset()
            self._fault, self._command = '', np.zeros(self._size)
            self._publish()
            response.message = f'reset {self._twin.resets}'
        return response

    def _repeat(self) -> None:
        """Send the step again while no action comes: a late or restarted partner needs it."""
        if not self._fault and time.monotonic() - self._sent > REPEAT_PERIOD:
            self._publish()

    def _publish(self) -> None:
        """Send every observation of this instant, then the clock, then what RViz shows."""
        for name, tree in self._twin.messages().items():
            publisher = self._outputs[name]
            message = publisher.msg_type()
            fill(message, tree)
            publisher.publish(message)
        now = Time(nanoseconds=self._twin.time_ns)
        self._clock_topic.publish(ClockMessage(clock=now.to_msg()))
        self._sent = time.monotonic()
        if self._sent - self._shown > MARKER_PERIOD:
            self._shown = self._sent
            self._show(now)

    def _show(self, stamp: Time) -> None:
        if self._markers.get_subscription_count():
            described = self.count_publishers('robot_description')      # RViz shows that model
            self._markers.publish(geom_markers(self._twin.geoms(), stamp, WORLD_FRAME,
                                               ('robot',) if described else ()))
        if self._tf and self._tf.get_subscription_count():
            self._tf.publish(_transforms(self._twin.frames(), stamp))

    def close(self) -> None:
        """End the training, to be gone on with at the next start; take the scene out of RViz."""
        self._training.close()
        if self.settings.twin:
            self._markers.publish(clear_markers(WORLD_FRAME))

    def _describe(self) -> Health:
        level = ERROR if self._fault else self._training.level
        text = f'{self._fault}; call reset' if self._fault else (
            'no twin is asked for' if not self.settings.twin else
            'lockstep' if self.settings.lockstep else f'{self.settings.pace:g} x real time')
        text = '; '.join(filter(None, (text, self._training.text)))
        return Health(text, {'steps': self._steps,
                             'resets': self._twin.resets if self._twin else 0,
                             'gap': self._gap.name, 'bad_actions': self._bad_actions,
                             'tf': 'on' if TFMessage else 'off, tf2_msgs is not installed',
                             'contract': self.contract.hash, **self._training.values()}, level)

    def _parts(self) -> list[Part]:
        limits, pace = self._live.settings, self._pace.look(time.monotonic())
        due = 0.0 if limits.lockstep or self._fault else limits.pace
        return [Part('simulation', {
            'real_time_factor': pace.rate, 'longest_gap_s': pace.gap, 'steps': self._steps,
        }, [at_least('real-time factor', pace.rate, due * limits.warn_pace,
                     due * limits.error_pace)]), self._training.part(limits.warn_stalled)]


def _begin() -> int:
    """Return where the time of a twin begins, ns: the later it is started, the earlier, by far.

    So time falls back where a twin takes the place of another, however long that one ran: whoever
    follows its stamps notices, and no episode joins two worlds.
    """
    return -FALL * time.time_ns() % SPAN


def _transforms(frames, stamp: Time):
    message = TFMessage()
    for parent, child, position, quaternion in frames:
        transform = interface_class('geometry_msgs/msg/TransformStamped')()
        transform.header.stamp, transform.header.frame_id = stamp.to_msg(), parent
        transform.child_frame_id = child
        move, turn = transform.transform.translation, transform.transform.rotation
        move.x, move.y, move.z = map(float, position)
        turn.x, turn.y, turn.z, turn.w = map(float, quaternion)
        message.transforms.append(transform)
    return message


def main() -> int:
    """Entry point."""
    return run(SimBridge, Settings)


if __name__ == '__main__':
    sys.exit(main())
