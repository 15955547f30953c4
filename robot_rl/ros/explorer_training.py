"""The training of exploration policies as a part of a node: services, events, figures, artifacts.

The work is done by a child process; the node's executor looks at it a few times a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.health import ERROR, EventPublisher, OK, WARN
from robot_rl.ros.qos import LATCHED
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.training_process import BUSY, TrainingProcess, TrainingState
from robot_rl.sim.training_run import (check_trainable, read_request, read_result, Request,
                                       run_folder, run_identity, write_request)
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

LOOK_PERIOD = 0.2       # s between looks at the child
PARAMETERS = {'steps': 'sim_steps', 'updates': 'sim_updates', 'seed': 'train_seed',
              'threads': 'train_workers', 'gaps': 'train_gaps'}     # setting -> its parameter


class ExplorerTraining:
    """Serves ~/train_explorers and ~/cancel; publishes `explorers` and `sim_optimal`, latched.

    root      each run has a folder of its own below it
    command   gives the argv of a process that trains these settings in a folder
    changed   called at every change that a user waits for
    """

    def __init__(self, node: Node, contract: Contract, settings: TrainSettings, root: Path,
                 command: Callable[[Path], list[str]], event: EventPublisher,
                 changed: Callable[[], None]):
        self._contract, self._settings, self._root = contract, settings, root
        self._command = command
        self._event, self._changed = event, changed
        self._process = TrainingProcess()
        self.state = TrainingState()
        self.folder, self._identity = root, {}      # of the run, once one is looked for
        self._outputs = {name: node.create_publisher(UInt8MultiArray, name, LATCHED)
                         for name in ('explorers', 'sim_optimal')}
        node.create_service(Trigger, '~/train_explorers', self._on_train)
        node.create_service(Trigger, '~/cancel', self._on_cancel)
        node.create_timer(LOOK_PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def level(self) -> bytes:
        """Level of the node's health as far as training goes."""
        return ERROR if self.state.phase == 'failed' else OK

    @property
    def text(self) -> str:
        """What a person wants to know, empty where nothing goes on."""
        state = self.state
        if state.phase in BUSY:
            return f'{state.phase} explorers: {state.progress.get("percent", 0.0):.0f} %'
        return f'explorers: {state.reason}' if state.phase == 'failed' else ''

    def values(self) -> dict:
        """Return the figures for the node's status."""
        state = self.state
        figures = {f'training_{key}': _short(value) for key, value in state.progress.items()
                   if key != 'chosen'}
        return {'training': state.phase, **figures, 'training_restarts': state.restarts,
                'training_reason': state.reason, 'training_folder': self.folder}

    def close(self) -> None:
        """End the child; the run goes on when the node is started again."""
        self._process.close()

    def _run(self) -> tuple[Path, dict]:
        """Return folder and identity of the run that the settings and the model make now."""
        identity = run_identity(self._contract, self._settings)
        return run_folder(self._root, identity), identity

    def take_up(self) -> None:
        """Publish the result of an earlier node, or go on where one was killed."""
        if not self._contract.simulation:
            return                      # of a robot without a simulator; a request is answered so
        try:
            self.folder, self._identity = self._run()
            if self._publish_result():
                return
            request = read_request(self.folder)
            if request and request.phase == 'training':
                self._start(resumed=True)
            elif request:
                self.state = TrainingState(request.phase, reason=request.reason)
        except (UserError, OSError) as error:
            self._failed(str(error))

    def _on_train(self, request, response):
        if self.state.phase in BUSY:
            response.message = f'already {self.state.phase}, see ~/status'
            return response
        try:
            check_trainable(self._contract, self._settings, PARAMETERS)
            self.folder, self._identity = self._run()
            done = self._publish_result()
            if not done:
                self._start(resumed=False)
        except (UserError, OSError) as error:
            response.message = str(error)
            return response
        response.success = self.state.phase != 'failed'
        response.message = self.state.reason if not response.success else (
            f'already trained, published again from {self.folder}' if done else
            f'training in {self.folder}, see ~/status')
        self._changed()
        return response

    def _on_cancel(self, request, response):
        response.success = self.state.phase == 'training'
        response.message = f'nothing to cancel: {self.state.phase}'
        if response.success:
            self._process.cancel()
            self._look()
            response.message = 'cancelling; ~/train_explorers goes on from the last whole round'
        return response

    def _start(self, resumed: bool) -> None:
        self._remember('training')      # before the child, so that no moment of a kill loses it
        self._process.start(self._command(self.folder))
        self.state = TrainingState('training')
        self._event('training_started', folder=self.folder, resumed=resumed)
        self._look()

    def _look(self) -> None:
        """Take over where the child stands, and tell what changed."""
        if self.state.phase not in BUSY:
            return
        before, self.state = self.state, self._process.poll()
        if self.state == before:
            return
        if self.state.restarts > before.restarts:
            self._event('training_restarted', WARN, reason=self.state.reason)
        if self.state.phase not in BUSY:
            self._end()
        self._changed()

    def _end(self) -> None:
        try:
            if self.state.phase == 'done' and not self._publish_result():
                raise UserError(f'{self.folder}: expected the result, found none')
            self._remember(self.state.phase, self.state.reason)
        except (UserError, OSError) as error:
            self._failed(str(error))
            return
        if self.state.phase == 'failed':
            self._failed(self.state.reason)
        else:
            self._event(f'training_{self.state.phase}', **self._figures())

    def _figures(self) -> dict:
        return {key: _short(self.state.progress[key]) for key in (
            'pool', 'success', 'task_success', 'cells', 'fraction', 'lambda_min', 'log_det')
            if key in self.state.progress}

    def _failed(self, reason: str) -> None:
        self.state = TrainingState('failed', self.state.progress, self.state.restarts, reason)
        self._event('training_failed', ERROR, reason=reason)

    def _publish_result(self) -> bool:
        """Check and publish the artifacts in the folder; return whether there were any."""
        result = read_result(self.folder, self._contract, self._identity)
        if not result:
            return False
        self.state = TrainingState('done', {'percent': 100.0, **result.summary},
                                   self.state.restarts)
        self._outputs['explorers'].publish(bytes_message(result.explorers))
        self._outputs['sim_optimal'].publish(bytes_message(result.sim_optimal))
        return True

    def _remember(self, phase: str, reason: str = '') -> None:
        write_request(self.folder, Request(phase, reason, self._identity))


def _short(value):
    return f'{value:.4g}' if isinstance(value, float) else value
