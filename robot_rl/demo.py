"""A demo: a fresh folder, the graph as processes, what an operator would do, and a report.

What is done is a story: demo_simulator.py has the first prior, demo_demonstrations.py the second.
"""

from __future__ import annotations

from dataclasses import replace
import errno
import json
import math
import os
from pathlib import Path
import platform
import time

from robot_rl import __version__
from robot_rl.bringup import keep_apart, NodeSpec
from robot_rl.commands.live import live_module
from robot_rl.contract import load_contract
from robot_rl.demo_options import DemoOptions
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.progress import bar, Rates
from robot_rl.report.page import PAGE
from robot_rl.report.run import write_report
from robot_rl.run_folder import keep_contract, read_run, RUN, WINDOW
from robot_rl.session import Session, SETTLE_TIMEOUT

# s without the policy server's heartbeat; in lockstep its world waits for it, so that a slow
# machine is no reason to stop.
LOCKSTEP_SILENCE = 10.0


class Demo:
    """The operator's part: phases in order, with one live progress line."""

    command = 'demo'            # of make, and of robot_rl
    mode = 'mixed'              # of the policy server, while the learner learns
    check_after = math.inf      # episodes of learning after which it is checked at the latest

    def __init__(self, options: DemoOptions):
        self.contract, self.options = load_contract(options.contract), options
        self.check()
        self.look_around()
        self.options = replace(options, run_dir=_fresh_folder(options.run_dir))
        keep_contract(self.options.run_dir, self.contract.text)
        self.started = time.time()
        self.ended, self.video, self.reached = 'running', None, None
        self.rates = Rates()
        self.session = Session(self.graph(), self.options.run_dir, self.line)

    def check(self) -> None:
        """Raise UserError for what cannot work, before anything starts or is renamed."""
        if not self.contract.simulation:
            raise UserError(f'{self.contract.file}: simulation: expected a mapping, as a twin '
                            'plays the robot of a demo, found nothing')
        from robot_rl.sim.gap import load_gap
        from robot_rl.sim.twin import Twin

        Twin(self.contract, load_gap(self.options.gap))

    def look_around(self) -> None:
        """Stay on this computer; raise UserError where a robot or a graph of ours is there."""
        keep_apart()
        live_module('alone').refuse_company(self.contract, self.command)

    def graph(self) -> tuple[NodeSpec, ...]:
        """Return the nodes to start with."""
        raise NotImplementedError

    def tell(self) -> None:
        """Go through the phases."""
        raise NotImplementedError

    def summary(self, report: dict) -> str:
        """Return what came of it, for a person."""
        raise NotImplementedError

    def run(self) -> int:
        """Run it; return the exit code. Ctrl-C stops cleanly and still writes the report."""
        run_dir, code = self.options.run_dir, 0
        self._save_run()
        try:
            self.tell()
            self.ended = 'completed'
        except KeyboardInterrupt:
            self.ended, code = 'interrupted', 130
        except UserError as error:
            self.ended, code = f'failed: {error}', 1
        finally:
            self.session.close()
        self._save_run()
        print(f'\n{self.ended}' if code else '')
        if self.options.video:
            self._render()
            self._save_run()
        print(self.summary(write_report(run_dir)))
        print(f'report: {run_dir / PAGE}, {run_dir / "report.json"}, video: '
              f'{self.video or "not asked for"}')
        return code

    # Phases that stories share.

    def learn(self) -> None:
        """Learn until a greedy check meets the target, or the budget is used up.

        A policy may succeed while it explores and fail when it acts greedily, so learning ends
        on a greedy check. What is kept is decided on fresh episodes, not by the check.
        """
        session, options = self.session, self.options
        deadline = time.monotonic() + options.minutes * 60.0
        while not self.reached and not self._used_up(deadline):
            self._learn(deadline)
            if session.run('check', 'evaluate', options.evaluation) >= options.target:
                self.reached = self._learned_from()

    def keep(self) -> None:
        """Keep the better of the learned policy and its rival."""
        session = self.session
        session.keep_better('keep the better', self.options.evaluation)
        session.settle('last bags')
        write_atomic(self.options.run_dir / 'policy.safetensors', session.operator.kept)

    def _learn(self, deadline: float) -> None:
        """Learn until enough of the learner's last episodes succeed, then settle."""
        session, operator = self.session, self.session.operator
        already = len(session.successes('learn'))

        def learned() -> bool:
            results = session.successes('learn')[already:]
            recent = results[-WINDOW:]
            enough = len(recent) == WINDOW and sum(recent) >= self.options.target * WINDOW
            return enough or len(results) >= self.check_after or self._used_up(deadline)

        operator.switch('sac_learner/train', True)
        session.run_until('learn', self.mode, learned)
        session.settle('last updates', trained=True)
        operator.switch('sac_learner/train', False)
        session.wait('last actor', lambda: self._actor_version() == operator.number(
            'sac_learner', 'updates') == operator.number('policy_server', 'newest_policy'),
            SETTLE_TIMEOUT)

    def _used_up(self, deadline: float) -> bool:
        return time.monotonic() > deadline or len(
            self.session.successes('learn', 'explore')) >= self.options.max_episodes

    def _learned_from(self) -> dict[str, int]:
        return {'episodes': len(self.session.successes('learn', 'explore')),
                'robot_steps': self.session.steps('learn', 'explore')}

    def _actor_version(self) -> int:
        from robot_rl.learning.diffusion_policy import decode_actor
        return decode_actor(self.session.operator.actor, self.contract, 'topic actor').version

    # What is told.

    def line(self, phase: str) -> str:
        """Return the progress line of a phase; stories have more of them."""
        operator, session = self.session.operator, self.session
        if phase == 'start':
            return f'{phase:<15} up: {", ".join(sorted(operator.status)) or "none of the nodes"}'
        steps = operator.number('sim_bridge', 'steps')
        updates = operator.number('sac_learner', 'updates')
        step_rate, update_rate = self.rates(steps, updates)
        counts = (f'steps {steps:6d} {step_rate:4.0f}/s  updates {updates:6d} '
                  f'{update_rate:4.0f}/s')
        if not phase.startswith(('learn', 'last')):
            rate = share(session.results)
            return f'{phase:<15} {bar(rate)} success {rate:4.0%}  {counts}'
        recent, explored = session.successes('learn'), session.successes('explore')
        rate = share(recent[-WINDOW:])
        if explored:
            counts = f'explorers {share(explored):3.0%} of {len(explored):3d}  {counts}'
        return (f'{phase:<15} {bar(rate)} success {rate:4.0%}  episodes '
                f'{len(recent) + len(explored):3d}  {counts}')

    def _render(self) -> None:
        """Render the kept behaviour, or say why there is no picture."""
        path = self.options.run_dir / 'policy.safetensors'
        if not path.is_file():
            self.video = 'skipped: no policy was kept'
            return
        import numpy as np
        from robot_rl.learning.chunks import ChunkRunners
        from robot_rl.learning.diffusion_policy import decode_actor, decode_demonstrator
        from robot_rl.sim.gap import load_gap
        from robot_rl.sim.render import render_episode

        sampled = self.session.kept.get('policy') == 'demonstrator'
        decode = decode_demonstrator if sampled else decode_actor
        policy = decode(path.read_bytes(), self.contract, str(path))
        runners = ChunkRunners(self.contract)
        rng = np.random.default_rng(self.options.seed) if sampled else None

        def begin():
            runner = runners(policy)
            return lambda observation: runner.act(observation, rng)

        reason = render_episode(self.contract, load_gap(self.options.gap), begin,
                                self.options.run_dir / 'final.gif', seed=self.options.seed + 1)
        self.video = f'skipped: {reason}' if reason else 'final.gif'

    def _save_run(self) -> None:
        """Write run.json: what was asked, how it ended, and what the nodes last said."""
        options, session = self.options, self.session
        run = {**read_run(options.run_dir), 'contract': options.contract, 'seed': options.seed,
               'gap': options.gap, 'evaluation': options.evaluation, 'started': self.started,
               'ended': self.ended, 'video': self.video, 'versions': _versions(),
               'target': options.target, 'reached': self.reached,
               'seconds': {phase: round(found, 1) for phase, found in session.seconds.items()}}
        if self.ended != 'running':
            run.setdefault('wall_seconds', round(time.time() - self.started, 1))
        if session.kept:
            run['kept'] = {key: _plain(value) for key, value in session.kept.items()}
        if session.operator:
            run |= {name: {key: _plain(value) for key, value in values.items()}
                    for name, values in session.operator.status.items()}
        write_atomic(options.run_dir / RUN, json.dumps(run, indent=2) + '\n')


