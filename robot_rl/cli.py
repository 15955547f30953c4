"""The command `robot_rl`."""

from __future__ import annotations

import argparse
from dataclasses import fields
import json
from pathlib import Path
import sys

from robot_rl import __version__
from robot_rl.contract import Contract, load_contract
from robot_rl.demo_options import DemonstrationsOptions, DemoOptions, SimulatorOptions
from robot_rl.errors import EXIT_BAD_INPUT, UserError

EXAMPLES = """examples:
  robot_rl demo                          from a simulator to a policy, ends with a report
  robot_rl demo-demonstrations           from a person's recordings to a policy, the same way
  robot_rl check config/puck_push.yaml   check a contract, show its vectors
  robot_rl report runs/today             plots and figures of what happened
  robot_rl import pusht demos.npz bags   human demonstrations as recordings
"""


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command; return its exit code: 0, 1 failed, 2 bad input, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:        # a full disk, a folder that cannot be written
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='robot_rl', description='Robot learning from two imperfect priors, on ROS 2.',
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='version', version=f'robot_rl {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    for name, options, run, text in (
            ('demo', SimulatorOptions, _demo, 'learn a task in simulation over the real graph, '
             'from what a simulator knows, then report'),
            ('demo-demonstrations', DemonstrationsOptions, _demo_demonstrations,
             'the same from what a person shows')):
        demo = commands.add_parser(name, help=text,
                                   formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        _add_options(demo, options)
        demo.set_defaults(run=run)

    report = commands.add_parser('report', help='write report.json and success.png of a run')
    report.add_argument('run_dir', type=Path, help='folder that holds bags/')
    report.set_defaults(run=_report)

    check = commands.add_parser(
        'check', help='check a contract: print its vectors as a table, or every error')
    check.add_argument('contract', help='a YAML file, or the name of a shipped contract')
    check.set_defaults(run=_check)

    foreign = commands.add_parser(
        'import', help='write demonstrations of another format as recordings')
    foreign.add_argument('format', choices=['pusht'],
                         help='pusht: the .npz of the human Push-T demonstrations')
    foreign.add_argument('file', type=Path, help='file to read')
    foreign.add_argument('folder', type=Path, help='new folder, one bag per episode')
    foreign.set_defaults(run=_import)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'expected an integer >= 0, found {text!r}')
    return int(text)


def _add_options(parser: argparse.ArgumentParser, kind: type[DemoOptions]) -> None:
    """Add an option for each field."""
    for item in fields(kind):
        name, text = item.name.replace('_', '-'), item.metadata['help']
        if isinstance(item.default, bool):
            parser.add_argument(f'--no-{name}', dest=item.name, action='store_false', help=text)
        else:
            parse = _count if isinstance(item.default, int) else type(item.default)
            parser.add_argument(f'--{name}', type=parse, default=item.default, help=text)


def _options(arguments: argparse.Namespace, kind: type[DemoOptions]) -> DemoOptions:
    return kind(**{item.name: getattr(arguments, item.name) for item in fields(kind)})


def _demo(arguments: argparse.Namespace) -> int:
    from robot_rl.demo_simulator import SimulatorDemo

    return SimulatorDemo(_options(arguments, SimulatorOptions)).run()


def _demo_demonstrations(arguments: argparse.Namespace) -> int:
    from robot_rl.demo_demonstrations import DemonstrationsDemo

    return DemonstrationsDemo(_options(arguments, DemonstrationsOptions)).run()


def _report(arguments: argparse.Namespace) -> int:
    from robot_rl.report import write_report

    print(json.dumps(write_report(arguments.run_dir), indent=2))
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from robot_rl.data.pusht import import_pusht

    count = import_pusht(arguments.file, arguments.folder)
    print(f'{arguments.folder}: {count} episodes; read them with demo_ingest')
    return 0


def _check(arguments: argparse.Namespace) -> int:
    contract = load_contract(arguments.contract)
    print(_tables(contract))
    if contract.simulation:
        from robot_rl.sim.twin import Twin      # refuses names that the model does not have

        Twin(contract)
        print(f'simulation  {contract.simulation.model.name}: every name is in the model')
    print('ok')
    return 0


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
    lines += _aligned(rows)
    lines += ['', f'action      {action.topic}, {action.type}, on stop: {action.on_stop}']
    rows = [('', 'name', 'unit', 'low', 'high', 'max_rate')]
    for index, name in enumerate(action.layout.names):
        rows.append((str(index), name, action.layout.units[index], f'{action.low[index]:g}',
                     f'{action.high[index]:g}', f'{action.max_rate[index]:g} /s'))
    return '\n'.join([*lines, *_aligned(rows), ''])


def _reward(contract: Contract) -> str:
    entry = contract.reward_topic
    if not entry:
        return contract.reward_name
    field, = entry.selection.components
    return f'{field.name} on topic {entry.topic}, {entry.type}, max_age {entry.max_age:g} s'


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ['  ' + '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            for row in rows]


if __name__ == '__main__':
    sys.exit(main())
