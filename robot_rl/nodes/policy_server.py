"""policy_server: observations in, actions out, one step record per control tick."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
import sys
import time

import numpy as np
from robot_rl.agenda import Agenda, Answer, SHUTDOWN
from robot_rl.casting import Casting
from robot_rl.errors import UserError
from robot_rl.learning.chunks import at_once, ChunkRunners
from robot_rl.observation import Assembler, Reading
from robot_rl.policies import PolicyShelf, TOPICS
from robot_rl.rollout import Rollout, Tick
from robot_rl.ros.codecs import interface_class
from robot_rl.ros.guard import Guard
from robot_rl.ros.health import ERROR, EventPublisher, Health, HealthReporter, OK, WARN
from robot_rl.ros.keeping import Keeping
from robot_rl.ros.lifecycle import ManagedNode
from robot_rl.ros.main import run
from robot_rl.ros.output import Output
from robot_rl.ros.params import node_contract, Parameters
from robot_rl.ros.phase import Phase
from robot_rl.ros.qos import LATCHED, SENSOR
from robot_rl.ros.requests import Requests
from robot_rl.ros.reset import Reset
from robot_rl.ros.settings.policy_server import Settings
from robot_rl.safety.gate import E_STOP, PRESSED, SWITCHES
from robot_rl.safety.lateness import Lateness
from robot_rl.vitals.limits import Part
from robot_rl.vitals.serving import ServingVitals
from std_msgs.msg import UInt8MultiArray

WATCH_PERIOD = 0.02     # s of wall time between looks at what no observation moves on; heartbeats
LEVELS = {'stop': WARN, 'policy_refused': WARN, 'policy_late': WARN, 'evaluation_ended': WARN,
          'intervention_began': WARN, 'start_refused': WARN, 'reset': ERROR}


class PolicyServer(ManagedNode):
    """Runs episodes back to back: reset, wait for fresh observations, tick until the end."""

    def __init__(self):
        super().__init__('policy_server')
        self._live = Parameters(self, Settings)
        self.contract = node_contract(self, self.settings.contract, self.settings.late_timeout)
        self._policies = PolicyShelf(self.contract)
        self._casting = Casting(self.contract, self._policies)
        self._agenda = Agenda(self._casting, self.event)
        self._worker = ThreadPoolExecutor(1)    # for plans; in lockstep the world waits for them
        submit = at_once if self.settings.lockstep else self._worker.submit
        self._runners = ChunkRunners(self.contract, self.settings.plan_ahead, submit)
        self._phase, self._phase_since = Phase.INACTIVE, time.monotonic()
        self._watched = time.monotonic()        # when `_watch` ran last
        self._assembler = Assembler(self.contract)
        self._vitals = ServingVitals(self.contract, self.settings.lockstep)
        self.guard: Guard | None = None        # from `configure` on, as the next two
        self._output: Output | None = None
        self.reset: Reset | None = None
        self._rollout: Rollout | None = None
        self._after = 0                 # ns, only newer observations may start the episode
        self._episodes = 0
        self._events = EventPublisher(self)
        self._keeping = Keeping(self, self._casting)
        self.health = HealthReporter(self, self._describe, self.contract.task, self._parts,
                                     self.contract.action.topic)
        if self.settings.autostart:
            self.autostart()

    @property
    def settings(self) -> Settings:
        """The current parameters."""
        return self._live.settings

    @property
    def active(self) -> bool:
        """Whether episodes are allowed."""
        return self._phase is not Phase.INACTIVE

    @property
    def running(self) -> bool:
        """Whether an episode is under way."""
        return self._phase is Phase.RUNNING

    @property
    def starting(self) -> bool:
        """Whether one is about to begin."""
        return self._phase in (Phase.RESETTING, Phase.WAITING)

    def configure(self) -> None:
        """Create topics, services and timers; warm up."""
        for index, entry in enumerate(self.contract.inputs):
            self.make('subscription', interface_class(entry.type), entry.topic,
                      lambda message, index=index: self._on_observation(index, message), SENSOR)
        for topic in TOPICS:
            self.make('subscription', UInt8MultiArray, topic, partial(self._on_policy, topic),
                      LATCHED)
        self._output = Output(self, self.contract, self.event, self._describe)
        self._requests = Requests(self, self._agenda)
        self.guard = Guard(self, self.contract, self._requests.press, self._watch_out)
        self.reset = Reset(self, self.contract.episode, self._on_reset)
        self._keeping.restore()
        self.make('timer', WATCH_PERIOD, self._watch, clock=self.wall_clock)
        if not self.settings.lockstep:
            self.make('timer', 1.0 / self.contract.control_rate, self._tick)
        self._warm_up()

    def _warm_up(self) -> None:
        """Run a tick's arithmetic once, so that the first real one is not slow."""
        observation = np.zeros(len(self.contract.layout))
        action = np.zeros(len(self.contract.action.layout))
        self.contract.judge(observation, action, observation, 0.0)
        self.contract.is_success(observation)
        self._casting.random.act(observation, np.random.default_rng(0))

    def activate(self) -> None:
        """Allow episodes."""
        self._output.scene.switch(True)
        self._enter(Phase.IDLE)

    def deactivate(self, reason: str) -> None:
        """End the episode with the stop action."""
        self._agenda.end(reason)
        self.abort(reason)
        if self.active:
            self.guard.beat(last=True)
            self._output.scene.switch(False)
        self._enter(Phase.INACTIVE)

    def close(self) -> None:
        """Stop the robot before the process ends."""
        self.deactivate(SHUTDOWN)
        self._worker.shutdown(wait=False)

    # Inputs.

    def _on_observation(self, index: int, message) -> None:
        now = self.get_clock().now().nanoseconds
        self._vitals.hearing.heard(index, now)
        if self._assembler.update(index, message, now):
            self._halt('clock_began_again')     # no transition joins two worlds
        if self.settings.lockstep and self._assembler.complete():
            self._tick()

    def _on_policy(self, topic: str, message: UInt8MultiArray) -> None:
        try:
            self._policies.offer(bytes(message.data), topic)
        except UserError as error:
            self.event('policy_refused', reason=error)

    # Stops.

    def look(self) -> Reading:
        """Return what is observed now; a lockstep world, which waits for actions, is not stale."""
        reading = self._assembler.look(self._now())
        return replace(reading, stale='', reward_stale='') if self.settings.lockstep else reading

    def _watch_out(self) -> None:
        """Stop for what cannot wait until a tick: in lockstep the next one may never come."""
        if self.active and not self._agenda.stopped:
            rules = (SWITCHES if self.running else E_STOP if self._agenda.running else PRESSED)
            reason = self._held_up() or self.guard.reason(self.look(), rules)
            if reason:
                self.stop(reason)

    def _held_up(self) -> str:
        """Return that this process stood still, if it did: to it the others look silent then."""
        seconds = time.monotonic() - self._watched - WATCH_PERIOD
        periods = int(seconds * self.contract.control_rate)
        late = periods >= self.contract.safety.policy_late
        return (f'policy_late: {periods} control periods'
                if late and self.running and not self.settings.lockstep else '')

    def _halt(self, reason: str) -> None:
        """Stop a running episode, or let none begin."""
        if self.running:
            self.stop(reason)
        self.cancel_start()

    def stop(self, reason: str) -> Answer:
        """Stop now, whatever is done, until `clear_stop`."""
        self.abort(reason)              # first of all the action; its end latches the reason
        answer = self._agenda.stop(reason)
        self.health.publish()
        return answer

    # Episodes: idle -> resetting -> waiting -> running -> settling -> idle.

    def _enter(self, phase: Phase) -> None:
        self._phase, self._phase_since = phase, time.monotonic()
        if phase is Phase.IDLE and not self._agenda.running:
            self.health.publish()

    def _watch(self) -> None:
        """Move on what no observation moves: starts, resets, and silence.

        The heartbeat comes from here too, the thread that acts: if that hangs, silence tells.
        """
        if self.active:
            self.guard.beat()
            self._watch_out()
        self._watched = time.monotonic()
        waited = time.monotonic() - self._phase_since
        if self._phase is Phase.IDLE:
            if self._agenda.may_start(self.settings, waited):
                self._begin_reset()
        elif self._phase is Phase.RESETTING:
            if waited > self.settings.reset_timeout:
                self._reset_failed('reset_timeout')
        elif self.settings.lockstep and waited > self.settings.observation_timeout:
            self._halt('observation_timeout')
            if self._phase is not Phase.INACTIVE:
                self._enter(Phase.IDLE)

    def _begin_reset(self) -> None:
        self._after = self._now()
        if not self.reset.client:
            self._enter(Phase.WAITING)
        elif self.reset.ready:
            self._enter(Phase.RESETTING)
            self.reset.begin()

    def _on_reset(self, refusal: str) -> None:
        if self._phase is not Phase.RESETTING:
            return
        if refusal:
            self._reset_failed(refusal)
            return
        self._enter(Phase.WAITING)
        if not self.settings.lockstep:
            self._after = self._now()
        elif self._assembler.complete():
            self._tick()

    def _reset_failed(self, reason: str) -> None:
        self.event('reset', reason=reason)
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
                self.cancel_start()
            elif not self.guard.reason(reading):
                self._begin_episode()
                self._act(reading)
                # A first plan may take long: nothing moves until then.
                self._lateness = Lateness(1.0 / self.contract.control_rate)
                self._watched = time.monotonic()
        elif self.running:
            self._phase_since = began = time.monotonic()
            late = 0 if self.settings.lockstep else self._lateness.tick(self._seconds())
            now = self._now()
            self._act(self._assembler.take(now), late)
            self._vitals.ticked(began, time.monotonic() - began, self._assembler.ages(now), late)

    def _act(self, reading: Reading, late: int = 0) -> None:
        self._send(self._rollout.tick(reading, self.guard.signals(), self.guard.stop,
                                      self._requests.label, late))

    def _seconds(self) -> float:
        """Return the time by which ticks are due, s: no jump of the system's clock moves it."""
        simulated = self.get_parameter('use_sim_time').value
        return self._now() * 1e-9 if simulated else time.monotonic()

    def _begin_episode(self) -> None:
        """Take the newest policy, between episodes only, and start."""
        self._episodes += 1
        self._requests.label = ''
        mode, policy = self._agenda.cast(self.settings, self._episodes)
        self._rollout = Rollout(self.contract, self._runners(policy), mode, self._episodes,
                                self.settings.seed)
        self.event('start', episode=self._episodes, mode=mode.name.lower(),
                   policy_version=policy.version)
        self._enter(Phase.RUNNING)

    def abort(self, reason: str) -> None:
        """End the running episode now, with the stop action, or let none begin."""
        if self.running:
            self._send(self._rollout.tick(self._assembler.take(self._now()), stop=reason))
        self.cancel_start()

    def cancel_start(self) -> None:
        """Let no episode begin that has not begun."""
        if self.starting:
            self._enter(Phase.IDLE)

    def _send(self, tick: Tick) -> None:
        """Publish what a tick decided; on the last one, close the episode."""
        self._output.send(tick, self._rollout, self._now())
        if not tick.ended:
            return
        self._rollout = None
        self._vitals.ended(tick.step)
        self._keeping.keep(self._agenda.ended(tick))
        # A lockstep simulator answers the stop action with one more step: see it before the
        # reset, so that the first observation after the reset is the only newer one.
        self._enter(Phase.SETTLING if self.settings.lockstep else Phase.IDLE)

    def event(self, kind: str, **values) -> None:
        """Tell what happened: it is recorded."""
        self._events(kind, LEVELS.get(kind, OK), **values)

    def _describe(self) -> Health:
        values = {'episodes': self._episodes, 'policy_version': self._policies.version,
                  'newest_policy': self._policies.newest[0],
                  'policy_swaps': self._policies.swaps, 'contract': self.contract.hash,
                  'stop_reason': self._agenda.stopped}
        values |= self._agenda.figures(self.settings) | self._runners.counts.values()
        values |= self._keeping.figures() | (self._output.figures() if self._output else {})
        refused = self._assembler.refused | (self.guard.refused if self.guard else {})
        values |= {f'refused_{name}': why for name, why in refused.items()}
        if self._agenda.stopped:
            return Health(f'stopped: {self._agenda.stopped}; {self.guard.advice}', values, ERROR)
        reset = self.reset.waits if self._phase is Phase.IDLE else ''
        text, waits = self._agenda.status(self.settings, self._phase is Phase.IDLE, reset)
        text += f': {self._phase.value}' + (f', {waits}' if waits else '')
        seen = self._assembler.look(self._now())
        hindered = self._phase is Phase.WAITING and (seen.stale or self.guard.reason(seen))
        text += f': {hindered}' if hindered else ''     # else the next one is on its way
        hindered = hindered or waits and waits == reset
        return Health(text, values, WARN if hindered else OK)

    def _parts(self) -> list[Part]:
        return self._vitals.parts(
            self.settings, time.monotonic(), self.get_clock().now().nanoseconds,
            self._policies.version, self.active)


def main() -> int:
    """Entry point."""
    return run(PolicyServer, Settings, shared_memory=False)


if __name__ == '__main__':
    sys.exit(main())
