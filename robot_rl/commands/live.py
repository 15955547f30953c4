"""What commands share that look at the live graph: the only ones that need ROS 2."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType

from robot_rl.errors import UserError

SECONDS = 5.0
LONGEST = 60.0          # s


def add_namespace(parser: argparse.ArgumentParser) -> None:
    """Add the option that moves relative names, as launch files have it."""
    parser.add_argument('--namespace', default='', type=_namespace, metavar='NAME',
                        help='where the relative names of the contract are, as in launch files')


def seconds(text: str) -> float:
    """Return how long to listen; raise ArgumentTypeError."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.0 < found <= LONGEST:
        raise argparse.ArgumentTypeError(
            f'expected seconds up to {LONGEST:g}, found {text!r}')
    return found


def _namespace(text: str) -> str:
    from robot_rl.schema import ROS_NAME

    if text and not ROS_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f'expected a name such as cell/left, found {text!r}')
    return text


def live_module(name: str) -> ModuleType:
    """Return a module of robot_rl.ros; raise UserError where ROS 2 is not installed."""
    try:
        return importlib.import_module(f'robot_rl.ros.{name}')
    except ModuleNotFoundError as error:
        raise UserError(f'{error.name}: expected ROS 2, to ask the live graph, found no such '
                        'module; source its setup.bash, or see docs/install.md') from None
