"""What the scene in RViz costs: processor time of policy_server and sim_bridge, at 50 Hz.

The twin plays puck_push in real time; a demonstrator acts that plans 16 actions every other tick:
of all that may be shown, plans cost most. Measured are three graphs, one after the other: without
the contract's `display`, with it and nobody subscribed, and with a subscriber to every topic that
the shipped view names. `scene` is the time that the thread of a node spent in what it does for
RViz, sending included; `process` is the processor time of the whole node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, ExitStack
import os
from pathlib import Path
import platform
import sys
import tempfile
import time

import numpy as np
from robot_rl.benchmarking import finish, parser_of, verdicts
from robot_rl.bringup import command, graph, keep_apart
from robot_rl.contract import load_contract
from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.learning.config import FitConfig
from robot_rl.learning.demonstrations import Demonstrations
from robot_rl.learning.posterior import Fit
from robot_rl.paths import contract_path
from robot_rl.processes import Supervisor
from robot_rl.sim.posterior_cells import scripted
from robot_rl.sim.twin import Twin
import yaml

TASK, RATE, EPISODE = 'puck_push', 50.0, 5.0        # Hz; s
LONG, FAST = 60.0, 5.0          # s of each measurement
WARM = 5.0                      # s before it
START = 60.0                    # s
PATIENCE = 10.0         # s, with a busy machine
GOAL = 2.0                      # percent of a core, with nobody subscribed
NODES = ('sim_bridge', 'safety_stop', 'policy_server')
MEASURED = ('policy_server', 'sim_bridge')
VIEWS = ('no display', 'nobody', 'RViz')
INSIDE = '--inside'             # this script runs the node


def write_contract(path: Path, shown: bool) -> None:
    """Write contract TASK at RATE, with or without its `display`; late is no reason to stop."""
    document = yaml.safe_load(contract_path(TASK).read_text(encoding='utf-8'))
    document['control_rate'] = RATE
    document['episode']['horizon'] = int(EPISODE * RATE)
    document['safety'] = {'limits': {f'tip.point.{axis}': [-0.6, 0.6] for axis in 'xy'},
                          'policy_late': int(PATIENCE * RATE)}
    for entry in document['observation']:
        entry['max_age'] = PATIENCE
    if not shown:
        del document['display']
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding='utf-8')


def demonstrator(contract) -> bytes:
    """Return one; how long it learned does not change what it costs."""
    twin = Twin(contract)
    config = FitConfig(updates=1, ensemble_updates=1, alpha=0.0, folds=2, chunk=16, replan=2)
    fit = Fit(Demonstrations.build([scripted(twin, number) for number in range(3)], contract,
                                   config.chunk, config.folds, 0), config)
    while not fit.done:
        fit.round()
    return fit.artifact(contract, 1, {})


def timed(kind: type, names: tuple[str, ...], totals: np.ndarray) -> None:
    """Add the s that the thread spends in these methods to `totals`; one calls the other."""
    depth = 0

    def wrap(function: Callable) -> Callable:
        def measured(*arguments, **options):
            nonlocal depth
            depth += 1
            begun = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                depth -= 1
                if not depth:
                    totals[0] += time.thread_time() - begun
        return measured

    for name in names:
        setattr(kind, name, wrap(getattr(kind, name)))


def inside(name: str, file: str) -> int:
    """Be a node whose work for RViz is timed; the total goes to a file that the parent reads."""
    totals = np.memmap(file, np.float64, 'r+', shape=(1,))
    if name == 'policy_server':
        from robot_rl.nodes.policy_server import main as run
        from robot_rl.ros.scene import Scene
        timed(Scene, ('saw', '_show'), totals)
    else:
        from robot_rl.nodes.sim_bridge import main as run, SimBridge
        timed(SimBridge, ('_show',), totals)
    return run()


def processor(pid: int) -> float:
    """Return the processor time that a process has used, s; OSError where it is gone."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


