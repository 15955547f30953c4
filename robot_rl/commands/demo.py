"""`robot_rl demo` and `robot_rl demo-demonstrations`; their options are fields of a dataclass."""

from __future__ import annotations

import argparse
from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from dataclasses import Field, fields
from functools import partial
import math

from robot_rl.commands.parsing import add_command
from robot_rl.demo_options import DemonstrationsOptions, DemoOptions, SimulatorOptions


class _Formatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Shows the defaults of what takes a value, and the examples as they are written."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help if action.nargs == 0 else super()._get_help_string(action)


def add(commands) -> None:
    """Add both demos."""
    demo = add_command(
        commands, 'demo', 'learn a task in simulation over the real graph, from what a simulator '
        'knows, then report',
        'Train explorers in a simulator, let them collect on a twin whose dynamics differ, learn\n'
        'the task from that, keep the better policy and write a report. Minutes; Ctrl-C stops\n'
        'cleanly and still reports.',
        {'robot_rl demo': 'the whole loop, in five to ten minutes',
         'robot_rl demo --gap mild --seed 3': 'a twin that is nearly the simulator',
         'robot_rl demo --contract reach --run-dir runs/reach': 'another task'},
        _demo, _Formatter)
    _add_options(demo, SimulatorOptions)
    shown = add_command(
        commands, 'demo-demonstrations', 'the same from what a person shows',
        'Record a scripted person, fit a cloned and a posterior demonstrator, steer it on the\n'
        'twin, keep the better policy and write a report.',
        {'robot_rl demo-demonstrations': 'from ten recordings to a steered policy',
         'robot_rl demo-demonstrations --demonstrations 25': 'from more of them'},
        _demo_demonstrations, _Formatter)
    _add_options(shown, DemonstrationsOptions)


def _add_options(parser: argparse.ArgumentParser, kind: type[DemoOptions]) -> None:
    """Add an option for each field."""
    for item in fields(kind):
        name, text = item.name.replace('_', '-'), item.metadata['help']
        if isinstance(item.default, bool):
            parser.add_argument(f'--no-{name}', dest=item.name, action='store_false',
                                help=f'do not {text}')
        else:
            parse = (partial(_number, item) if isinstance(item.default, (int, float)) else
                     type(item.default))
            parser.add_argument(f'--{name}', type=parse, default=item.default, help=text)


def _number(item: Field, text: str) -> int | float:
    """Return a number within the range of its field, of the type of the default."""
    kind, least, most = type(item.default), item.metadata['least'], item.metadata['most']
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if value >= least and (most is None or value <= most):      # not where it is no number
        return value
    expected = 'an integer' if kind is int else 'a number'
    limits = f'>= {least}' if most is None else f'from {least} to {most}'
    raise argparse.ArgumentTypeError(f'expected {expected} {limits}, found {text!r}')


def _options(arguments: argparse.Namespace, kind: type[DemoOptions]) -> DemoOptions:
    return kind(**{item.name: getattr(arguments, item.name) for item in fields(kind)})


def _demo(arguments: argparse.Namespace) -> int:
    from robot_rl.demo_simulator import SimulatorDemo

    return SimulatorDemo(_options(arguments, SimulatorOptions)).run()


def _demo_demonstrations(arguments: argparse.Namespace) -> int:
    from robot_rl.demo_demonstrations import DemonstrationsDemo

    return DemonstrationsDemo(_options(arguments, DemonstrationsOptions)).run()
