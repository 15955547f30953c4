"""`robot_rl demo`: the whole loop in simulation, from an untrained policy to a report.

It starts the graph of bringup.py as processes, then does what an operator would: evaluate,
train, run, evaluate again. The twin that plays the robot is perturbed by a declared gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import json
import os
from pathlib import Path
import platform
import time

from robot_rl import __version__
from robot_rl.bringup import command, graph
from robot_rl.contract import Contract, load_contract
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.processes import Exit, Supervisor
from robot_rl.progress import bar, ProgressLine, Rates
from robot_rl.report import read_run, WINDOW, write_report

READY_TIMEOUT = 60.0        # s for the graph to come up
EVALUATION_TIMEOUT = 300.0  # s
SETTLE_TIMEOUT = 60.0       # s for the learner to hold all that was recorded
STATUS_AGE = 2.5            # s after which every node has reported again


@dataclass(frozen=True)
class DemoOptions:
    """What `robot_rl demo` was asked for."""

    run_dir: Path = Path('runs/demo')
    contract: str = 'puck_push'
    seed: int = 0
    gap: str = 'mild'               # of the twin that plays the robot
    max_episodes: int = 300         # of learning
    target: float = 0.95            # success rate of WINDOW episodes and of a greedy check
    evaluation: int = 20            # episodes before and after
    minutes: float = 10.0           # of learning at most
    video: bool = True


def run_demo(options: DemoOptions) -> int:
    """Run the demo; return the exit code. Ctrl-C stops cleanly and still writes the report."""
    contract = load_contract(options.contract)
    run_dir = _fresh_folder(options.run_dir)
    write_atomic(run_dir / 'contract.yaml', contract.text)
    demo = _Demo(replace(options, run_dir=run_dir), contract)
    demo.save_run(ended='running')
    ended, code = 'completed', 0
    try:
        demo.run()
    except KeyboardInterrupt:
        ended, code = 'interrupted', 130
    except UserError as error:
        ended, code = f'failed: {error}', 1
    finally:
        demo.close()
    demo.save_run(ended=ended)
    print(f'\n{ended}' if code else '')
    if options.video:
        demo.render()
        demo.save_run(ended=ended)
    report = write_report(run_dir)
    _print_summary(report, run_dir)
    return code


class _Demo:
    """The operator's part: phases in order, with one live progress line."""

    def __init__(self, options: DemoOptions, contract: Contract):
        self.options = options
        self.contract = contract
        self.started = time.time()
        self.progress = ProgressLine()
        self.ends: list[tuple[str, bool]] = []      # (mode, success) of every episode
        self.exits: list[Exit] = []
        self.operator = None
        self.supervisor = None
        self.video = None
        self.rates = Rates()
        self.server_lost = False
        self.serving: tuple[str, int] | None = None     # mode, and episodes of it in the end

    def run(self) -> None:
        """Evaluate the untrained policy, learn until the greedy policy succeeds, evaluate again.

        A policy may succeed while it explores and fail when it acts greedily, so learning ends
        on a greedy check. The evaluation after it is a fresh one, not the check that was passed.
        """
        options = self.options
        self._start_graph()
        self._evaluate('before')
        deadline = time.monotonic() + options.minutes * 60.0
        passed = False
        while not passed and not self._used_up(deadline):
            self._learn(deadline)
            passed = self._evaluate('check') >= options.target
        self._evaluate('after')
        self._settle('last bags')
        write_atomic(options.run_dir / 'policy.safetensors', self.operator.actor)

    def _learn(self, deadline: float) -> None:
        """Run learning episodes until enough of the last ones succeed, then settle the actor."""
        operator, already = self.operator, len(self._successes('learn'))

        def learned() -> bool:
            recent = self._successes('learn')[already:][-WINDOW:]
            enough = len(recent) == WINDOW and sum(recent) >= self.options.target * WINDOW
            return enough or self._used_up(deadline)

        operator.switch('sac_learner/train', True)
        self._serve('learn', 0)
        self._wait('learn', learned)
        self.serving = None
        operator.switch('policy_server/run', False)
        self._wait('last episode', self._idle, EVALUATION_TIMEOUT)
        self._settle('last updates')
        operator.switch('sac_learner/train', False)
        self._wait('last actor', lambda: self._actor_version() == operator.number(
            'sac_learner', 'updates') == operator.number('policy_server', 'newest_policy'),
            SETTLE_TIMEOUT)

    def _used_up(self, deadline: float) -> bool:
        return time.monotonic() > deadline or len(
            self._successes('learn')) >= self.options.max_episodes

    def _start_graph(self) -> None:
        os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
        os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from robot_rl.ros.operator import Operator

        options = self.options
        specs = graph(
            'sim', contract=options.contract, run_dir=str(options.run_dir), seed=options.seed,
            overrides={'sim_bridge': {'lockstep': True, 'gap': options.gap},
                       'policy_server': {'lockstep': True, 'mode': 'evaluate',
                                         'max_policy_lag': 1},
                       'sac_learner': {'width': 128, 'threads': 1, 'autotrain': True}})
        self.supervisor = Supervisor(
            {spec.name: command(spec) for spec in specs}, options.run_dir / 'logs',
            respawn=True, on_exit=self.exits.append)
        self.supervisor.start()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.operator = Operator(self._on_event)
        self._wait('start', lambda: len(self.operator.status) == len(specs)
                   and self.operator.actor != b'' and self._idle(), READY_TIMEOUT)

    def _on_event(self, kind: str, values: dict[str, str]) -> None:
        if kind == 'end':
            self.ends.append((values['mode'], values['success'] == 'True'))

    def _evaluate(self, when: str) -> float:
        """Run greedy episodes; return the share that succeeded."""
        count, already = self.options.evaluation, len(self._successes('evaluate'))
        self._serve('evaluate', already + count)
        self._wait(f'evaluate {when}', lambda: len(
            self._successes('evaluate')) >= already + count and self._idle(),
            EVALUATION_TIMEOUT)
        self.serving = None
        return sum(self._successes('evaluate')[already:]) / count

    def _serve(self, mode: str, total: int) -> None:
        """Have episodes run until there are `total` of the mode, 0: without end."""
        self.serving = mode, total
        left = max(1, total - len(self._successes(mode))) if total else 0
        self.operator.configure('policy_server', mode=mode, run_episodes=left)
        self.operator.switch('policy_server/run', True)

    def _successes(self, mode: str) -> list[bool]:
        return [success for ran, success in self.ends if ran == mode]

    def _idle(self) -> bool:
        return self.operator.status.get('policy_server', {}).get('text', '').endswith('idle')

    def _all_received(self) -> bool:
        """Whether every bag is closed and the learner holds every episode that was sent."""
        recorder = self.operator.status.get('data_recorder', {})
        return not recorder.get('bag') and self.operator.number(
            'data_recorder', 'published') == self.operator.number(
                'sac_learner', 'episodes_received')

    def _settle(self, phase: str) -> None:
        """Wait until what the nodes say of themselves is newer than the last step."""
        since = time.monotonic()
        self._wait(phase, lambda: time.monotonic() - since > STATUS_AGE and self._all_received()
                   and self.operator.number('sac_learner', 'owed') == 0, SETTLE_TIMEOUT)

    def _actor_version(self) -> int:
        from robot_rl.learning.policy import decode_policy
        return decode_policy(self.operator.actor, self.contract, 'topic actor').version

    def _wait(self, phase: str, condition, timeout: float = float('inf')) -> None:
        def look():
            self._follow_exits()
            self.progress.show(self._line(phase))

        if not self.operator.until(condition, timeout, look):
            raise UserError(f'{phase}: not done after {timeout:g} s; see the logs in '
                            f'{self.options.run_dir / "logs"}')
        self.progress.show(self._line(phase), final=True)

    def _follow_exits(self) -> None:
        """Tell of nodes that died, and take up what the policy server was doing."""
        while self.exits:
            report = self.exits.pop(0)
            self.progress.end()
            again = (f'started again in {report.restart_in:g} s' if report.restart_in is not None
                     else 'stays down')
            print(f'{report.name} ended with code {report.code}, {again}\n{report.log_tail}')
            if report.restart_in is None:
                raise UserError(f'{report.name} ended with code {report.code}')
            self.operator.status.pop(report.name, None)
            self.server_lost = self.server_lost or report.name == 'policy_server'
        if self.server_lost and self._idle():       # it is back, and forgot what it was doing
            self.server_lost = False
            if self.serving:
                self._serve(*self.serving)

    def _line(self, phase: str) -> str:
        operator, options = self.operator, self.options
        mode = 'learn' if phase.startswith(('learn', 'last')) else 'evaluate'
        successes = self._successes(mode)
        recent = successes[-(WINDOW if mode == 'learn' else options.evaluation):]
        steps = operator.number('sim_bridge', 'steps')
        updates = operator.number('sac_learner', 'updates')
        step_rate, update_rate = self.rates(steps, updates)
        share = sum(recent) / len(recent) if recent else 0.0
        return (f'{phase:<15} {bar(share)} success {share:4.0%}  episodes {len(successes):3d}  '
                f'steps {steps:6d} {step_rate:4.0f}/s  updates {updates:6d} {update_rate:4.0f}/s')

    def close(self) -> None:
        """Stop the graph; every bag and a last checkpoint are complete afterwards."""
        self.progress.end()
        if self.supervisor:
            self.supervisor.stop()
        if self.operator:
            import rclpy
            self.operator.close()
            rclpy.try_shutdown()

    def render(self) -> None:
        """Render the learned behaviour, or say why there is no picture."""
        path = self.options.run_dir / 'policy.safetensors'
        if not path.is_file():
            self.video = 'skipped: no learned policy'
            return
        from robot_rl.learning.policy import decode_policy
        from robot_rl.sim.gap import load_gap
        from robot_rl.sim.render import render_episode

        policy = decode_policy(path.read_bytes(), self.contract, str(path))
        reason = render_episode(
            self.contract, load_gap(self.options.gap), lambda values: policy.act(values, None),
            self.options.run_dir / 'final.gif', seed=self.options.seed + 1)
        self.video = f'skipped: {reason}' if reason else 'final.gif'

    def save_run(self, ended: str) -> None:
        """Write run.json: what was asked, how it ended, and what the nodes last said."""
        options = self.options
        run = {**read_run(options.run_dir), 'contract': options.contract, 'seed': options.seed,
               'gap': options.gap, 'evaluation': options.evaluation, 'started': self.started,
               'ended': ended, 'video': self.video, 'versions': _versions()}
        if ended != 'running':
            run.setdefault('wall_seconds', round(time.time() - self.started, 1))
        if self.operator:
            run |= {name: {key: _plain(value) for key, value in values.items()}
                    for name, values in self.operator.status.items()}
        write_atomic(options.run_dir / 'run.json', json.dumps(run, indent=2) + '\n')


