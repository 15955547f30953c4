"""Half an hour of the simulated graph at 50 Hz: what grows, and which deadlines are missed.

The graph runs in real time, records, and learns all the while. Every second the resident memory
of each node is read. After the first third, in which caches fill, a straight line through it gives
the growth; of sac_learner the transitions that it stores, in the replay and for the coverage, are
taken off, which grow with what the robot has done. A deadline is missed for each control period
without a step record, by the times at which policy_server published them. A stop of the robot is
cleared, as a person would, and told.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
import contextlib
import os
from pathlib import Path
import shutil
import sys
import tempfile
import time

import numpy as np
from robot_rl.benchmarking import finish, parser_of, verdicts
from robot_rl.bringup import command, graph, keep_apart
from robot_rl.contract import load_contract
from robot_rl.data.steps import Status, step_from_message
from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.learning.coverage import feature_names
from robot_rl.paths import contract_path
from robot_rl.processes import Supervisor
from robot_rl.progress import bar, ProgressLine
import yaml

RATE = 50.0                     # Hz
EPISODE = 5.0                   # s, the horizon of puck_push at its own rate
LONG, FAST = 1800.0, 60.0       # s
WARM = 1.0 / 3.0                # share of the time that the growth does not count
MOST_GROWTH = 1.0               # MB per hour
MOST_MISSED = 0.001             # share of the control periods
START = 60.0                    # s
MINUTE = 60                     # samples, of which one is kept: a step is no slope
COLUMNS = 2                     # of a stored transition, floats: reward and end
SETTINGS = {'policy_server': {'mode': 'learn', 'run_episodes': 0, 'late_timeout': 0.0},
            'safety_stop': {'timeout': 0.1},    # both as with a robot, not with a simulator
            'sac_learner': {'width': 64, 'batch': 64, 'start_transitions': 500, 'utd_ratio': 0.2,
                            'autotrain': True, 'keep_checkpoints': 2}}


def growth(seconds: Sequence[float], megabytes: Sequence[float]) -> float:
    """Return the slope of the least-squares line, MB per hour."""
    return float(np.polyfit(seconds, megabytes, 1)[0]) * 3600.0


def missed(published: Sequence[tuple[int, int, int]], period: float) -> tuple[int, int]:
    """Return control periods without a step, and control periods, of (ns, episode, index)."""
    lost = due = 0
    for (then, before, _), (now, episode, _) in zip(published, published[1:]):
        if episode == before:
            periods = round((now - then) * 1e-9 / period)
            due += max(periods, 1)
            lost += max(periods - 1, 0)
    return lost, due


def resident(pid: int) -> float:
    """Return the memory of a process that nobody else has, MB; OSError where it is gone."""
    fields = Path(f'/proc/{pid}/statm').read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf('SC_PAGE_SIZE') / 1e6


class Soak:
    """The graph, and what was seen of it."""

    def __init__(self, folder: Path):
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        from robot_rl.ros.operator import Operator
        from robot_rl.ros.qos import STEPS
        from std_msgs.msg import Float64MultiArray

        document = yaml.safe_load(contract_path('puck_push').read_text(encoding='utf-8'))
        document['control_rate'] = RATE
        document['episode']['horizon'] = int(EPISODE * RATE)
        contract = folder / 'contract.yaml'
        contract.write_text(yaml.safe_dump(document, sort_keys=False), encoding='utf-8')
        self.contract = load_contract(str(contract))
        self.memory: dict[str, list[tuple[float, float]]] = defaultdict(list)   # (s, MB)
        self.published: list[tuple[int, int, int]] = []     # of every step, see `missed`
        self.stops: Counter[str] = Counter()
        self.exits: list = []
        specs = graph('sim', contract=str(contract), run_dir=str(folder), seed=0,
                      overrides=SETTINGS)
        with contextlib.ExitStack() as stack:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self.operator = Operator(self._on_event)
            stack.callback(self.operator.close)
            self.operator.create_subscription(
                Float64MultiArray, 'policy_server/steps', self._on_step, STEPS)
            self._supervisor = stack.enter_context(Supervisor(
                {spec.name: command(spec) for spec in specs}, folder / 'logs',
                on_exit=self.exits.append))
            if not self.operator.until(lambda: len(self.operator.status) == len(specs), START):
                raise UserError(f'the graph did not start; see {folder / "logs"}')
            self.operator.switch('policy_server/run', True)
            self._cleanup = stack.pop_all()

    def _on_event(self, kind: str, values: dict[str, str]) -> None:
        if kind == 'stop':
            self.stops[values['reason'].partition(':')[0]] += 1

    def _on_step(self, message, info: dict) -> None:
        step = step_from_message(message, len(self.contract.layout),
                                 len(self.contract.action.layout))
        if step.status is Status.RUNNING:
            self.published.append((info['source_timestamp'], step.episode, step.index))

    def watch(self, seconds: float, line: ProgressLine) -> None:
        """Sample once a second, and clear stops."""
        began = sampled = time.monotonic()
        while (now := time.monotonic()) < began + seconds and not self.exits:
            self.operator.until(lambda: time.monotonic() > sampled + 1.0)
            sampled = time.monotonic()
            for name, pid in self._supervisor.pids().items():
                with contextlib.suppress(OSError):
                    self.memory[name].append((now - began, self._owned(name, pid)))
            for name in ('safety_stop', 'policy_server'):
                if self.operator.status[name]['text'].startswith('stopped'):
                    with contextlib.suppress(UserError):    # its cause lasts, or it has just ended
                        self.operator.trigger(f'{name}/clear_stop')
                        self.operator.switch('policy_server/run', True)
            lost, due = missed(self.published, 1.0 / RATE)
            line.show(f'{bar((now - began) / seconds)} {now - began:.0f} of {seconds:.0f} s  '
                      f'{due} control periods, {lost} missed, {self.stops.total()} stops')
        line.end()

    def _owned(self, name: str, pid: int) -> float:
        if name != 'sac_learner':
            return resident(pid)
        row = (2 * len(self.contract.layout) + len(self.contract.action.layout) + COLUMNS
               + len(feature_names(self.contract)))
        stored = self.operator.number(name, 'transitions_received') * row * 4
        return resident(pid) - stored * 1e-6

    def close(self) -> None:
        self._cleanup.close()


def summarise(soak: Soak, seconds: float) -> dict:
    """Return what is told of a soak."""
    lost, due = missed(soak.published, 1.0 / RATE)
    nodes = {}
    for name, samples in soak.memory.items():
        times, sizes = zip(*[pair for pair in samples if pair[0] >= WARM * seconds])
        nodes[name] = {'first': samples[0][1], 'last': sizes[-1], 'growth': growth(times, sizes),
                       'each_minute': [round(size, 2) for _, size in samples[::MINUTE]]}
    worst = max(node['growth'] for node in nodes.values())
    share = lost / max(due, 1)
    return {
        'benchmark': 'soak', 'seconds': seconds, 'rate': RATE, 'nodes': nodes, 'periods': due,
        'missed': lost, 'episodes': len({episode for _, episode, _ in soak.published}),
        'stops': dict(soak.stops), 'ended': [end.name for end in soak.exits],
        'claims': [
            {'claim': 'growth of the node that grows most, MB per hour', 'value': worst,
             'goal': f'below {MOST_GROWTH}', 'holds': worst < MOST_GROWTH},
            {'claim': 'control periods missed, percent', 'value': 100.0 * share,
             'goal': f'at most {100.0 * MOST_MISSED}', 'holds': share <= MOST_MISSED},
            {'claim': 'nodes that ended', 'value': len(soak.exits), 'goal': 'none',
             'holds': not soak.exits}]}


def parse(arguments: list[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Return the parser and its options."""
    parser = parser_of(__doc__, 'soak', f'{FAST:.0f} s in place of {LONG:.0f} s: a smoke test, '
                       'too short to tell of growth')
    parser.add_argument('--seconds', type=float, help='so long')
    options = parser.parse_args(arguments)
    options.seconds = options.seconds or (FAST if options.fast else LONG)
    if not 10.0 <= options.seconds <= 1e6:
        parser.error('--seconds: expected 10 to 1e6')
    return parser, options


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser, options = parse(arguments)
    keep_apart()
    folder = Path(tempfile.mkdtemp(prefix='soak_'))
    try:
        soak = Soak(folder)
        try:
            soak.watch(options.seconds, ProgressLine())
        finally:
            soak.close()
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print('\ninterrupted')
        return 130
    result = summarise(soak, options.seconds)
    for name, node in result['nodes'].items():
        print(f'{name:14}{node["first"]:8.1f} MB at first {node["last"]:8.1f} MB at last '
              f'{node["growth"]:+8.2f} MB/h')
    print(f'{result["episodes"]} episodes, {result["periods"]} control periods, '
          f'{result["missed"]} missed; stops: {result["stops"] or "none"}')
    print('\n'.join(verdicts(result['claims'])))
    shutil.rmtree(folder)
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(main())
