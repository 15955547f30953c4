"""`robot_rl import`: demonstrations of other formats become recordings."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from robot_rl.commands.contracts import add_contract
from robot_rl.commands.parsing import add_command, add_group
from robot_rl.progress import bar, ProgressLine


def add(commands) -> None:
    """Add the command, and a command for each format."""
    formats = add_group(
        commands, 'import', 'write demonstrations of another format as recordings',
        'Write demonstrations of another format as rosbag2 recordings, one per episode.',
        {'robot_rl import pusht demos.npz bags': 'the human Push-T demonstrations',
         'robot_rl import robomimic low_dim.hdf5 bags --contract my_robot.yaml':
         'an HDF5 file of robomimic'})
    pusht = add_command(
        formats, 'pusht', 'the .npz of the human Push-T demonstrations',
        'Write the human Push-T demonstrations as recordings; demo_ingest reads them.',
        {'robot_rl import pusht demos.npz bags': 'one bag per episode, below bags/'}, _pusht)
    robomimic = add_command(
        formats, 'robomimic', 'an HDF5 file of robomimic, or of robot_rl export',
        'Write the demos of a robomimic file as recordings; demo_ingest and the learner read\n'
        'them. Each observation of the contract is read from obs/<its name>; actions from -1 to\n'
        '1 become low to high of the contract, whose reward function pays. Needs h5py.',
        {'robot_rl import robomimic low_dim.hdf5 bags --contract my_robot.yaml':
         'one bag per demo, below bags/'}, _robomimic)
    for parser in (pusht, robomimic):
        parser.add_argument('file', type=Path, help='file to read')
        parser.add_argument('folder', type=Path, help='new folder, one bag per episode')
    add_contract(robomimic, '--contract', required=True)


def _pusht(arguments: argparse.Namespace) -> int:
    from robot_rl.data.pusht import import_pusht

    return _told(arguments.folder, import_pusht(arguments.file, arguments.folder))


def _robomimic(arguments: argparse.Namespace) -> int:
    from robot_rl.contract import load_contract
    from robot_rl.data.import_robomimic import import_robomimic

    line = ProgressLine(sys.stderr)
    try:
        found = import_robomimic(
            arguments.file, arguments.folder, load_contract(arguments.contract),
            lambda done, count: line.show(f'{bar(done / count)} {done} of {count} demos'))
    finally:
        line.clear()
    if found.repaid:
        print(f'{found.repaid} of {found.transitions} rewards differ from those in the file: the '
              "contract's function pays", file=sys.stderr)
    return _told(arguments.folder, found.episodes)


def _told(folder: Path, episodes: int) -> int:
    print(f'{folder}: {episodes} episodes; read them with demo_ingest')
    return 0
