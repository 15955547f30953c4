"""`robot_rl demo`: the whole loop in simulation, from an untrained simulator to a report.

It starts the graph of bringup.py as processes, then does what an operator would: train explorers,
try the sim-optimal policy, learn from the explorers, keep the better policy. The twin that plays
the robot is perturbed by a declared gap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import json
from pathlib import Path
import platform
import time

from robot_rl import __version__
from robot_rl.bringup import graph, NodeSpec
from robot_rl.contract import Contract, load_contract
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.progress import bar, Rates
from robot_rl.report import read_run, WINDOW, write_report
from robot_rl.session import Session, SETTLE_TIMEOUT

STEPS_PER_UPDATE = 9        # simulated steps to one update, in training explorers


@dataclass(frozen=True)
class DemoOptions:
    """What `robot_rl demo` was asked for."""

    run_dir: Path = Path('runs/demo')
    contract: str = 'puck_push'
    seed: int = 0
    gap: str = 'bent_tool'          # of the twin that plays the robot
    sim_steps: int = 162_000        # to train explorers for
    max_episodes: int = 300         # to learn from
    target: float = 0.95            # success rate of WINDOW episodes and of a greedy check
    evaluation: int = 20            # greedy episodes of a policy
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
        demo.session.close()
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
        self.video = None
        self.rates = Rates()
        self.session = Session(_specs(options), options.run_dir, self._line)

    def run(self) -> None:
        """Train explorers, see the sim-optimal policy fail, learn from explorers, keep the better.

        A policy may succeed while it explores and fail when it acts greedily, so learning ends
        on a greedy check. What is kept is decided on fresh episodes, not by the check.
        """
        session, options = self.session, self.options
        session.start()
        session.operator.trigger('sim_bridge/train_explorers')
        session.wait('train explorers', self._trained)
        session.run('sim-optimal', 'transfer', options.evaluation)
        deadline, passed = time.monotonic() + options.minutes * 60.0, False
        while not passed and not self._used_up(deadline):
            self._learn(deadline)
            passed = session.run('check', 'evaluate', options.evaluation) >= options.target
        session.keep_better('keep the better', options.evaluation)
        session.settle('last bags')
        write_atomic(options.run_dir / 'policy.safetensors', session.operator.kept)

    def _trained(self) -> bool:
        """Whether both artifacts are there; raise UserError with the reason where they fail."""
        status = self.session.operator.status
        bridge, server = status.get('sim_bridge', {}), status.get('policy_server', {})
        if bridge.get('training') in ('failed', 'cancelled'):
            raise UserError(f'train explorers: {bridge["training"]}: {bridge["training_reason"]}')
        return bridge.get('training') == 'done' and server.get('explorers', '0') != '0' and (
            server.get('sim_optimal', '-1') != '-1')

    def _learn(self, deadline: float) -> None:
        """Explore and learn until enough of the learner's last episodes succeed, then settle."""
        session, operator = self.session, self.session.operator
        already = len(session.successes('learn'))

        def learned() -> bool:
            recent = session.successes('learn')[already:][-WINDOW:]
            enough = len(recent) == WINDOW and sum(recent) >= self.options.target * WINDOW
            return enough or self._used_up(deadline)

        operator.switch('sac_learner/train', True)
        session.run_until('learn', 'mixed', learned)
        session.settle('last updates')
        operator.switch('sac_learner/train', False)
        session.wait('last actor', lambda: self._actor_version() == operator.number(
            'sac_learner', 'updates') == operator.number('policy_server', 'newest_policy'),
            SETTLE_TIMEOUT)

    def _used_up(self, deadline: float) -> bool:
        return time.monotonic() > deadline or len(
            self.session.successes('learn', 'explore')) >= self.options.max_episodes

    def _actor_version(self) -> int:
        from robot_rl.learning.policy import decode_policy
        return decode_policy(self.session.operator.actor, self.contract, 'topic actor').version

    def _line(self, phase: str) -> str:
        operator, session = self.session.operator, self.session
        if phase == 'train explorers':
            return _training_line(phase, operator.status.get('sim_bridge', {}))
        steps = operator.number('sim_bridge', 'steps')
        updates = operator.number('sac_learner', 'updates')
        step_rate, update_rate = self.rates(steps, updates)
        counts = (f'steps {steps:6d} {step_rate:4.0f}/s  updates {updates:6d} '
                  f'{update_rate:4.0f}/s')
        if phase.startswith(('learn', 'last')):
            recent, explored = session.successes('learn'), session.successes('explore')
            share = _share(recent[-WINDOW:])
            return (f'{phase:<15} {bar(share)} success {share:4.0%}  episodes '
                    f'{len(recent) + len(explored):3d}  explorers {_share(explored):3.0%} of '
                    f'{len(explored):3d}  {counts}')
        mode = 'transfer' if phase == 'sim-optimal' else 'evaluate'
        share = _share(session.successes(mode)[-self.options.evaluation:])
        return f'{phase:<15} {bar(share)} success {share:4.0%}  {counts}'

    def render(self) -> None:
        """Render the kept behaviour, or say why there is no picture."""
        path = self.options.run_dir / 'policy.safetensors'
        if not path.is_file():
            self.video = 'skipped: no policy was kept'
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
        if self.session.kept:
            run['kept'] = {key: _plain(value) for key, value in self.session.kept.items()}
        if self.session.operator:
            run |= {name: {key: _plain(value) for key, value in values.items()}
                    for name, values in self.session.operator.status.items()}
        write_atomic(options.run_dir / 'run.json', json.dumps(run, indent=2) + '\n')


def _specs(options: DemoOptions) -> tuple[NodeSpec, ...]:
    """Return the graph: the twin in lockstep, so that it runs as fast as the machine allows."""
    updates = options.sim_steps // STEPS_PER_UPDATE
    return graph(
        'sim', contract=options.contract, run_dir=str(options.run_dir), seed=options.seed,
        overrides={'sim_bridge': {'lockstep': True, 'gap': options.gap,
                                  'sim_steps': options.sim_steps, 'sim_updates': updates,
                                  'train_seed': options.seed},
                   'policy_server': {'lockstep': True, 'mode': 'evaluate', 'max_policy_lag': 1},
                   'sac_learner': {'width': 128, 'threads': 1, 'autotrain': True}})


def _training_line(phase: str, status: dict[str, str]) -> str:
    """Return what sim_bridge says of its training."""
    def figure(key: str) -> float:
        text = status.get(f'training_{key}', '')
        return float(text) if text.replace('.', '').replace('e+', '').isdigit() else 0.0

    percent = figure('percent')
    return (f'{phase:<15} {bar(percent / 100.0)} {percent:3.0f} %  sim steps {figure("steps"):.0f}'
            f' {figure("steps_per_second"):.0f}/s  pool {figure("pool"):.0f}  cells '
            f'{figure("cells"):.0f}  {figure("eta"):.0f} s left')


def _share(results: list[bool]) -> float:
    return sum(results) / len(results) if results else 0.0


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

    kept = report['kept'] or {}
    print(f'success of the sim-optimal policy {percent(report["success_sim_optimal"])}, of the '
          f'explorers {percent(report["success_explorers"])}, learned '
          f'{percent(report["success_final"])}; kept: {kept.get("policy", "nothing")}; '
          f'{report["episodes"]} episodes, {report["robot_steps"]} robot steps '
          f'({report["robot_seconds"] / 60:.1f} min of robot time), {report["updates"]} updates '
          f'in {report["wall_seconds"]} s')
    print(f'report: {run_dir / "report.json"}, {run_dir / "success.png"}, '
          f'video: {report["video"]}')
