"""Every command of README.md, SECURITY.md and docs/: run, or held against what it would meet.

What does not fit a rule fails, so that no command comes into a document unseen.
"""

from __future__ import annotations

import argparse
from contextlib import redirect_stdout
import glob
import importlib
import importlib.util
import io
import os
from pathlib import Path
import re
import runpy
import shutil
import sys
from types import ModuleType, SimpleNamespace

from documented import blocks, Command, documented
from every_node import NODES, settings
from made_bags import write_demonstrations
from made_policies import actor
import numpy as np
import pytest
from robot_rl.bringup import KINDS
from robot_rl.cli import main
from robot_rl.contract import load_contract
from robot_rl.learning.checkpoint import save_checkpoint
from robot_rl.ros.help import help_text
from robot_rl.ros.settings import settings_of
from test_node_tables import rows
import yaml

ROOT = Path(__file__).parents[2]
COMMANDS = documented()
CONTRACT = load_contract('puck_push')
NAME = 'robot_rl'
SETUP = (ROOT / 'setup.py').read_text()
MAKEFILE = (ROOT / 'Makefile').read_text()
# Of others, or of the machine: how they begin, and why they are not run here.
LISTED = {
    '.': 'the shell', 'source': 'the shell', 'cd': 'the shell', 'mkdir -p': 'the shell',
    'cp -r': 'the shell', 'touch': 'the shell',
    'git clone': 'network', 'sudo apt install': 'the machine', 'openssl smime': "a person's keys",
    'rosdep install': 'a distribution',
    'python3 -m venv': 'make setup runs it', 'python3 -m colcon build': 'make build runs it',
    'ros2 bag record': 'ros2bag', 'ros2 bag info': 'ros2bag', 'ros2 bag play': 'ros2bag',
    'ros2 security': 'sros2', 'ros2 run rqt_runtime_monitor': 'rqt',
    'ros2 run rqt_robot_monitor': 'rqt', 'ros2 run diagnostic_aggregator': 'ros/diagnostics',
}
# Of robot_rl: understood, not run.
LONG = {'demo': 'minutes: test/system', 'demo-demonstrations': 'minutes: test/system',
        'new': 'the live graph: test_live_survey.py', 'up': 'until Ctrl-C: test_up.py',
        'status': 'the live graph: test_asking.py'}
LIVE = 'the live graph: test_live_graph.py'


class Parsed(BaseException):
    """Ends a script once it has understood its arguments."""


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
    """Make a folder with what the documents' commands are given."""
    folder = tmp_path_factory.mktemp('documented')
    for name in ('my_robot.yaml', 'my_arm_push.yaml'):
        (folder / name).write_text(CONTRACT.text)
    for run in ('runs/demo', 'runs/other', 'data/today', 'data/first'):
        write_demonstrations(folder / run / 'bags', CONTRACT, 2, 5, first=1, outcome='success')
        (folder / run / 'contract.yaml').write_text(CONTRACT.text)
    for number in (1, 2):
        bag = folder / 'runs/demo/bags' / f'episode_{number}'
        shutil.copytree(bag, folder / 'bags' / f'episode_{number:06d}')
    (folder / 'policy.safetensors').write_bytes(actor(CONTRACT, action=(0.1, 0.2, 0.3)))
    save_checkpoint(folder / 'runs/demo/checkpoints', {'x': np.zeros(2)}, {'updates': 2000},
                    CONTRACT, 3)
    np.savez(folder / 'demos.npz', state=np.full((6, 5), 100.0), action=np.full((6, 2), 90.0),
             episode_ends=np.array([3, 6]))
    with redirect_stdout(io.StringIO()):
        assert main(['export', str(folder / 'bags'), str(folder / 'low_dim.hdf5'), '--format',
                     'robomimic', '--contract', 'puck_push']) == 0
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """Return a copy of that folder, in which we are."""
    folder = tmp_path / 'place'
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


class Stub(ModuleType):
    """A module of launch: what a launch file makes of it is of no interest, but its arguments."""

    __path__ = []
    LaunchDescription = list

    @staticmethod
    def DeclareLaunchArgument(name, choices=None, **_):  # noqa: N802, launch calls it so
        """Return what was declared."""
        return SimpleNamespace(name=name, choices=choices)

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)
        return lambda *_, **__: SimpleNamespace(name=None)


