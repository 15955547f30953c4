"""`robot_rl check`: a contract as tables, or what is wrong with it; --live against the graph."""

from __future__ import annotations

import argparse
from math import isinf
from typing import TYPE_CHECKING

from robot_rl.commands.contracts import add_contract
from robot_rl.commands.live import add_namespace, live_module, SECONDS, seconds
from robot_rl.commands.parsing import add_command
from robot_rl.commands.safety_table import NONE, safety_rows
from robot_rl.errors import EXIT_FAILED
from robot_rl.terminal import aligned, painted, printable

if TYPE_CHECKING:
    from robot_rl.contract import Contract
    from robot_rl.live_check import Line

LIVE_HEAD = ('', 'what', 'topic', 'by', 'rate (Hz)', 'oldest (s)', 'late by (s)')
STYLES = {NONE: 'odd'}
VERDICTS = {'ok': 'good', 'note': 'odd', 'wrong': 'bad'}


def add(commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, 'check', 'check a contract: its vectors as a table, or every error',
        'Check a contract, and the names in its simulation. Print the vectors of observation and\n'
        'action as tables and what stops the robot, or every error at once.\n\n'
        'With --live, listen to the graph and compare: who publishes and listens, types, QoS,\n'
        'rates, ages, clocks, joint names. Nothing is sent. Ends with exit code 1 where\n'
        'something is wrong.',
        {'robot_rl check puck_push': 'a contract that comes with the package',
         'robot_rl check my_robot.yaml': 'your own',
         'robot_rl check my_robot.yaml --live': 'and the robot that runs now'}, _run)
    add_contract(parser, 'contract')
    parser.add_argument('--live', type=seconds, nargs='?', const=SECONDS, metavar='SECONDS',
                        help=f'listen to the live graph for so long, {SECONDS:g} s unless told')
    add_namespace(parser)


def _run(arguments: argparse.Namespace) -> int:
    from robot_rl.contract import load_contract

    contract = load_contract(arguments.contract)
    if arguments.live:
        return _live(contract, arguments.live, arguments.namespace)
    print(_tables(contract))
    if contract.simulation:
        from robot_rl.sim.twin import Twin      # refuses names that the model does not have

        Twin(contract)
        print(f'simulation  {contract.simulation.model.name}: every name is in the model')
    print(painted('ok', 'good'))
    return 0


def _live(contract: Contract, seconds: float, namespace: str) -> int:
    """Print how the graph is, then what to change; return the exit code."""
    from robot_rl.live_check import judge, WRONG

    graph = live_module('live_graph').observe(contract, seconds, namespace)
    lines = judge(contract, graph)
    print(f'contract    {contract.file}\n'
          f'rate        {contract.control_rate:g} Hz, heard for {seconds:g} s')
    print(*aligned([LIVE_HEAD, *map(_live_row, lines)], VERDICTS), sep='\n')
    findings = [(verdict, f'{line.what} ({line.topic}): {text}')
                for line in lines for verdict, text in line.findings]
    for verdict, text in findings:
        print(painted(f'{verdict}:', VERDICTS[verdict]), printable(text))
    wrong = any(verdict == WRONG for verdict, _ in findings)
    print(painted('not ready', 'bad') if wrong else painted('ok', 'good'))
    return EXIT_FAILED if wrong else 0


def _live_row(line: Line) -> tuple[str, ...]:
    came = line.arrivals
    return (line.verdict, line.what, line.topic, ', '.join(line.nodes),
            '' if came.rate is None else f'{came.rate:.1f}',
            *('' if number is None else f'{number:.3f}' for number in (came.oldest, came.delay)))


def _tables(contract: Contract) -> str:
    action = contract.action
    lines = [f'contract    {contract.file}', f'task        {contract.task}',
             f'hash        {contract.hash}', f'rate        {contract.control_rate:g} Hz, horizon '
             f'{contract.episode.horizon} steps', f'reward      {_reward(contract)}',
             f'success     {contract.success_name or "told by people only"}', '', 'observation']
    rows = [('', 'name', 'unit', 'topic', 'type', 'max_age')]
    index = 0
    for entry in contract.observations:
        for component in entry.selection.components:
            rows.append((str(index), f'{entry.name}.{component.name}', component.unit,
                         entry.topic, entry.type, f'{entry.max_age:g} s'))
            index += 1
    lines += aligned(rows)
    lines += ['', f'action      {action.topic}, {action.type}, on stop: {action.on_stop}']
    rows = [('', 'name', 'unit', 'low', 'high', 'max_rate')]
    for index, name in enumerate(action.layout.names):
        rate = action.max_rate[index]
        rows.append((str(index), name, action.layout.units[index], f'{action.low[index]:g}',
                     f'{action.high[index]:g}', NONE if isinf(rate) else f'{rate:g} /s'))
    lines += aligned(rows, STYLES)
    return '\n'.join([*lines, '', 'safety', *aligned(safety_rows(contract), STYLES), ''])


def _reward(contract: Contract) -> str:
    entry = contract.reward_topic
    if not entry:
        return contract.reward_name
    field, = entry.selection.components
    return f'{field.name} on topic {entry.topic}, {entry.type}, max_age {entry.max_age:g} s'