def share(results: list[bool]) -> float:
    """Return the share of successes, 0 of none."""
    return sum(results) / len(results) if results else 0.0


def figure(status: dict[str, str], key: str) -> float:
    """Return a figure of a node's status, 0 where there is none."""
    try:
        value = float(status.get(key, ''))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def time_left(seconds: float) -> str:
    """Return the end of a progress line, '' where it is not known how long it takes."""
    return f'  {seconds:.0f} s left' if seconds > 0.0 else ''


def percent(value: float | None) -> str:
    """Return a share of a report in words."""
    return 'not measured' if value is None else f'{value:.0%}'


def _fresh_folder(run_dir: Path) -> Path:
    """Return an empty folder of that name; an earlier run of the same name is kept beside it.

    Raises UserError where there can be none.
    """
    run_dir = run_dir.absolute()
    try:
        _make_room(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        if not os.access(run_dir, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(f'--run-dir {run_dir}: expected a folder that can be written, found: '
                        f'{error.strerror}') from None
    return run_dir


def _make_room(run_dir: Path) -> None:
    """Rename the folder of an earlier run, where there is one."""
    if run_dir.exists() and any(run_dir.iterdir()):
        stamp = time.strftime('%Y%m%d-%H%M%S', time.localtime(run_dir.stat().st_mtime))
        kept = run_dir.with_name(f'{run_dir.name}-{stamp}')
        number = 1
        while kept.exists():
            number += 1
            kept = run_dir.with_name(f'{run_dir.name}-{stamp}-{number}')
        run_dir.rename(kept)
        print(f'the earlier run is kept as {kept}')


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