def declared(file: str) -> dict[str, list[str] | None]:
    """Return what a launch file declares: {argument: choices}; launch itself is not needed."""
    stubs = {name: Stub(name) for name in (
        'launch', 'launch.actions', 'launch.substitutions', 'launch_ros', 'launch_ros.actions',
        'launch_ros.parameter_descriptions')}
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, 'robot_rl.ros.launching', raising=False)
        for name, stub in stubs.items():
            patch.setitem(sys.modules, name, stub)
        actions = runpy.run_path(str(ROOT / 'launch' / file))['generate_launch_description']()
        sys.modules.pop('robot_rl.ros.launching', None)
    return {action.name: action.choices for action in actions if action.name}


@pytest.fixture
def check(place, monkeypatch):
    """Return the check of each program."""
    def understood(self, *arguments):
        parse(self, *arguments)
        raise Parsed

    parse = argparse.ArgumentParser.parse_args
    monkeypatch.setattr('matplotlib.figure.Figure.savefig', _save_nothing)
    return {'make': _make, 'robot_rl': _robot_rl, 'pip': _pip, 'ros2': _ros2,
            'python': lambda command: _python(command, monkeypatch, understood)}


def _save_nothing(_, target, **__) -> None:
    """Save an empty picture; test/report/ draws them."""
    if isinstance(target, Path):
        target.write_bytes(b'')
    else:
        target.write('<svg></svg>' if isinstance(target, io.StringIO) else b'')


def listed(command: Command) -> bool:
    return any(f'{command.shown} '.startswith(f'{start} ') for start in LISTED)


@pytest.mark.parametrize('command', COMMANDS.values(), ids=COMMANDS)
def test_a_documented_command_works(check, command):
    if not listed(command):
        program = Path(command.words[0]).name
        assert program in check, f'no rule for {command.shown}: add one, or list it with a reason'
        check[program](command)


def test_nothing_is_listed_that_no_document_shows():
    shown = [f'{command.shown} ' for command in COMMANDS.values()]
    assert not [start for start in LISTED
                if not any(text.startswith(f'{start} ') for text in shown)]


def _make(command: Command) -> None:
    for target in command.words[1:]:
        assert re.search(rf'^{target}:', MAKEFILE, re.MULTILINE), target


def _pip(command: Command) -> None:
    """Hold it against setup.py; the package comes from the checkout, nobody has published it."""
    assert command.words[1] == 'install'
    known = set(re.findall(r"'([\w-]+)(?:[>=<\[][^']*)?'", SETUP.partition('install_requires')[2]))
    words = [word for word in command.words[2:] if word not in ('-c', 'constraints.txt')]
    for word in words:
        name, _, extras = word.rstrip(']').partition('[')
        assert name == '.' or re.split('[<>=]', name)[0] in known, word
        for extra in extras.split(',') if extras else ():
            assert f"'{extra}': [" in SETUP, extra


def _robot_rl(command: Command) -> None:
    """Run it on files of the same names; a part of a command has a help at least."""
    words = [word.removeprefix('/') if word.startswith('/data') else word
             for word in command.words[1:]]
    words = [found for word in words for found in sorted(glob.glob(word)) or [word]]
    with redirect_stdout(io.StringIO()) as printed:
        if command.inline and not os.path.exists(words[-1]):
            with pytest.raises(SystemExit) as ended:
                main([*words, '--help'])
            assert ended.value.code == 0
        elif words[0] in LONG or '--live' in words:
            from robot_rl.cli import build_parser
            assert build_parser().parse_args(words).run
        elif words[0] == 'set':
            _param((f'/{words[1]}', *words[2:]))
        elif words[0] == 'call':
            _call(*words[1:])
        else:
            assert main(words) == 0
            assert printed.getvalue()


def _call(service: str, *value: str) -> None:
    node, name = _name(f'/{service}')
    kind = 'SetBool' if value else 'Trigger'
    assert [name, f'`std_srvs/srv/{kind}`', 'serves'] in [
        row[:3] for row in rows(node, 'Services')]
    assert not value or value[0] in ('true', 'false')


