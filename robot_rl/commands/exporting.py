"""`robot_rl export`: recordings in the formats of other training tools."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from robot_rl.commands.contracts import add_contract
from robot_rl.commands.parsing import add_command
from robot_rl.progress import ProgressLine
from robot_rl.terminal import printable

MAX_LINES = 20          # of what was left out
FORMATS = ('robomimic', 'lerobot')


def add(commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, 'export', 'write recordings in the format of another training tool',
        'Write recordings as one HDF5 file of robomimic, or as a folder of LeRobot (data set\n'
        'v3.0, without videos). Whatever demo_ingest reads is exported; discarded episodes are\n'
        'not. What had to be left out is told, and never stops the rest.',
        {'robot_rl export bags bags.hdf5 --format robomimic --contract puck_push':
         'needs h5py',
         'robot_rl export bags data_set --format lerobot --contract my_robot.yaml':
         'needs pyarrow'}, _run)
    parser.add_argument('bags', type=Path, help='a bag, or a folder of bags')
    parser.add_argument('target', type=Path, help='new file (robomimic) or folder (lerobot)')
    parser.add_argument('--format', choices=FORMATS, required=True, help='what to write')
    add_contract(parser, '--contract', required=True)


def _run(arguments: argparse.Namespace) -> int:
    from robot_rl.contract import load_contract
    from robot_rl.data.export import export
    from robot_rl.data.export_lerobot import lerobot_folder
    from robot_rl.data.export_robomimic import robomimic_file

    write = {'robomimic': robomimic_file, 'lerobot': lerobot_folder}[arguments.format]
    line = ProgressLine(sys.stderr)
    try:
        found = export([arguments.bags], arguments.target, load_contract(arguments.contract),
                       write, lambda runs, transitions: line.show(
                           f'{runs} episodes, {transitions} transitions'))
    finally:
        line.clear()
    left_out = found.left_out()
    for text in left_out[:MAX_LINES]:
        print('left out:', printable(text), file=sys.stderr)
    if len(left_out) > MAX_LINES:
        print(f'left out: {len(left_out) - MAX_LINES} more', file=sys.stderr)
    print(f'{arguments.target}: {found.runs} episodes, {found.transitions} transitions, '
          f'{found.successes} successes')
    return 0
