"""sac_learner: recorded transitions in, actors out. Training runs in its own thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from robot_rl.catch_up import CatchUp
from robot_rl.curves import FOLDER as CURVES
from robot_rl.data.ingest import Ingest, IngestSettings
from robot_rl.errors import UserError
from robot_rl.files import refuse_unwritable
from robot_rl.learning.config import DEMONSTRATOR, LearnerConfig, SacConfig, SIM_OPTIMAL
from robot_rl.learning.learner import Learner
from robot_rl.learning.trainer import Progress, Trainer, TrainerSettings
from robot_rl.ros.codecs import bytes_message, status_values
from robot_rl.ros.health import ERROR, EventPublisher, Health, HealthReporter, OK, WARN
from robot_rl.ros.main import run
from robot_rl.ros.params import node_contract, Parameters
from robot_rl.ros.qos import LATCHED, STREAM
from robot_rl.ros.settings.sac_learner import Settings
from robot_rl.vitals.learning import LearningVitals
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger
import torch

ASK_AGAIN = 5.0     # s between looks for episodes that are missing
# Listed once: CPython keeps the tuple of each call of `fields`, up to 2000 of a length.
FIGURES = [item.name for item in fields(Progress)
           if item.name not in ('text', 'error', 'metrics', 'coverage', 'base')]


class SacLearner(Node):
    """Hands episodes to the trainer, publishes what it learns, asks for what is missing."""

    def __init__(self):
        super().__init__('sac_learner')
        self._live = Parameters(self, Settings)
        self.settings = settings = self._live.settings
        torch.set_num_threads(settings.threads)
        contract = node_contract(self, settings.contract)
        learner = Learner(contract, _pick(LearnerConfig, settings), _pick(SacConfig, settings))
        folder = Path(settings.checkpoint_dir)
        refuse_unwritable(folder)
        self._event = EventPublisher(self)
        self.get_logger().info(learner.resume(folder))
        if settings.compiled:
            self.get_logger().info('the first updates wait for their compiler, up to a minute')
        self._warnings = [str(refused) for refused in learner.refused]
        for refused in learner.refused:
            self._on_event('checkpoint_refused', {
                'file': refused.path, 'moved_to': refused.moved, 'reason': refused.reason})
        self._read_demos(learner, [Path(root) for root in settings.demo_bags if root])
        self._actor = self.create_publisher(UInt8MultiArray, 'actor', LATCHED)
        self._trainer = Trainer(
            learner, TrainerSettings(folder, settings.publish_period,
                                     settings.checkpoint_period, settings.keep_checkpoints,
                                     settings.deterministic, folder / CURVES),
            lambda data: self._actor.publish(bytes_message(data)), self.get_logger().info,
            self._on_event)
        self._trainer.train(settings.autotrain)
        # What nobody has decided since: the robot goes on with the policy of before.
        self._left_off = 0 if settings.autotrain else learner.updates
        self._trainer.start()
        self._republish = self.create_client(Trigger, 'republish')
        self._catch_up, self._vitals = CatchUp(ASK_AGAIN), LearningVitals(folder)
        self._hand_on('transitions', self._trainer.receive, STREAM)
        self.create_subscription(DiagnosticArray, 'recorder_status', self._on_recorder, LATCHED)
        self._hand_on('explorers', self._trainer.receive_explorers, LATCHED)
        self._hand_on(SIM_OPTIMAL, self._trainer.receive_sim_optimal, LATCHED)
        self._hand_on(DEMONSTRATOR, self._trainer.receive_demonstrator, LATCHED)
        self.create_service(SetBool, '~/train', self._on_train)
        self.create_service(Trigger, '~/save_checkpoint', self._on_save)
        self._health = HealthReporter(self, self._describe, contract.task, lambda: (
            self._vitals.parts(self._live.settings, time.monotonic(), self._trainer.progress)))
        wall = Clock(clock_type=ClockType.STEADY_TIME)
        self._first = self.create_timer(0.1, self._ask_at_start, clock=wall)
        self.create_timer(ASK_AGAIN, self._ask_for_missing, clock=wall)

    def _read_demos(self, learner: Learner, roots: list[Path]) -> None:
        """Add what the recordings hold, whoever made them; what cannot be read is named."""
        ingest = Ingest(roots, learner.contract, IngestSettings(min_steps=1))
        episodes = 0
        for demonstration in ingest:
            learner.add_demos(demonstration.transitions)
            episodes += 1
        reasons = [reading.refused or '; '.join(reading.damage) for reading in ingest.readings]
        reasons = [reason for reason in reasons if reason]
        for reason in reasons:
            self.get_logger().warning(f'demo_bags: {reason}')
        if reasons:
            self._warnings += [f'demo_bags: {len(reasons)} not read whole, such as {reasons[0]}']
        if roots and not episodes:
            raise UserError(self._warnings[-1] if reasons else 'demo_bags: expected recordings in '
                            f'{", ".join(map(str, roots))}, found none')
        if roots:
            self.get_logger().info(f'{learner.counts["demos"]} demo transitions of {episodes} '
                                   'episodes')

    def _hand_on(self, topic: str, receive: Callable[[bytes], None], qos: QoSProfile) -> None:
        self.create_subscription(UInt8MultiArray, topic,
                                 lambda message: receive(bytes(message.data)), qos)

    def _ask_at_start(self) -> None:
        """Ask once for all that was recorded before this learner was there."""
        if self._republish.service_is_ready():
            self._first.cancel()
            self._republish.call_async(Trigger.Request())

    def _ask_for_missing(self) -> None:
        progress = self._trainer.progress
        if self._republish.service_is_ready() and self._catch_up.look(
                progress.missing, progress.episodes_received):
            self.get_logger().warning(f'{progress.missing} episodes are missing, asking the '
                                      'recorder to send all again')
            self._republish.call_async(Trigger.Request())

    def _on_recorder(self, message: DiagnosticArray) -> None:
        for _, _, values in status_values(message):
            session, total = values.get('session', ''), values.get('published', '')
            if session and total.isdecimal():
                self._trainer.expect(session, int(total))

    def _on_train(self, request, response):
        response.success = self._trainer.alive
        if response.success:
            self._left_off = 0
            self._trainer.train(request.data)
        response.message = self._trainer.progress.text if not response.success else (
            'training' if request.data else 'paused')
        return response

    def _on_save(self, request, response):
        response.success = self._trainer.alive
        response.message = f'writing to {self.settings.checkpoint_dir}, see ~/status'
        self._trainer.save()
        return response

    def _describe(self) -> Health:
        progress = self._trainer.progress
        values = {name: getattr(progress, name) for name in FIGURES}
        values['updates_per_second'] = f'{progress.updates_per_second:.1f}'
        values |= {key: f'{value:.4g}' for key, value in progress.metrics}
        values |= {key: value if isinstance(value, int) else f'{value:.4g}'
                   for key, value in (*progress.coverage, *progress.base)}
        warning = '; '.join(filter(None, (progress.warning, *self._warnings)))
        values |= {'method': self.settings.method, 'warning': warning}
        text = progress.text
        if self._left_off and text == 'paused':
            text = (f'paused after a restart at {self._left_off} updates: call '
                    f'{self.get_name()}/train true')
        level = ERROR if progress.error else WARN if (
            progress.missing or warning or self._left_off) else OK
        text = '; '.join(filter(None, (text, warning)))
        return Health(text, values, level)

    def _on_event(self, kind: str, values: dict) -> None:
        self._event(kind, WARN, **values)

    def close(self) -> None:
        """Write a last checkpoint and end the thread."""
        self._trainer.close()
        self._health.publish()


def _pick(kind, settings: Settings):
    """Return the configuration whose fields are parameters of the same name."""
    return kind(**{item.name: getattr(settings, item.name) for item in fields(kind)})


def main() -> int:
    """Entry point."""
    return run(SacLearner, Settings)


if __name__ == '__main__':
    sys.exit(main())