def _python(command: Command, monkeypatch, understood) -> None:
    """Let a script understand its arguments, and end it there; it is never run as a script."""
    if command.words[1] == '-m':
        return
    script, given = ROOT / command.words[1], list(command.words[2:])
    assert script.is_file()
    if 'parse_args' not in script.read_text():      # takes numbers
        assert [float(word) for word in given]
        return
    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', understood)
    monkeypatch.setattr(sys, 'argv', [str(script), *given])
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(Parsed):
        runpy.run_path(str(script), run_name=script.stem)['main']()


def _ros2(command: Command) -> None:
    if command.words[1] == 'launch':
        _launch(command.words[2:])
    elif command.words[1:4] == ('run', NAME, NAME):
        _robot_rl(Command(command.words[3:], command.shown))
    elif command.words[1:3] == ('run', NAME) and command.words[4:] == ('--help',):
        assert command.words[3] in help_text(settings_of(command.words[3]))
    elif len(command.words) > 3 and '...' not in command.words:
        check = {('service', 'call'): _service, ('param', 'set'): _param,
                 ('topic', 'echo'): _topic}
        check[command.words[1:3]](command.words[3:])
    else:
        assert command.inline


def _launch(words: tuple[str, ...]) -> None:
    package, file, *given = words
    assert package == NAME
    arguments = declared(file)
    for text in given:
        name, joined, value = text.partition(':=')
        assert joined and name in arguments, f'{name}: {file} has {", ".join(arguments)}'
        assert not arguments[name] or value in arguments[name], text
        if name == 'nodes':
            assert set(value.split(',')) <= set(KINDS[file.partition('.')[0]])


def _name(text: str) -> tuple[str, str]:
    """Return the node, and the name as its tables have it."""
    _, node, name = text.split('/')
    return node, f'`~/{name}`'


def _service(words: tuple[str, ...]) -> None:
    node, name = _name(words[0])
    kind = f'`{words[1]}`'
    assert [name, kind, 'serves'] in [row[:3] for row in rows(node, 'Services')]
    package, _, type_name = words[1].split('/')
    request = getattr(importlib.import_module(f'{package}.srv'), type_name).Request()
    wanted = set(request.get_fields_and_field_types())
    given = yaml.safe_load(words[2]) if len(words) > 2 else {}
    assert set(given) == wanted
    for field, value in given.items():
        assert type(getattr(request, field)) is type(value)


def _param(words: tuple[str, ...]) -> None:
    node, name, text = words
    item, value = settings(node.removeprefix('/'))[name], yaml.safe_load(text)
    data = item.metadata
    assert type(value) is (list if isinstance(item.default, tuple) else type(item.default))
    assert data['live'], f'{name} cannot be set while the node runs'
    assert not data['choices'] or value in data['choices']
    assert data['low'] is None or value >= data['low']
    assert data['high'] is None or value <= data['high']


def _topic(words: tuple[str, ...]) -> None:
    whole = words[0].count('/') == 1        # as /diagnostics, which every node publishes
    node, name = (list(NODES)[0], f'`{words[0]}`') if whole else _name(words[0])
    assert [name, 'publishes'] in [[row[0], row[2]] for row in rows(node, 'Topics')]


@pytest.mark.parametrize('text', [text for name, text in blocks('python') if 'recording' in name])
def test_a_documented_program_runs(place, text):
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(text, 'documented', 'exec'), {'__name__': '__main__'})  # noqa: S102
    assert printed.getvalue()


def test_a_command_that_is_wrong_is_noticed(check):
    wrong = ('make coffee', 'robot_rl chekc my_robot.yaml', 'pip install robot_rl',
             'ros2 launch robot_rl sim.launch.py contrakt:=x',
             'ros2 param set /policy_server mod x', 'ros2 param set /policy_server mode sing',
             'ros2 param set /policy_server seed 3', 'ros2 run robot_rl policy',
             'ros2 service call /policy_server/run std_srvs/srv/Trigger',
             'ros2 service call /policy_server/run std_srvs/srv/SetBool',
             'ros2 topic echo /policy_server/nothing', 'python benchmarks/lock.py --no-such',
             'robot_rl call policy_server/run', 'robot_rl call policy_server/stop true',
             'robot_rl set policy_server mode sing', 'robot_rl up')
    for text in wrong:
        words = tuple(text.split())
        with pytest.raises((AssertionError, KeyError, SystemExit)):
            check[words[0]](Command(words, text))
