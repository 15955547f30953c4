"""`robot_rl up` with programs in place of nodes; test/ros/test_asking.py starts real ones."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from robot_rl import bringup
from robot_rl.cli import main
from robot_rl.commands import up as up_command
from robot_rl.contract import load_contract

PATIENCE = 20.0     # s
STAYS = ('import signal, time; signal.signal(signal.SIGINT, lambda *_: exit(0)); '
         'print("up", flush=True); time.sleep(60)')
FAILS = 'print("no such thing"); exit(3)'


@pytest.fixture
def started(monkeypatch):
    """Put programs in place of nodes; return the specs of those that were started."""
    def put(**programs: str) -> list:
        def command(spec, log_level=''):
            specs.append(spec)
            return [sys.executable, '-c', programs.get(spec.name, STAYS)]
        specs: list = []
        monkeypatch.setattr(bringup, 'command', command)
        return specs
    monkeypatch.setattr('robot_rl.commands.up.find_spec', lambda name: name)
    monkeypatch.setattr('robot_rl.commands.up.live_module', lambda name: SimpleNamespace(
        running=lambda names, namespace: []))
    return put


def when(condition, number: int = signal.SIGINT) -> threading.Thread:
    """Signal this process as a terminal would, once the condition holds."""
    def wait():
        deadline = time.monotonic() + PATIENCE
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), number)
    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def up(folder: Path, *names: str) -> bool:
    return all((folder / f'{name}.log').is_file() and 'up' in (folder / f'{name}.log').read_text()
               for name in names)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_graph_ends_with_0_once_it_is_interrupted(started, tmp_path, capsys, number):
    specs = started()
    logs, names = tmp_path / 'logs', bringup.KINDS['robot']
    thread = when(lambda: up(logs, *names), number)
    assert main(['up', 'reach', '--run-dir', str(tmp_path)]) == 0
    thread.join()
    printed = capsys.readouterr().out
    assert f'started     {", ".join(names)}\n' in printed and f'{logs}/NODE.log' in printed
    assert 'failed' not in printed
    assert signal.getsignal(signal.SIGTERM) is not signal.default_int_handler
    assert tuple(spec.name for spec in specs) == names
    assert (tmp_path / 'contract.yaml').read_text() == load_contract('reach').text


def test_a_node_that_dies_is_told_with_its_last_words_and_the_others_go_on(
        started, tmp_path, monkeypatch, capsys):
    started(safety_stop=FAILS)
    told, tell = [], up_command._tell
    monkeypatch.setattr(up_command, '_tell', lambda text: told.append((tell(text), text)))
    thread = when(lambda: up(tmp_path / 'logs', 'policy_server')
                  and any('no such thing' in text for _, text in told))
    assert main(['up', 'reach', '--run-dir', str(tmp_path), '--nodes',
                 'safety_stop, policy_server']) == 1
    thread.join()
    printed = capsys.readouterr().out
    assert 'safety_stop ended with code 3, the others go on; its log ends with\nno such thing\n' \
        in printed
    assert printed.endswith('failed: safety_stop (code 3)\n')


def test_it_ends_when_no_node_is_left(started, tmp_path, capsys):
    started(policy_server='exit(0)')
    assert main(['up', 'reach', '--run-dir', str(tmp_path), '--nodes', 'policy_server']) == 0
    printed = capsys.readouterr().out
    assert 'policy_server has ended\n' in printed and printed.endswith('no node is left\n')


@pytest.mark.parametrize('kind', bringup.KINDS)
def test_the_nodes_are_those_of_the_launch_file(started, tmp_path, kind):
    specs = started(**dict.fromkeys(bringup.KINDS[kind], 'exit(0)'))
    parameters = tmp_path / 'mine.yaml'
    parameters.write_text('')
    asked = [] if kind == 'robot' else [f'--{kind}']
    assert main(['up', 'reach', *asked, '--namespace', 'cell',
                 '--params-file', str(parameters), '--run-dir', str(tmp_path)]) == 0
    assert tuple(specs) == bringup.graph(
        kind, contract='reach', params_file=str(parameters), namespace='cell',
        run_dir=str(tmp_path), use_sim_time=kind == 'sim', autostart=True)     # ros/launching.py


def test_bad_input_is_refused_before_anything_starts(started, tmp_path, monkeypatch, capsys):
    specs = started()
    broken = tmp_path / 'broken.yaml'
    broken.write_text('task: x\n')
    bare = tmp_path / 'bare.yaml'
    bare.write_text(load_contract('reach').text.replace('site: tip', 'site: tipp'))
    for argv, text in ((['absent.yaml'], 'absent.yaml'), ([str(broken)], 'broken.yaml'),
                       ([str(bare), '--sim'], 'simulation.observation.tip'),
                       (['ur5e_forward', '--sim'], 'simulation: expected a section'),
                       (['reach', '--nodes', 'polcy_server'], "found 'polcy_server'"),
                       (['reach', '--params-file', 'absent.yaml'], 'params_file')):
        assert main(['up', *argv, '--run-dir', str(tmp_path / 'run')]) == 2
        assert text in capsys.readouterr().err
    monkeypatch.setattr('robot_rl.commands.up.find_spec', lambda name: None)
    assert main(['up', 'reach', '--run-dir', str(tmp_path / 'run')]) == 2
    assert 'rclpy: expected ROS 2' in capsys.readouterr().err
    assert not specs and not (tmp_path / 'run').exists()


def test_a_run_folder_that_cannot_be_made_fails_before_anything_starts(started, tmp_path, capsys):
    started()
    (tmp_path / 'file').write_text('')
    assert main(['up', 'reach', '--run-dir', str(tmp_path / 'file')]) == 1
    assert capsys.readouterr().err == (
        f'error: {tmp_path}/file/logs: cannot be written: Not a directory; name a folder that can '
        'be written\n')


def test_a_node_that_was_killed_is_told_by_its_signal(started, tmp_path, capsys):
    started(policy_server='import os; os.kill(os.getpid(), 9)')
    assert main(['up', 'reach', '--run-dir', str(tmp_path), '--nodes', 'policy_server']) == 1
    printed = capsys.readouterr().out
    assert 'policy_server was killed by signal 9, the others go on; ' in printed
    assert printed.endswith('failed: policy_server (killed by signal 9)\n')


def test_a_node_that_runs_already_is_refused(started, tmp_path, monkeypatch, capsys):
    specs = started()
    asked = []

    def running(names, namespace):
        asked.append((names, namespace))
        return ['/cell/policy_server']
    monkeypatch.setattr('robot_rl.commands.up.live_module',
                        lambda name: SimpleNamespace(running=running))
    monkeypatch.setenv('ROS_DOMAIN_ID', '7')
    argv = ['up', 'reach', '--run-dir', str(tmp_path / 'run'), '--namespace', 'cell', '--nodes',
            'policy_server,safety_stop']
    assert main(argv) == 2
    assert capsys.readouterr().err == (
        'error: /cell/policy_server already runs in ROS_DOMAIN_ID 7: end it, or give this graph '
        '--namespace, or another ROS_DOMAIN_ID; one that was killed just now is seen for 20 s '
        'more\n')
    assert asked == [(['safety_stop', 'policy_server'], 'cell')] and not specs
    assert not (tmp_path / 'run').exists()


def test_a_section_of_no_node_is_a_warning(started, tmp_path, capsys):
    started(policy_server='exit(0)')
    file = tmp_path / 'mine.yaml'
    file.write_text('policy_server: {ros__parameters: {seed: 1}}\n')
    assert main(['up', 'reach', '--run-dir', str(tmp_path), '--nodes', 'policy_server',
                 '--namespace', 'cell', '--params-file', str(file)]) == 0
    assert capsys.readouterr().err == (
        f'warning: {file}: section policy_server is of no node that is started here; '
        'write /**/policy_server\n')