@contextmanager
def running(folder: Path, view: str, artifact: bytes) -> Iterator[tuple]:
    """Run the graph; give (what pauses and counts ticks, pids by node, totals by node)."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from robot_rl.ros.codecs import bytes_message
    from robot_rl.ros.operator import Operator
    from robot_rl.ros.qos import LATCHED, STREAM
    from std_msgs.msg import Float64MultiArray, UInt8MultiArray

    contract = folder / 'contract.yaml'
    write_contract(contract, view != 'no display')
    specs = graph('sim', contract=str(contract), run_dir=str(folder), seed=0, nodes=NODES,
                  overrides={'policy_server': {'mode': 'demonstrate'},
                             'safety_stop': {'timeout': PATIENCE}})
    totals, argv = {}, {}
    for spec in specs:
        argv[spec.name] = command(spec)
        if spec.name in MEASURED:
            file = folder / spec.name
            totals[spec.name] = np.memmap(file, np.float64, 'w+', shape=(1,))
            start = argv[spec.name].index('-m')
            argv[spec.name][start:start + 2] = [__file__, INSIDE, spec.name, str(file)]
    with ExitStack() as stack:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        stops: list[str] = []
        operator = Operator(lambda kind, values: stops.append(values['reason'])
                            if kind == 'stop' else None)
        stack.callback(operator.close)
        supervisor = stack.enter_context(Supervisor(argv, folder / 'logs'))
        publisher = operator.create_publisher(UInt8MultiArray, 'demonstrator', LATCHED)
        publisher.publish(bytes_message(artifact))
        if not operator.until(lambda: operator.number('policy_server', 'demonstrator') == 1
                              and 'sim_bridge' in operator.status, START):
            raise UserError(f'the graph did not start; see {folder / "logs"}')
        if view == 'RViz':
            look(operator)
        steps = []
        operator.create_subscription(Float64MultiArray, 'policy_server/steps',
                                     lambda message: steps.append(None), STREAM)
        operator.switch('policy_server/run', True)

        def pause(seconds: float) -> int:
            before = len(steps)
            if operator.until(lambda: stops, seconds):
                raise UserError(f'the robot was stopped: {stops[0]}')
            return len(steps) - before

        yield pause, supervisor.pids(), totals


def look(node) -> None:
    """Subscribe to what the shipped view shows."""
    from robot_rl.ros.qos import LATCHED
    from sensor_msgs.msg import PointCloud2
    from visualization_msgs.msg import MarkerArray
    for kind, topic in ((MarkerArray, 'policy_server/markers'),
                        (MarkerArray, 'sim_bridge/markers'),
                        (PointCloud2, 'policy_server/visited')):
        node.create_subscription(kind, topic, lambda message: None, LATCHED)


def measure(view: str, artifact: bytes, seconds: float) -> list[dict]:
    """Return a row for each node."""
    with tempfile.TemporaryDirectory(prefix='scene_cost_') as name, \
            running(Path(name), view, artifact) as (pause, pids, totals):
        pause(WARM)
        begun = time.monotonic()
        before = {node: (totals[node][0], processor(pids[node])) for node in MEASURED}
        ticks = pause(seconds)
        passed = time.monotonic() - begun
        after = {node: (totals[node][0], processor(pids[node])) for node in MEASURED}
    rows = []
    for node in MEASURED:
        scene, process = (100.0 * (late - early) / passed
                          for early, late in zip(before[node], after[node]))
        rows.append({'node': node, 'view': view, 'seconds': round(passed, 1),
                     'ticks': round(ticks / passed, 1), 'scene': round(float(scene), 3),
                     'process': round(process, 2)})
    return rows


def claims(rows: list[dict]) -> list[dict]:
    """Return what is claimed of the rows."""
    return [{'claim': f'{row["node"]}: the scene with nobody subscribed, % of a core',
             'value': row['scene'], 'goal': GOAL, 'holds': row['scene'] < GOAL}
            for row in rows if row['view'] == 'nobody']


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = [f'{"node":15}{"shown to":>12}{"ticks/s":>9}{"scene, % of a core":>22}'
             f'{"process, % of a core":>24}']
    lines += [f'{row["node"]:15}{row["view"]:>12}{row["ticks"]:9.1f}{row["scene"]:22.2f}'
              f'{row["process"]:24.1f}' for row in result['rows']]
    return '\n'.join([*lines, '', *verdicts(result['claims'])])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'scene_cost', f'{FAST:g} s of each in place of {LONG:g}')
    options = parser.parse_args(arguments)
    keep_apart()
    with tempfile.TemporaryDirectory(prefix='scene_cost_') as name:
        contract = Path(name) / 'contract.yaml'
        write_contract(contract, shown=True)
        artifact = demonstrator(load_contract(str(contract)))
    try:
        rows = [row for view in VIEWS
                for row in measure(view, artifact, FAST if options.fast else LONG)]
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    result = {'benchmark': 'scene_cost', 'task': TASK, 'rate': RATE, 'cpus': os.cpu_count(),
              'versions': {'python': platform.python_version(), 'numpy': np.__version__},
              'rows': rows, 'claims': claims(rows)}
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    if sys.argv[1:2] == [INSIDE]:
        _, _, node, totals_file = sys.argv[:4]
        del sys.argv[1:4]
        sys.exit(inside(node, totals_file))
    sys.exit(main())