def _fresh_folder(run_dir: Path) -> Path:
    """Return an empty folder of that name; an earlier run of the same name is kept beside it."""
    run_dir = run_dir.absolute()
    if run_dir.exists() and any(run_dir.iterdir()):
        stamp = time.strftime('%Y%m%d-%H%M%S', time.localtime(run_dir.stat().st_mtime))
        kept = run_dir.with_name(f'{run_dir.name}-{stamp}')
        number = 1
        while kept.exists():
            number += 1
            kept = run_dir.with_name(f'{run_dir.name}-{stamp}-{number}')
        run_dir.rename(kept)
        print(f'the earlier run is kept as {kept}')
    run_dir.mkdir(parents=True, exist_ok=True)
    return run_dir


def _plain(text: str):
    return int(text) if text.lstrip('-').isdecimal() else text


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {'robot_rl': __version__, 'python': platform.python_version()}
    for package in ('torch', 'numpy', 'mujoco', 'rclpy', 'mcap'):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:        # a distro's package may have no metadata
            versions[package] = 'unknown'
    return versions


def _print_summary(report: dict, run_dir: Path) -> None:
    def percent(value) -> str:
        return 'not measured' if value is None else f'{value:.0%}'

    print(f'success before {percent(report["success_first"])}, after '
          f'{percent(report["success_final"])}; {report["episodes"]} episodes, '
          f'{report["robot_steps"]} robot steps ({report["robot_seconds"] / 60:.1f} min of robot '
          f'time), {report["updates"]} updates in {report["wall_seconds"]} s')
    print(f'report: {run_dir / "report.json"}, {run_dir / "success.png"}, '
          f'video: {report["video"]}')
