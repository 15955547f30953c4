"""`robot_rl call`, `set` and `status`: what an operator asks, where there is no `ros2` command."""

from __future__ import annotations

import argparse
import os

from robot_rl.bringup import KINDS
from robot_rl.commands.live import add_namespace, live_module
from robot_rl.commands.parsing import add_command
from robot_rl.errors import EXIT_FAILED, UserError
from robot_rl.terminal import aligned, painted, printable

WHOLE = 2 ** 63         # integers of ROS parameters are below
MOST = 10_000           # nodes of YAML in a value
NEEDED = tuple(name for name in KINDS['robot'] if name != 'sim_bridge')   # the latter: at times
STYLES = {'ok': 'good', 'warn': 'odd', 'error': 'bad', 'stale': 'bad', 'absent': 'bad'}


def add(commands) -> None:
    """Add the commands."""
    parser = add_command(
        commands, 'call', 'call a service of the running graph',
        'Call a service of type Trigger or SetBool and print what it answers. Ends with exit\n'
        'code 1 where it refuses.',
        {'robot_rl call policy_server/run true': 'begin episodes',
         'robot_rl call policy_server/stop': 'stop the robot'}, _call)
    parser.add_argument('service', type=_name, metavar='SERVICE')
    parser.add_argument('value', nargs='?', choices=['true', 'false'],
                        help='of a SetBool; a Trigger has none')
    add_namespace(parser)
    parser = add_command(
        commands, 'set', 'set a parameter of a running node',
        'Set a parameter of a running node. Ends with exit code 1 where the node refuses.',
        {'robot_rl set policy_server mode random': 'how the next episode acts',
         'robot_rl set policy_server run_episodes 1': 'one episode'}, _set)
    parser.add_argument('node', type=_name, metavar='NODE')
    parser.add_argument('name', metavar='NAME')
    parser.add_argument('value', metavar='VALUE', help='as YAML')
    add_namespace(parser)
    parser = add_command(
        commands, 'status', 'how the nodes of the running graph are, a line each',
        'Print how the nodes of the running graph are, a line each; of one node its figures too.\n'
        'Ends with exit code 1 where one says error, or does not answer.',
        {'robot_rl status': 'all of them',
         'robot_rl status policy_server': 'one, with its figures'}, _status)
    parser.add_argument('node', type=_name, nargs='?', metavar='NODE')
    add_namespace(parser)


def _call(arguments: argparse.Namespace) -> int:
    value = None if arguments.value is None else arguments.value == 'true'
    success, message = live_module('asking').call(arguments.service, value, arguments.namespace)
    return _told(success, message or 'done')


def _set(arguments: argparse.Namespace) -> int:
    value = _value(arguments.value)
    success, reason = live_module('asking').set_parameter(
        arguments.node, arguments.name, value, arguments.value, arguments.namespace)
    return _told(success, f'{arguments.name} is {arguments.value}' if success else reason)


def _status(arguments: argparse.Namespace) -> int:
    asking = live_module('asking')
    names = (arguments.node,) if arguments.node else asking.NODES
    found = asking.statuses(names, arguments.namespace)
    silence = f'said nothing in {asking.HEARD:g} s'
    if not found:
        print(_nobody(arguments, asking))
        return EXIT_FAILED
    lines = {name: (said.level, said.text) for name, said in found.items()}
    if set(NEEDED).intersection(found) and not arguments.node:
        lines |= {name: ('absent', silence) for name in NEEDED if name not in found}
    rows = [(name, *lines[name]) for name in names if name in lines]
    print('\n'.join(aligned([('node', 'level', 'status'), *rows], STYLES)))
    if arguments.node:
        print('\n'.join(['', *aligned([('figure', 'value'), *found[arguments.node].values])]))
    return EXIT_FAILED if any(STYLES[level] == 'bad' for _, level, _ in rows) else 0


def _nobody(arguments: argparse.Namespace, asking) -> str:
    """Return what is printed where no node that was asked for says anything."""
    from robot_rl.schema import suggestion

    who = (f'{arguments.node} said nothing' if arguments.node
           else 'no node of robot_rl said anything')
    where = f'ROS_DOMAIN_ID={os.environ.get("ROS_DOMAIN_ID", "0")}' + (
        f', namespace {arguments.namespace}' if arguments.namespace else '')
    meant = (suggestion(arguments.node, asking.NODES)
             if arguments.node and arguments.node not in asking.NODES else '')
    return '; '.join(filter(None, (f'{who} in {asking.HEARD:g} s in {where}', meant)))


def _told(success: bool, message: str) -> int:
    print(printable(message) if success else f'{painted("refused:", "bad")} {printable(message)}')
    return 0 if success else EXIT_FAILED


def _name(text: str) -> str:
    from robot_rl.schema import ROS_NAME

    if text.startswith('~') or not ROS_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f'expected a name such as policy_server/run, found {text!r}')
    return text


def _value(text: str):
    """Return a value that a parameter can have; raise UserError."""
    import yaml

    from robot_rl.bounded_yaml import load_bounded

    try:
        value = load_bounded(text, MOST)
    except yaml.YAMLError:
        value = None
    items = value if isinstance(value, list) else [value]
    if any(not isinstance(item, (bool, int, float, str))
           or isinstance(item, int) and not -WHOLE <= item < WHOLE for item in items):
        raise UserError(f'value: expected a boolean, number, text or a list of them, as YAML, '
                        f'found {text!r}')
    return value
