"""`robot_rl new`: a contract to begin with, from the topics of a robot that runs."""

from __future__ import annotations

import argparse
from pathlib import Path
import re

from robot_rl.commands.live import add_namespace, live_module, seconds
from robot_rl.commands.parsing import add_command
from robot_rl.errors import InvalidFile, UserError
from robot_rl.files import write_atomic
from robot_rl.terminal import painted, printable

LISTEN = 2.0            # s


def add(commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, 'new', 'write a starting contract from the robot that runs',
        'Ask the live graph for topics that a contract may observe or command, and write a\n'
        'contract of them: joint names from one message, rates as measured, controllers with\n'
        'their joints. What only a person knows (limits, reward, reset) is a TODO, and listed.\n'
        'Never overwrites a file; nothing is sent to the robot.',
        {'robot_rl new --robot ur5e --task push': 'writes ur5e_push.yaml',
         'robot_rl new --robot ur5e --task push --out my_robot.yaml': 'under a name of yours'},
        _run)
    parser.add_argument('--robot', required=True, type=_word, metavar='NAME',
                        help='what the robot is called')
    parser.add_argument('--task', required=True, type=_word, metavar='NAME',
                        help='what it is to learn')
    parser.add_argument('--out', type=Path, metavar='FILE',
                        help='where to write it; ROBOT_TASK.yaml unless told')
    parser.add_argument('--seconds', type=seconds, default=LISTEN,
                        help=f'how long to listen, {LISTEN:g} unless told')
    add_namespace(parser)


def _word(text: str) -> str:
    if not re.fullmatch(r'[A-Za-z]\w*', text, re.ASCII):
        raise argparse.ArgumentTypeError(f'expected letters, digits and _, found {text!r}')
    return text


def _run(arguments: argparse.Namespace) -> int:
    from robot_rl.contract import load_contract
    from robot_rl.starting_contract import starting_contract

    out = arguments.out or Path(f'{arguments.robot}_{arguments.task}.yaml')
    if out.exists():
        raise UserError(f'{out}: exists already, contracts are never overwritten; name another '
                        'with --out')
    found = live_module('live_survey').survey(arguments.seconds, arguments.namespace)
    if not found.seen and not found.commanded:
        raise UserError('the live graph: expected topics of a robot, found none but of our own '
                        'nodes; is it up, and are ROS_DOMAIN_ID and the discovery range '
                        'those of the robot?')
    write_atomic(out, starting_contract(arguments.robot, arguments.task, found))
    print(f'{out}: {len(found.seen)} topics to observe, {len(found.commanded)} to command')
    try:
        load_contract(str(out.absolute()))
    except InvalidFile as error:
        print(painted('left to do:', 'odd'))
        print(*(f'  {printable(str(problem))}' for problem in error.problems), sep='\n')
    print(f'then: robot_rl check {printable(str(out))} --live')
    return 0
