"""policy_server: observations in, actions out, one step record per control tick."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from robot_rl.agenda import Agenda, Answer
from robot_rl.casting import Casting
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.learning.chunks import at_once, ChunkRunners
from robot_rl.observation import Assembler
from robot_rl.policies import PolicyShelf, TOPICS
from robot_rl.rollout import Rollout, Tick
from robot_rl.ros.codecs import (action_message, bytes_message, interface_class, status_values,
                                 step_message)
from robot_rl.ros.health import ERROR, EventPublisher, Health, HealthReporter, OK, WARN
from robot_rl.ros.lifecycle import ManagedNode
from robot_rl.ros.main import run
from robot_rl.ros.params import Parameters
from robot_rl.ros.plan_markers import PlanMarkers
from robot_rl.ros.policy_settings import Settings
from robot_rl.ros.qos import COMMAND, LATCHED, SENSOR, STREAM
from std_msgs.msg import Float64MultiArray, UInt8MultiArray
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import MarkerArray

WATCH_PERIOD = 0.02     # s of wall time between looks at what no observation moves on


class Phase(Enum):
    """What the server is doing, as its status says it."""

    INACTIVE = 'inactive'
    IDLE = 'idle'
    RESETTING = 'resetting the world'
    WAITING = 'waiting for fresh observations'
    RUNNING = 'running'
    SETTLING = 'settling'


STARTING = (Phase.RESETTING, Phase.WAITING)
LEVELS = {'stop': WARN, 'policy_refused': WARN, 'policy_late': WARN, 'evaluation_ended': WARN,
          'reset': ERROR}


class PolicyServer(ManagedNode):
    """Runs episodes back to back: reset, wait for fresh observations, tick until the end."""

    def __init__(self):
        super().__init__('policy_server')
        self._live = Parameters(self, Settings)
        self.contract = load_contract(self.settings.contract)
        self._policies = PolicyShelf(self.contract)
        self._casting = Casting(self.contract, self._policies)
        self._agenda = Agenda(self._casting, self._event)
        self._worker = ThreadPoolExecutor(1)    # for plans; in lockstep the world waits for them
        submit = at_once if self.settings.lockstep else self._worker.submit
        self._runners = ChunkRunners(self.contract, self.settings.plan_ahead, submit)
        self._label = ''                # a person's success or failure for this episode
        self._phase, self._phase_since = Phase.INACTIVE, time.monotonic()
        self._assembler = Assembler(self.contract)
        self._rollout: Rollout | None = None
        self._reset = None              # future of the reset service
        self._after = 0                 # ns, only newer observations may start the episode
        self._episodes = 0
        self._last_end: dict = {}
        self._events = EventPublisher(self)
        self._kept = self.create_publisher(UInt8MultiArray, '~/kept', LATCHED)
        self._health = HealthReporter(self, self._describe)
        if self.settings.autostart:
            self.autostart()

    @property
    def settings(self) -> Settings:
        """The current parameters."""
        return self._live.settings

    @property
    def _active(self) -> bool:
        return self._phase is not Phase.INACTIVE

    def configure(self) -> None:
        """Create topics, services and timers; warm up."""
        action, episode = self.contract.action, self.contract.episode
        for index, entry in enumerate(self.contract.observations):
            self.make('subscription', interface_class(entry.type), entry.topic,
                      lambda message, index=index: self._on_observation(index, message), SENSOR)
        for topic in TOPICS:
            self.make('subscription', UInt8MultiArray, topic, partial(self._on_policy, topic),
                      LATCHED)
        # Not the latched past: a verdict is on the episode that runs now.
        self.make('subscription', DiagnosticArray, 'labels', self._on_label, STREAM)
        self._action = self.make('publisher', interface_class(action.type), action.topic, COMMAND)
        self._steps = self.make('publisher', Float64MultiArray, '~/steps', STREAM)
        self._markers = PlanMarkers(self.make('publisher', MarkerArray, '~/markers', LATCHED),
                                    self.contract)
        self.make('service', SetBool, '~/run', self._on_run)
        self.make('service', Trigger, '~/evaluate_and_keep', self._on_evaluate_and_keep)
        self.make('service', Trigger, '~/stop', self._on_stop)
        self.make('service', Trigger, '~/clear_stop', self._on_clear_stop)
        if episode.reset_service:
            self._reset_client = self.make('client', interface_class(episode.reset_type),
                                           episode.reset_service)
        self.make('timer', WATCH_PERIOD, self._watch, clock=self.wall_clock)
        if not self.settings.lockstep:
            self.make('timer', 1.0 / self.contract.control_rate, self._tick)
        self._warm_up()

    def _warm_up(self) -> None:
        """Run a tick's arithmetic once, so that the first real one is not slow."""
        observation = np.zeros(len(self.contract.layout))
        action = np.zeros(len(self.contract.action.layout))
        self.contract.judge(observation, action, observation)
        self.contract.is_success(observation)
        self._casting.random.act(observation, np.random.default_rng(0))

    def activate(self) -> None:
        """Allow episodes."""
        self._enter(Phase.IDLE)

    def deactivate(self, reason: str) -> None:
        """End the episode with the stop action."""
        self._agenda.end(reason)
        self._abort(reason)
        self._enter(Phase.INACTIVE)

    def close(self) -> None:
        """Stop the robot before the process ends."""
        self._agenda.end('shutdown')
        self._abort('shutdown')
        self._worker.shutdown(wait=False)

    # Inputs.

    def _on_observation(self, index: int, message) -> None:
        if self._assembler.update(index, message, self.get_clock().now().nanoseconds):
            self._abort('clock_began_again')    # no transition joins two worlds
        if self.settings.lockstep and self._assembler.complete():
            self._tick()

    def _on_policy(self, topic: str, message: UInt8MultiArray) -> None:
        try:
            self._policies.offer(bytes(message.data), topic)
        except UserError as error:
            self._event('policy_refused', reason=error)

    def _on_label(self, message: DiagnosticArray) -> None:
        if self._phase is not Phase.RUNNING:
            return
        for _, kind, _ in status_values(message):
            if kind in ('success', 'failure'):
                self._label = kind
            elif kind == 'discard':
                self._abort('discard')

    def _on_run(self, request, response):
        answer = self._agenda.run(request.data, self.settings, self._active)
        if not request.data:
            self._cancel_start()
        return _answered(response, answer)

    def _on_evaluate_and_keep(self, request, response):
        busy = self._phase in (*STARTING, Phase.RUNNING)
        return _answered(response, self._agenda.evaluate_and_keep(self.settings, self._active,
                                                                  busy))

    def _on_stop(self, request, response):
        answer = self._agenda.stop('operator')
        self._abort(f'stop: {self._agenda.stopped}')
        return _answered(response, answer)

    def _on_clear_stop(self, request, response):
        return _answered(response, self._agenda.clear_stop())

    # Episodes: idle -> resetting -> waiting -> running -> settling -> idle.

    def _enter(self, phase: Phase) -> None:
        self._phase, self._phase_since = phase, time.monotonic()
        if phase is Phase.IDLE and not self._agenda.running:
            self._health.publish()

    def _watch(self) -> None:
        """Move on what no observation moves: starts, resets, and silence."""
        waited = time.monotonic() - self._phase_since
        if self._phase is Phase.IDLE:
            if self._agenda.may_start(self.settings, waited):
                self._begin_reset()
        elif self._phase is Phase.RESETTING:
            if waited > self.settings.reset_timeout:
                self._reset_failed('reset_timeout')
        elif self.settings.lockstep and waited > self.settings.observation_timeout:
            self._abort('observation_timeout')
            if self._phase is not Phase.INACTIVE:
                self._enter(Phase.IDLE)

    def _begin_reset(self) -> None:
        self._after = self._now()
        if not self.contract.episode.reset_service:
            self._enter(Phase.WAITING)
        elif self._reset_client.service_is_ready():
            self._enter(Phase.RESETTING)
            self._reset = self._reset_client.call_async(self._reset_client.srv_type.Request())
            self._reset.add_done_callback(self._on_reset)

    def _on_reset(self, future) -> None:
        if future is not self._reset or self._phase is not Phase.RESETTING:
            return
        response = future.result()
        if not getattr(response, 'success', True):      # Empty has no verdict
            self._reset_failed(f'reset_failed: {response.message}')
            return
        self._enter(Phase.WAITING)
        if not self.settings.lockstep:
            self._after = self._now()
        elif self._assembler.complete():
            self._tick()

    def _reset_failed(self, reason: str) -> None:
        self._event('reset', reason=reason)
        self._agenda.end(reason)
        self._enter(Phase.IDLE)

    def _now(self) -> int:
        """Return the instant of this tick, ns; in lockstep the step's, as /clock comes later."""
        if self.settings.lockstep:
            return self._assembler.newest
        return self.get_clock().now().nanoseconds

    def _tick(self) -> None:
        """Act on the observations held, as far as the phase asks for them."""
        if self._phase is Phase.SETTLING:
            self._assembler.take(self._now())
            self._enter(Phase.IDLE)
        elif self._phase is Phase.WAITING and self._assembler.newest > self._after:
            reading = self._assembler.take(self._now())
            if self._agenda.missing(self.settings):     # the mode was changed during the reset
                self._cancel_start()
            elif not reading.stale:
                self._begin_episode()
                self._send(self._rollout.tick(reading))
        elif self._phase is Phase.RUNNING:
            self._phase_since = time.monotonic()
            reading = self._assembler.take(self._now())
            self._send(self._rollout.tick(reading, label=self._label))

    def _begin_episode(self) -> None:
        """Take the newest policy, between episodes only, and start."""
        self._episodes += 1
        self._label = ''
        mode, policy = self._agenda.cast(self.settings, self._episodes)
        self._rollout = Rollout(self.contract, self._runners(policy), mode, self._episodes,
                                self.settings.seed)
        self._event('start', episode=self._episodes, mode=mode.name.lower(),
                    policy_version=policy.version)
        self._enter(Phase.RUNNING)

    def _abort(self, reason: str) -> None:
        """End the running episode now, with the stop action, or let none begin."""
        if self._phase is Phase.RUNNING:
            self._send(self._rollout.tick(self._assembler.take(self._now()), stop=reason))
        self._cancel_start()

    def _cancel_start(self) -> None:
        if self._phase in STARTING:
            self._enter(Phase.IDLE)

    def _send(self, tick: Tick) -> None:
        """Publish what a tick decided; on the last one, close the episode."""
        step, contract = tick.step, self.contract
        self._steps.publish(step_message(step))
        self._action.publish(action_message(contract.action, step.executed, self._now(),
                                            1.0 / contract.control_rate))
        if not tick.ended:
            self._markers.show(self._rollout.policy, self._now())
            return
        self._last_end = {'episode': step.episode, 'reason': tick.ended, 'steps': step.index,
                          'success': step.success, 'mode': step.mode.name.lower(),
                          'policy_version': step.policy_version}
        self._event('end', **self._last_end)
        self._rollout = None
        kept = self._agenda.ended(tick)
        if kept:
            self._kept.publish(bytes_message(kept.artifact.data))
        # A lockstep simulator answers the stop action with one more step: see it before the
        # reset, so that the first observation after the reset is the only newer one.
        self._enter(Phase.SETTLING if self.settings.lockstep else Phase.IDLE)

    def _event(self, kind: str, **values) -> None:
        self._events(kind, LEVELS.get(kind, OK), **values)

    def _describe(self) -> Health:
        values = {'episodes': self._episodes, 'policy_version': self._policies.version,
                  'newest_policy': self._policies.newest[0],
                  'policy_swaps': self._policies.swaps, 'contract': self.contract.hash}
        values |= self._agenda.figures(self.settings) | self._runners.counts.values()
        values |= {f'last_{key}': value for key, value in self._last_end.items()}
        values |= {f'refused_{name}': why for name, why in self._assembler.refused.items()}
        if self._agenda.stopped:
            return Health(f'stopped: {self._agenda.stopped}; call clear_stop', values, ERROR)
        text, waits = self._agenda.status(self.settings, self._phase is Phase.IDLE)
        text += f': {self._phase.value}' + (f', {waits}' if waits else '')
        if self._phase is Phase.WAITING:
            text += f': {self._assembler.stale(self._now()) or "the world stands still"}'
        return Health(text, values, WARN if self._phase is Phase.WAITING else OK)


def _answered(response, answer: Answer):
    response.success, response.message = answer
    return response


def main() -> int:
    """Entry point."""
    return run(PolicyServer)


if __name__ == '__main__':
    sys.exit(main())
