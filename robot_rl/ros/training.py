"""Long work as a part of a node: services, events, figures, artifacts.

The work is done by a child process; the node's executor looks at it a few times a second. What
is trained, and from what, is the node's own: a Job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import time
from typing import Protocol

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from robot_rl.errors import UserError
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.health import ERROR, EventPublisher, OK, WARN
from robot_rl.ros.qos import LATCHED
from robot_rl.training_process import BUSY, TrainingProcess, TrainingState
from robot_rl.training_run import read_request, Request, write_request
from robot_rl.vitals.limits import at_most, Part
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

LOOK_PERIOD = 0.2       # s between looks at the child


@dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    artifacts: dict[str, bytes]     # topic -> policy artifact
    summary: dict                   # what is told of it


class Job(Protocol):
    """What is trained. Every method may raise UserError or OSError."""

    service: str                # ~/service asks for it
    word: str                   # its events and figures begin so: training_done, training_percent
    subject: str                # what comes of it, in words
    topics: tuple[str, ...]     # of the artifacts
    figures: tuple[str, ...]    # of the summary: they are in the event of its end
    root: Path                  # runs are below it
    looks_again: bool           # a result may be out of date when somebody asks: ask the child

    def check(self) -> None:
        """Refuse what cannot work, without training."""

    def run(self) -> tuple[Path, dict]:
        """Return folder and identity of the run that would be made now."""

    def command(self, folder: Path) -> list[str]:
        """Return the argv of a process that trains in a folder, as TrainingProcess expects it."""

    def result(self, folder: Path, identity: dict) -> Trained | None:
        """Return what is in the folder, checked; None where nothing is."""


class TrainingService:
    """Serves the job's ~/service and ~/cancel; publishes its artifacts, latched.

    changed   called at every change that a user waits for
    """

    def __init__(self, node: Node, job: Job, event: EventPublisher, changed: Callable[[], None]):
        self._job, self._event, self._changed = job, event, changed
        self._process = TrainingProcess()
        self.state = TrainingState()
        self._moved = time.monotonic()          # when it last made progress
        self.folder, self._identity = job.root, {}      # of the run, once one is looked for
        self._outputs = {name: node.create_publisher(UInt8MultiArray, name, LATCHED)
                         for name in job.topics}
        node.create_service(Trigger, f'~/{job.service}', self._on_train)
        node.create_service(Trigger, '~/cancel', self._on_cancel)
        node.create_timer(LOOK_PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def level(self) -> bytes:
        """Level of the node's health as far as training goes."""
        return ERROR if self.state.phase == 'failed' else OK

    @property
    def text(self) -> str:
        """What a person wants to know, empty where nothing goes on."""
        state, subject = self.state, self._job.subject
        if state.phase in BUSY:
            return f'{state.phase} {subject}: {state.progress.get("percent", 0.0):.0f} %'
        return f'{subject}: {state.reason}' if state.phase == 'failed' else ''

    def values(self) -> dict:
        """Return the figures for the node's status."""
        state, word = self.state, self._job.word
        figures = {f'{word}_{key}': _short(value) for key, value in state.progress.items()
                   if not isinstance(value, (list, dict))}
        return {word: state.phase, **figures, f'{word}_restarts': state.restarts,
                f'{word}_reason': state.reason, f'{word}_folder': self.folder}

    def part(self, warn_stalled: float) -> Part:
        """Return how the work gets on, held against the s that it may make no progress."""
        busy = self.state.phase in BUSY
        stalled = time.monotonic() - self._moved if busy else None
        return Part(self._job.service, {**self.values(), 'stalled_s': stalled}, [
            at_most(f'{self._job.service} makes no progress for', stalled, warn_stalled,
                    unit='s')])

    def close(self) -> None:
        """End the child; the run goes on when the node is started again."""
        self._process.close()

    def take_up(self) -> None:
        """Publish the result of an earlier node, or go on where one was killed."""
        try:
            self.folder, self._identity = self._job.run()
            published = self._publish_result()
            if published and not self._job.looks_again:
                return
            request = read_request(self.folder)
            if request and request.phase == 'training':
                self._start(resumed=True)
            elif request and not published:
                self.state = TrainingState(request.phase, reason=request.reason)
        except (UserError, OSError) as error:
            self._failed(str(error))

    def _on_train(self, request, response):
        if self.state.phase in BUSY:
            response.message = f'already {self.state.phase}, see ~/status'
            return response
        try:
            self._job.check()
            self.folder, self._identity = self._job.run()
            done = not self._job.looks_again and self._publish_result()
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
            response.message = (f'cancelling; ~/{self._job.service} goes on from the last whole '
                                'round')
        return response

    def _start(self, resumed: bool) -> None:
        self._remember('training')      # before the child, so that no moment of a kill loses it
        self._process.start(self._job.command(self.folder))
        self.state, self._moved = TrainingState('training'), time.monotonic()
        self._event(f'{self._job.word}_started', folder=self.folder, resumed=resumed)
        self._look()

    def _look(self) -> None:
        """Take over where the child stands, and tell what changed."""
        if self.state.phase not in BUSY:
            return
        before, self.state = self.state, self._process.poll()
        if self.state == before:
            return
        self._moved = time.monotonic()
        if self.state.restarts > before.restarts:
            self._event(f'{self._job.word}_restarted', WARN, reason=self.state.reason)
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
            figures = {key: _short(self.state.progress[key]) for key in self._job.figures
                       if key in self.state.progress}
            self._event(f'{self._job.word}_{self.state.phase}', **figures)

    def _failed(self, reason: str) -> None:
        self.state = TrainingState('failed', self.state.progress, self.state.restarts, reason)
        self._event(f'{self._job.word}_failed', ERROR, reason=reason)

    def _publish_result(self) -> bool:
        """Check and publish the artifacts in the folder; return whether there were any."""
        result = self._job.result(self.folder, self._identity)
        if not result:
            return False
        self.state = TrainingState('done', {'percent': 100.0, **result.summary},
                                   self.state.restarts)
        for name, artifact in result.artifacts.items():
            self._outputs[name].publish(bytes_message(artifact))
        return True

    def _remember(self, phase: str, reason: str = '') -> None:
        write_request(self.folder, Request(phase, reason, self._identity))


def _short(value):
    return f'{value:.4g}' if isinstance(value, float) else value
