"""What `--help` of a node prints: what it does, and its parameters, as its settings have them."""

from __future__ import annotations

from dataclasses import Field, fields
import sys
from textwrap import fill

WIDTH = 99
TYPES = {bool: 'bool', int: 'integer', float: 'double', str: 'string', tuple: 'string array'}
TEXT = """usage: {name} --ros-args [-p NAME:=VALUE ...] [--params-file FILE]

{about}

parameters:
{parameters}

examples:
  ros2 run robot_rl {name} --ros-args -p contract:=my_robot.yaml
  robot_rl up --help        starts nodes with their topics joined, as the launch files do"""


def asked_for_help() -> bool:
    """Tell whether the command line asks what the node does."""
    return not {'-h', '--help'}.isdisjoint(sys.argv[1:])


def help_text(settings: type) -> str:
    """Return the help of the node whose settings these are; their module is named after it."""
    return TEXT.format(name=settings.__module__.rpartition('.')[2], about=settings.__doc__,
                       parameters='\n'.join(_told(item) for item in fields(settings)))


def _told(item: Field) -> str:
    default = list(item.default) if isinstance(item.default, tuple) else item.default
    shown = str(default).lower() if isinstance(default, bool) else repr(default)
    return f'  {item.name}: {TYPES[type(item.default)]} = {shown}\n' + fill(
        _meaning(item), WIDTH, initial_indent=' ' * 6, subsequent_indent=' ' * 6)


def _meaning(item: Field) -> str:
    """Return description, range and choices, as docs/nodes.md has them."""
    data = item.metadata
    notes = [data['description']]
    if data['choices']:
        notes.append(', '.join(choice or "''" for choice in data['choices']))
    if data['high'] is not None:
        notes.append(f'{data["low"]} to {data["high"]}')
    elif data['low'] is not None:
        notes.append(f'at least {data["low"]}')
    if data['live']:
        notes.append('may change while running')
    return '; '.join(notes)
