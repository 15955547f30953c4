"""The operator's hand on a graph of processes: start it, have episodes run, wait, stop it.

A node that dies is started again; what the policy server was doing is asked for once more.
"""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import time

from robot_rl.bringup import command, NodeSpec
from robot_rl.errors import UserError
from robot_rl.processes import Exit, Supervisor
from robot_rl.progress import ProgressLine

READY_TIMEOUT = 60.0        # s for the graph to come up
EPISODE_TIMEOUT = 60.0      # s for an episode
SETTLE_TIMEOUT = 60.0       # s for the learner to hold all that was recorded
STATUS_AGE = 2.5            # s after which every node has reported again


class Session:
    """A running graph, and what was asked of it. `line(phase)` describes its progress."""

    def __init__(self, specs: tuple[NodeSpec, ...], run_dir: Path, line: Callable[[str], str]):
        self._specs, self._run_dir, self._line = specs, run_dir, line
        self._progress = ProgressLine()
        self._exits: list[Exit] = []
        self._asked: Callable[[], None] | None = None   # of the policy server, until it is done
        self._server_lost = False
        self._supervisor: Supervisor | None = None
        self.operator = None
        self.ends: list[tuple[str, bool]] = []          # (mode, success) of every episode
        self.kept: dict[str, str] = {}                  # figures of the last evaluate_and_keep

    def start(self) -> None:
        """Start the graph and wait until every node has said how it is."""
        os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
        os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from robot_rl.ros.operator import Operator

        self._supervisor = Supervisor(
            {spec.name: command(spec) for spec in self._specs}, self._run_dir / 'logs',
            respawn=True, on_exit=self._exits.append)
        self._supervisor.start()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.operator = Operator(self._on_event)
        self.wait('start', lambda: len(self.operator.status) == len(self._specs)
                  and self.operator.actor != b'' and self.idle(), READY_TIMEOUT)

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
        return [success for mode, success in self.ends if mode in modes]

    def idle(self) -> bool:
        """Tell whether the policy server has nothing to do."""
        return self.operator.status.get('policy_server', {}).get('text', '').endswith('idle')

    def run(self, phase: str, mode: str, count: int) -> float:
        """Run so many episodes of a mode; return the share that succeeded."""
        already = len(self.successes(mode))

        def left() -> int:
            return already + count - len(self.successes(mode))

        self.ask(lambda: self._episodes(mode, max(1, left())))
        self.wait(phase, lambda: left() <= 0 and self.idle(), count * EPISODE_TIMEOUT)
        self._asked = None
        return sum(self.successes(mode)[already:]) / count

    def run_until(self, phase: str, mode: str, done: Callable[[], bool]) -> None:
        """Run episodes of a mode until a condition holds, and let the last one end."""
        self.ask(lambda: self._episodes(mode, 0))
        self.wait(phase, done)
        self._asked = None
        self.operator.switch('policy_server/run', False)
        self.wait('last episode', self.idle, EPISODE_TIMEOUT)

    def keep_better(self, phase: str, count: int) -> dict[str, str]:
        """Have the learned and the sim-optimal policy evaluated; return what was kept and why."""
        self.kept = {}
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
        self._asked = request
        request()

    def settle(self, phase: str) -> None:
        """Wait until the learner holds and has used all that was recorded."""
        since, operator = time.monotonic(), self.operator

        def settled() -> bool:
            recorder = operator.status.get('data_recorder', {})
            published = operator.number('data_recorder', 'published')
            return (time.monotonic() - since > STATUS_AGE and not recorder.get('bag')
                    and published == operator.number('sac_learner', 'episodes_received')
                    and operator.number('sac_learner', 'owed') == 0)

        self.wait(phase, settled, SETTLE_TIMEOUT)

    def wait(self, phase: str, condition: Callable[[], bool], timeout: float = float('inf')
             ) -> None:
        """Show progress until the condition holds; raise UserError after `timeout` s."""
        def look():
            self._follow_exits()
            self._progress.show(self._line(phase))

        if not self.operator.until(condition, timeout, look):
            raise UserError(f'{phase}: not done after {timeout:g} s; see the logs in '
                            f'{self._run_dir / "logs"}')
        self._progress.show(self._line(phase), final=True)

    def _on_event(self, kind: str, values: dict[str, str]) -> None:
        if kind == 'end':
            self.ends.append((values['mode'], values['success'] == 'True'))
        elif kind == 'kept':
            self.kept = values

    def _follow_exits(self) -> None:
        """Tell of nodes that died, and ask the policy server again for what it forgot."""
        while self._exits:
            report = self._exits.pop(0)
            self._progress.end()
            again = (f'started again in {report.restart_in:g} s' if report.restart_in is not None
                     else 'stays down')
            print(f'{report.name} ended with code {report.code}, {again}\n{report.log_tail}')
            if report.restart_in is None:
                raise UserError(f'{report.name} ended with code {report.code}')
            self.operator.status.pop(report.name, None)
            self._server_lost = self._server_lost or report.name == 'policy_server'
        if self._server_lost and self.idle() and self._has_policies():
            self._server_lost = False
            if self._asked:
                self._asked()

    def _has_policies(self) -> bool:
        """Tell whether the policy server has received what the other nodes have latched."""
        server = self.operator.status['policy_server']
        return server.get('newest_policy') != '-1' and (
            server.get('sim_optimal') != '-1'
            or self.operator.status.get('sim_bridge', {}).get('training') != 'done')
