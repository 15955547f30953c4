"""`robot_rl up`: the graph of the launch files as processes, where there is no `ros2 launch`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
import os
from pathlib import Path
import signal
import sys
from typing import TYPE_CHECKING

from robot_rl.commands.contracts import add_contract
from robot_rl.commands.live import add_namespace, live_module
from robot_rl.commands.parsing import add_command
from robot_rl.errors import EXIT_FAILED, UserError
from robot_rl.terminal import painted, printable

if TYPE_CHECKING:
    from robot_rl.bringup import NodeSpec
    from robot_rl.processes import Exit

CLEAN = (0, -signal.SIGINT)     # the latter: interrupted before it was up


def add(commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, 'up', 'start the graph, as the launch files do, until Ctrl-C',
        'Start the graph as robot.launch.py does, with --sim as sim.launch.py, with --ingest as\n'
        'ingest.launch.py, and stay until Ctrl-C; the nodes, parameters and remappings are the\n'
        'same. Needs no `ros2 launch`. The contract is checked before anything starts. Of a node\n'
        'that ends the last lines of its log are shown; the others go on. Ends with exit code 1\n'
        'where a node failed.',
        {'robot_rl up my_robot.yaml --run-dir runs/first': 'on the robot',
         'robot_rl up reach --sim': 'the twin plays the robot',
         'robot_rl up my_robot.yaml --ingest': 'recordings to a demonstrator',
         'robot_rl up my_robot.yaml --nodes sac_learner': 'what runs on this host'}, _run)
    add_contract(parser, 'contract')
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument('--sim', dest='kind', action='store_const', const='sim', default='robot',
                      help='the twin plays the robot')
    kind.add_argument('--ingest', dest='kind', action='store_const', const='ingest',
                      help='demo_ingest alone, beside the graph or without it')
    parser.add_argument('--run-dir', type=Path, metavar='DIR',
                        help='what the nodes write goes below it, logs to DIR/logs, a copy of the '
                        'contract to DIR/contract.yaml; without it where the parameters say, and '
                        'logs to runs/today/logs')
    parser.add_argument('--params-file', default='', metavar='FILE',
                        help='parameters of all nodes (default: the shipped config/robot_rl.yaml)')
    add_namespace(parser)
    parser.add_argument('--nodes', default='', metavar='A,B',
                        help='what runs on this host, such as policy_server,data_recorder '
                        '(default: all)')
    parser.add_argument('--respawn', action='store_true', help='start a node again that died')


def _run(arguments: argparse.Namespace) -> int:
    from robot_rl.bringup import command, keep_run_contract, RUN
    from robot_rl.processes import cause, Supervisor

    specs = _checked(arguments)
    _refuse_company(specs)
    logs = (arguments.run_dir or RUN) / 'logs'
    with _signals(), Supervisor(
            {spec.name: command(spec) for spec in specs}, logs, respawn=arguments.respawn,
            on_exit=lambda report: _tell(_last_words(report))) as supervisor:
        _tell(f'started     {", ".join(spec.name for spec in specs)}\n'
              f'logs        {logs}/NODE.log\n'
              'Ctrl-C ends them cleanly; `robot_rl status` in another shell says how they are')
        try:
            keep_run_contract(arguments.contract, str(arguments.run_dir or ''),
                              arguments.params_file)
            supervisor.wait()
            _tell('no node is left')
        except KeyboardInterrupt:
            _tell('\nending them: a bag is completed, a checkpoint written')
        failed = {name: code for name, code in supervisor.stop().items() if code not in CLEAN}
    if failed:
        _tell(painted('failed:', 'bad') + ' ' + ', '.join(
            f'{name} ({cause(code)})' for name, code in failed.items()))
    return EXIT_FAILED if failed else 0


def _checked(arguments: argparse.Namespace) -> tuple[NodeSpec, ...]:
    """Return the nodes to start; raise UserError for whatever one of them would refuse."""
    from robot_rl.bringup import graph
    from robot_rl.contract import load_contract
    from robot_rl.parameter_file import unmatched_sections

    contract = load_contract(arguments.contract)
    sim = arguments.kind == 'sim'
    if sim:
        if not contract.simulation:
            raise UserError(f'{contract.file}: simulation: expected a section, for --sim, found '
                            'none; see docs/contract.md')
        from robot_rl.sim.twin import Twin

        Twin(contract)      # refuses names that the model does not have
    if not find_spec('rclpy'):
        raise UserError('rclpy: expected ROS 2, to run nodes, found no such module; source its '
                        'setup.bash, or see docs/install.md')
    names = tuple(name.strip() for name in arguments.nodes.split(',') if name.strip())
    specs = graph(arguments.kind, contract=arguments.contract, params_file=arguments.params_file,
                  namespace=arguments.namespace, run_dir=str(arguments.run_dir or ''),
                  use_sim_time=sim, nodes=names)
    if arguments.params_file:
        warning = unmatched_sections(arguments.params_file, specs)
        if warning:
            print(painted('warning:', 'odd', sys.stderr), printable(warning), file=sys.stderr)
    return specs


def _refuse_company(specs: tuple[NodeSpec, ...]) -> None:
    """Raise UserError where one of the nodes runs already: two would command one robot."""
    if os.environ.get('ROS_SECURITY_ENABLE', '').lower() == 'true':
        return      # the graph is seen with keys only, and those are the nodes'
    there = live_module('asking').running([spec.name for spec in specs], specs[0].namespace)
    if there:
        raise UserError(
            f'{", ".join(there)} already run{"s" * (len(there) == 1)} in ROS_DOMAIN_ID '
            f'{os.environ.get("ROS_DOMAIN_ID", "0")}: end it, or give this graph --namespace, or '
            'another ROS_DOMAIN_ID; one that was killed just now is seen for 20 s more')


def _last_words(report: Exit) -> str:
    """Return what is told of a node that ended by itself."""
    if not report.code:
        return f'{report.name} has ended'
    again = ('the others go on' if report.restart_in is None
             else f'started again in {report.restart_in:g} s')
    return (painted(f'{report.name} {report.how}', 'bad')
            + f', {again}; its log ends with\n{printable(report.log_tail)}')


def _tell(text: str) -> None:
    """Print at once; nobody reading any more, as after `| tee`, is no reason to leave nodes."""
    with suppress(OSError):
        print(text, flush=True)


@contextmanager
def _signals() -> Iterator[None]:
    """Take SIGTERM, as a service manager sends it, for Ctrl-C; both also in the background."""
    before = {number: signal.signal(number, signal.default_int_handler)
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
