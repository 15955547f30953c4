"""How long the simulated graph needs from its launch to its first action, and what nodes load.

first action: all five nodes are started as `robot_rl up puck_push --sim` starts them, with the
shipped parameters; an operator, who is there already, calls ~/run as soon as policy_server idles;
an action is on its topic. The first launch only warms the file cache, as reading 0.5 GB of torch
from a disk is no work of ours.

    status      until a node has said how it is, in the same launch
    import      of a node's module in a fresh interpreter, beside `import rclpy` alone
    libraries   torch, mujoco: those that the process of a node has mapped after the first action;
                of demo_ingest, which is in no simulated graph, after its import
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
import json
from pathlib import Path
import statistics
import subprocess
import sys
import time

from robot_rl.benchmarking import at_most, finish, parser_of, scratch, verdicts, versions
from robot_rl.bringup import command, graph, keep_apart, KINDS
from robot_rl.contract import load_contract
from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.processes import Supervisor

TASK = 'puck_push'
LAUNCHES, FAST_LAUNCHES = 10, 3     # after one to warm up
IMPORTS, FAST_IMPORTS = 5, 3
PATIENCE = 60.0                     # s for a graph to act
GOAL = 6.0                          # s
LIBRARIES = ('torch', 'mujoco')
USED = {'sac_learner': {'torch'}, 'sim_bridge': {'mujoco'}}     # by the others: neither
NODES = tuple(dict.fromkeys(name for names in KINDS.values() for name in names))
IMPORT = (
    'import json, sys, time; begun = time.perf_counter(); import {module}; '
    'print(json.dumps([time.perf_counter() - begun, sorted({libraries} & set(sys.modules))]))')


def imported(module: str) -> tuple[float, set[str]]:
    """Return the s that an import takes in a fresh interpreter, and which LIBRARIES it loads."""
    script = IMPORT.format(module=module, libraries=set(LIBRARIES))
    result = subprocess.run([sys.executable, '-P', '-c', script], capture_output=True, text=True,
                            check=True)
    seconds, loaded = json.loads(result.stdout)
    return seconds, set(loaded)


def mapped(pid: int) -> set[str]:
    """Return which of LIBRARIES a process has loaded; OSError where it is gone."""
    lines = Path(f'/proc/{pid}/maps').read_text().splitlines()
    return {name for name in LIBRARIES if any(f'/lib{name}' in line for line in lines)}


def launch(folder: Path) -> dict:
    """Start the graph and end it; return s to each status and the first action, and libraries."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from robot_rl.ros.codecs import interface_class
    from robot_rl.ros.operator import Operator
    from robot_rl.ros.qos import STREAM

    action = load_contract(TASK).action
    specs = graph('sim', contract=TASK, run_dir=str(folder), seed=0)
    status: dict[str, float] = {}
    with ExitStack() as stack:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        operator = Operator(lambda kind, values: None)
        stack.callback(operator.close)
        acted: list[float] = []
        operator.create_subscription(interface_class(action.type), action.topic,
                                     lambda message: acted.append(time.monotonic()), STREAM)
        exits: list = []
        begun = time.monotonic()
        supervisor = stack.enter_context(Supervisor(
            {spec.name: command(spec) for spec in specs}, folder / 'logs', on_exit=exits.append))

        def wait(condition: Callable[[], object]) -> None:
            def note() -> None:
                for name in operator.status:
                    status.setdefault(name, time.monotonic() - begun)
            if not operator.until(lambda: exits or condition(), PATIENCE, note) or exits:
                raise UserError(f'the graph did not act; see {folder / "logs"}')

        wait(lambda: operator.status.get('policy_server', {}).get('text', '').endswith('idle'))
        operator.switch('policy_server/run', True)
        wait(lambda: acted)
        wait(lambda: len(operator.status) == len(specs))
        libraries = {name: mapped(pid) for name, pid in supervisor.pids().items()}
    return {'action': acted[0] - begun, 'status': status, 'libraries': libraries}


def measure(launches: int, imports: int, root: Path) -> dict:
    """Return the figures of all launches and imports."""
    found = [launch(root / f'launch_{number}') for number in range(launches + 1)][1:]
    base = statistics.median(imported('rclpy')[0] for _ in range(imports))
    rows = []
    for name in NODES:
        took, loaded = zip(*[imported(f'robot_rl.nodes.{name}') for _ in range(imports)])
        libraries = set.union(*loaded, *(one['libraries'].get(name, set()) for one in found))
        statuses = [one['status'][name] for one in found if name in one['status']]
        rows.append({'node': name, 'import': round(statistics.median(took), 3),
                     'status': round(statistics.median(statuses), 3) if statuses else None,
                     'libraries': sorted(libraries),
                     'unused': sorted(libraries - USED.get(name, set()))})
    return {'benchmark': 'startup', 'task': TASK, 'launches': launches,
            'versions': versions('torch', 'mujoco', 'ros-kilted-rclpy'),
            'first_action': [round(one['action'], 3) for one in found],
            'import_rclpy': round(base, 3), 'rows': rows}


def claims(result: dict) -> list[dict]:
    """Return what is claimed of the figures."""
    unused = sum(len(row['unused']) for row in result['rows'])
    return [at_most('launch to the first action, median, s',
                    statistics.median(result['first_action']), GOAL),
            at_most('libraries that a node has loaded and does not use', unused, 0)]


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = [f'{"node":15}{"import s":>10}{"status after s":>16}   libraries']
    for row in result['rows']:
        status = '' if row['status'] is None else f'{row["status"]:.2f}'
        unused = f'; unused: {", ".join(row["unused"])}' if row['unused'] else ''
        lines.append(f'{row["node"]:15}{row["import"]:10.2f}{status:>16}   '
                     f'{", ".join(row["libraries"]) or "neither"}{unused}')
    actions = result['first_action']
    return '\n'.join([
        *lines, '', f'import rclpy alone: {result["import_rclpy"]:.2f} s; first action after '
        f'{min(actions):.2f} to {max(actions):.2f} s in {len(actions)} launches', '',
        *verdicts(result['claims'])])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'startup', 'fewer launches and imports')
    options = parser.parse_args(arguments)
    keep_apart()
    try:
        with scratch('startup') as folder:
            result = measure(FAST_LAUNCHES if options.fast else LAUNCHES,
                             FAST_IMPORTS if options.fast else IMPORTS, folder)
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    result['claims'] = claims(result)
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(main())
