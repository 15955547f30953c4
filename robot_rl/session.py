"""The operator's hand on a graph of processes: start it, have episodes run, wait, stop it.

A node that dies is started again, a stop of the simulated robot is cleared; what the policy server
was doing is asked for once more.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from pathlib import Path
import time

from robot_rl.bringup import command, keep_apart, NodeSpec
from robot_rl.errors import UserError
from robot_rl.processes import Exit, Supervisor
from robot_rl.progress import ProgressLine

READY_TIMEOUT = 60.0        # s for the graph to come up
EPISODE_TIMEOUT = 60.0      # s for an episode
SETTLE_TIMEOUT = 60.0       # s in which recorder and learner must have come further
STATUS_AGE = 2.5            # s after which every node has reported again
STOPS = ('safety_stop', 'policy_server')    # nodes whose stop latches, in the order of clearing
MAX_STOPS = 20              # of one session: more of them are not the weather
LAST_WORDS = 0.3            # s in which what a stopped node has said arrives


class Session:
    """A running graph, and what was asked of it. `line(phase)` describes its progress."""

    def __init__(self, specs: tuple[NodeSpec, ...], run_dir: Path, line: Callable[[str], str]):
        self._specs = {spec.name: spec for spec in specs}
        self._run_dir, self._line = run_dir, line
        self._progress = ProgressLine()
        self._exits: list[Exit] = []
        self._asked: Callable[[], None] | None = None   # of the policy server, until it is done
        self._shaken = False                            # it may have forgotten or given up
        self._stale = 0.0                               # until then its status may be an old one
        self._stops = 0                                 # that were cleared
        self._supervisor: Supervisor | None = None
        self.operator = None
        self.ends: list[tuple[str, bool, int]] = []     # (mode, success, steps) of each episode
        self._followed = '', 0                          # mode, and episodes of it before
        self.kept: dict[str, str] = {}                  # figures of the last evaluate_and_keep
        self.seconds: dict[str, float] = {}             # of waiting, by phase

    def start(self) -> None:
        """Start the graph and wait until every node has said how it is."""
        keep_apart()
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from robot_rl.ros.operator import Operator

        self._supervisor = Supervisor(
            {name: command(spec) for name, spec in self._specs.items()}, self._run_dir / 'logs',
            respawn=True, on_exit=self._exits.append)
        self._supervisor.start()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.operator = Operator(self._on_event)
        self.wait('start', lambda: len(self.operator.status) == len(self._specs)
                  and self.idle(), READY_TIMEOUT)
        if 'sac_learner' in self._specs:
            self.wait('start', lambda: self.operator.actor != b'', READY_TIMEOUT)

    def use(self, spec: NodeSpec) -> None:
        """Start one more node, or one in place of the node of that name; wait until it is up."""
        operator = self.operator
        if spec.name in self._specs:
            self._supervisor.stop(spec.name)
            operator.until(lambda: False, LAST_WORDS)       # of the node that was stopped
            operator.status.pop(spec.name, None)
        self._specs[spec.name] = spec
        self._supervisor.run(spec.name, command(spec))
        self.wait('start', lambda: spec.name in operator.status, READY_TIMEOUT)

    def close(self) -> None:
        """Stop the graph; every bag and a last checkpoint are complete afterwards."""
        self._progress.end()
        if self._supervisor:
            self._supervisor.stop()
        if self.operator:
            import rclpy
            self.operator.close()
            rclpy.try_shutdown()

    def successes(self, *modes: str) -> list[bool]:
        """Return how the episodes of these modes ended, oldest first."""
        return [success for mode, success, _ in self.ends if mode in modes]

    def steps(self, *modes: str) -> int:
        """Return how many steps the robot took in the episodes of these modes."""
        return sum(steps for mode, _, steps in self.ends if mode in modes)

    @property
    def results(self) -> list[bool]:
        """How the episodes ended that were asked for last, in their mode, oldest first."""
        mode, already = self._followed
        return self.successes(mode)[already:]

    def _follow(self, mode: str) -> None:
        self._followed = mode, len(self.successes(mode))

    def idle(self) -> bool:
        """Tell whether the policy server has nothing to do."""
        return self.operator.status.get('policy_server', {}).get('text', '').endswith('idle')

    def run(self, phase: str, mode: str, count: int) -> float:
        """Run so many episodes of a mode; return the share that succeeded, 0 of none."""
        self._follow(mode)
        if not count:
            return 0.0
        self.ask(lambda: self._episodes(mode, max(1, count - len(self.results))))
        self.wait(phase, lambda: len(self.results) >= count and self.idle(),
                  count * EPISODE_TIMEOUT)
        self._asked = None
        return sum(self.results) / count

    def run_until(self, phase: str, mode: str, done: Callable[[], bool]) -> None:
        """Run episodes of a mode until a condition holds, and let the last one end."""
        self._follow(mode)
        self.ask(lambda: self._episodes(mode, 0))
        self.wait(phase, done)
        self._asked = None
        self.operator.switch('policy_server/run', False)
        self.wait('last episode', self.idle, EPISODE_TIMEOUT)

    def keep_better(self, phase: str, count: int) -> dict[str, str]:
        """Have the learned policy and its rival evaluated; return what was kept and why."""
        self.kept = {}
        self._follow('evaluate')
        self.operator.configure('policy_server', evaluation_episodes=count)
        self.ask(lambda: self.operator.trigger('policy_server/evaluate_and_keep'))
        self.wait(phase, lambda: self.kept and self.idle(), 2 * count * EPISODE_TIMEOUT)
        self._asked = None
        return self.kept

    def _episodes(self, mode: str, count: int) -> None:
        self.operator.configure('policy_server', mode=mode, run_episodes=count)
        self.operator.switch('policy_server/run', True)

    def ask(self, request: Callable[[], None]) -> None:
        """Make a request of the policy server, and again if it dies before the work is done."""
        self._asked, self._shaken = request, False
        self._ask()

    def _ask(self) -> None:
        self._asked()
        self._stale = time.monotonic() + STATUS_AGE

    def settle(self, phase: str, trained: bool = False) -> None:
        """Wait until all is on disk and the learner, if there is one, holds it or even used it."""
        since, operator = time.monotonic(), self.operator

        def settled() -> bool:
            recorder = operator.status.get('data_recorder', {})
            published = operator.number('data_recorder', 'published')
            received = 'sac_learner' not in self._specs or published == operator.number(
                'sac_learner', 'episodes_received')
            owed = operator.number('sac_learner', 'owed') if trained else 0
            return (time.monotonic() - since > STATUS_AGE and recorder.get('bag') == ''
                    and self._heard(recorder) and received and owed == 0)

        def come() -> tuple[int, ...]:
            return (operator.number('data_recorder', 'published'), *(
                operator.number('sac_learner', key)
                for key in ('episodes_received', 'updates', 'owed')))

        self.wait(phase, settled, SETTLE_TIMEOUT, come)

    def _heard(self, recorder: dict[str, str]) -> bool:
        """Tell whether the recorder, perhaps a new one, has got the last episode's last step."""
        server = self.operator.status.get('policy_server', {})
        return 'last_episode' not in server or (
            (server['last_episode'], server['last_steps'])
            == (recorder.get('newest_episode'), recorder.get('newest_index')))

    def wait(self, phase: str, condition: Callable[[], bool], timeout: float = float('inf'),
             come: Callable[[], tuple] = tuple) -> None:
        """Show progress until the condition holds; raise UserError after `timeout` s.

        come    how far it has come: `timeout` begins anew where that is another in the end
        """
        def look():
            self._follow_exits(condition)
            self._progress.show(self._line(phase))

        began = time.monotonic()
        reached = come()
        try:
            while not (done := self.operator.until(condition, timeout, look)):
                earlier, reached = reached, come()
                if reached == earlier:
                    break
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - began
        if not done:
            raise UserError(f'{phase}: not done after {timeout:g} s; see the logs in '
                            f'{self._run_dir / "logs"}')
        self._progress.show(f'{self._line(phase)}  done', final=True)

    def _on_event(self, kind: str, values: dict[str, str]) -> None:
        if kind == 'end':
            self.ends.append((values['mode'], values['success'] == 'True',
                              int(values['steps'])))
        elif kind == 'kept':
            self.kept = values

    def _follow_exits(self, done: Callable[[], bool]) -> None:
        """Tell of nodes that died, and ask the policy server again for what is not done.

        It forgets what it was asked for when it dies, stops when the robot falls silent, and gives
        up when the robot does not reset.
        """
        while self._exits:
            report = self._exits.pop(0)
            self._progress.end()
            again = (f'started again in {report.restart_in:g} s' if report.restart_in is not None
                     else 'stays down')
            print(f'{report.name} ended with code {report.code}, {again}\n{report.log_tail}')
            if report.restart_in is None:
                raise UserError(f'{report.name} ended with code {report.code}')
            self.operator.status.pop(report.name, None)
            if report.name in ('policy_server', 'sim_bridge'):
                self._shaken, self._stale = True, time.monotonic() + STATUS_AGE
        self._clear_stops()
        if (self._shaken and self._asked and time.monotonic() > self._stale and self.idle()
                and self._has_policies() and not done()):
            self._ask()

    def _clear_stops(self) -> None:
        """Clear what has stopped the robot, once its cause is gone, and tell."""
        for name in STOPS:
            text = self.operator.status.get(name, {}).get('text', '')
            if not text.startswith('stopped') or time.monotonic() < self._stale:
                continue
            self._shaken, self._stale = True, time.monotonic() + STATUS_AGE
            self._stops += 1
            self._progress.end()
            print(f'{name} {text}')
            if self._stops > MAX_STOPS:
                raise UserError(f'{name} {text}; cleared {MAX_STOPS} times in this session')
            with contextlib.suppress(UserError):        # refused while the cause lasts
                self.operator.trigger(f'{name}/clear_stop')

    def _has_policies(self) -> bool:
        """Tell whether the policy server has received what the other nodes have latched."""
        status = self.operator.status
        latched = {'newest_policy': self.operator.actor != b'',
                   'sim_optimal': status.get('sim_bridge', {}).get('training') == 'done',
                   'demonstrator': status.get('demo_ingest', {}).get('fit') == 'done'}
        return not any(there and status['policy_server'].get(name) == '-1'
                       for name, there in latched.items())
