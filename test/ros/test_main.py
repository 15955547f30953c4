from __future__ import annotations

import os
import subprocess
import sys

from episodes import make_record
from every_node import folders, NODES
import pytest
from robot_rl.bringup import command, NodeSpec
from robot_rl.contract import load_contract
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner
from robot_rl.ros.main import _spin, OUT_OF_ORDER

ONE_NODE = 'policy_server'


@pytest.fixture
def refuse(tmp_path):
    """Start a node process that must end by itself; return (exit code, its output)."""
    def begin(name: str, *arguments: str, **parameters) -> tuple[int, str]:
        values = {'contract': 'reach', **folders(name, tmp_path), **parameters}
        argv = command(NodeSpec(name, name, '', values, (), '')) + list(arguments)
        result = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        return result.returncode, result.stdout + result.stderr
    return begin


def one_line(output: str) -> str:
    """Return the one error line for the user; rcl logs lines of its own in front of it."""
    lines = [line for line in output.splitlines() if not line.startswith('[')]
    assert 'Traceback' not in output
    assert [line.startswith('error: ') for line in lines] == [True], output
    return lines[0]


@pytest.mark.parametrize('name', NODES)
def test_a_bad_contract_ends_a_node_with_2_and_every_problem(refuse, tmp_path, name):
    path = tmp_path / 'bad.yaml'
    path.write_text('task: reach\ncontrol_rate: -1\n')
    code, output = refuse(name, contract=str(path))
    assert code == 2
    assert 'Traceback' not in output
    assert f'error: {path}: control_rate: expected a finite number > 0.0, found -1' in output
    assert f'{path}: observation: expected' in output


def test_a_missing_contract_is_named(refuse):
    code, output = refuse(ONE_NODE, contract='/nowhere/robot.yaml')
    assert (code, '/nowhere/robot.yaml: file: ' in one_line(output)) == (2, True)


@pytest.mark.parametrize('name', NODES)
def test_a_node_without_a_contract_says_how_to_name_one(refuse, name):
    code, output = refuse(name, contract='')
    assert (code, one_line(output)) == (2, (
        'error: contract: expected a YAML file or the name of a shipped contract, found nothing; '
        'start it with --ros-args -p contract:=my_robot.yaml'))


@pytest.mark.parametrize('arguments, said', [
    (('-p', 'seed:=abc'), 'seed'), (('-p', 'seed:=-1'), 'seed'),
    (('-p', 'mode:="fly"'), 'mode: expected one of random, learn, evaluate'),
    (('-p', 'reset_timeout:=[1, "a"'), 'reset_timeout'),
    (('-p', 'use_sim_time:=7'), 'use_sim_time'),
    (('--params-file', '/nowhere.yaml'), '/nowhere.yaml'), (('--bogus',), '--bogus')])
def test_bad_ros_arguments_end_a_node_with_2_and_one_line(refuse, arguments, said):
    code, output = refuse(ONE_NODE, *arguments)
    assert code == 2
    assert said in one_line(output)


def test_a_parameter_file_that_is_not_yaml_ends_a_node_with_2_and_one_line(refuse, tmp_path):
    path = tmp_path / 'params.yaml'
    path.write_text('policy_server:\n  ros__parameters: [a, {b\n')
    code, output = refuse(ONE_NODE, '--params-file', str(path))
    assert (code, str(path) in one_line(output)) == (2, True)


@pytest.mark.parametrize('section', ['/**', 'policy_server', '/**/policy_server'])
def test_a_misspelt_parameter_of_a_file_ends_a_node_with_2_and_one_line(
        refuse, tmp_path, section):
    path = tmp_path / 'params.yaml'
    path.write_text(f'{section}:\n  ros__parameters:\n    reset_timout: 3.0\n')
    code, output = refuse(ONE_NODE, '--params-file', str(path))
    assert (code, "found 'reset_timout'; did you mean reset_timeout?" in one_line(output)) == (
        2, True)


def test_a_simulator_without_a_simulation_section_says_so(refuse, make_contract):
    text = load_contract('reach').text
    contract = make_contract(**{text[text.index('simulation:'):]: ''})
    code, output = refuse('sim_bridge', contract=str(contract.file))
    assert (code, 'simulation: expected' in one_line(output)) == (2, True)


def test_an_unknown_gap_ends_the_simulator_with_those_that_exist(refuse):
    code, output = refuse('sim_bridge', gap='wild')
    assert (code, 'one of none, mild, declared' in one_line(output)) == (2, True)


def test_a_folder_in_use_ends_the_second_recorder(refuse, tmp_path):
    holder = subprocess.Popen(
        [sys.executable, '-c', 'import fcntl, sys\nfile = open(sys.argv[1], "a")\n'
         'fcntl.flock(file, fcntl.LOCK_EX)\nprint("held", flush=True)\nsys.stdin.read()',
         str(tmp_path / '.lock')], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b'held\n'
        code, output = refuse('data_recorder', bag_root=str(tmp_path))
    finally:
        holder.communicate()
    assert (code, f'{tmp_path}: another recorder' in one_line(output)) == (2, True)


def test_a_checkpoint_of_another_contract_ends_the_learner_with_file_and_key(
        refuse, make_contract, tmp_path):
    other = make_contract(**{'control_rate: 20.0': 'control_rate: 10.0'})
    learner = Learner(other, LearnerConfig(), SacConfig(width=8))
    learner.updates = 40
    path = learner.save(tmp_path / 'checkpoints', keep=3)
    code, output = refuse('sac_learner', width=8)
    assert code == 2
    assert 'Traceback' not in output
    assert f'error: {path}: made under another contract, refused' in output
    assert 'control_rate: expected 20.0, found 10.0' in output


def test_a_checkpoint_with_other_settings_ends_the_learner_with_file_and_key(
        refuse, make_contract, tmp_path):
    contract = make_contract()
    learner = Learner(contract, LearnerConfig(), SacConfig(width=8))
    learner.add('one', make_record(contract, 1, 1).transitions, 1)
    path = learner.save(tmp_path / 'checkpoints', keep=3)
    code, output = refuse('sac_learner', width=16)
    assert (code, str(path) in one_line(output)) == (2, True)


@pytest.mark.parametrize('made, said', [(False, 'no such file or folder'), (True, 'no bag in it')])
def test_demo_bags_that_are_none_end_the_learner_with_their_folder(refuse, tmp_path, made, said):
    folder = tmp_path / 'demos'
    if made:
        folder.mkdir()
    code, output = refuse('sac_learner', demo_bags=[str(folder)])
    assert code == 2
    assert said in one_line(output.replace('[INFO]', '['))
    assert str(folder) in output


class Interrupted:
    """An executor that raises what it is given, one error a spin, and then is stopped."""

    def __init__(self, *errors: str):
        self.errors, self.logged = list(errors), []

    def done(self) -> bool:
        return not self.errors

    def spin_until_future_complete(self, stopped) -> None:
        raise RuntimeError(self.errors.pop())

    def get_logger(self):
        return self

    def error(self, text: str) -> None:
        self.logged.append(text)


def test_a_lifecycle_request_out_of_order_does_not_end_a_node():
    spinning = Interrupted(f'{OUT_OF_ORDER}: not registered', f'{OUT_OF_ORDER}: not registered')
    _spin(spinning, spinning, spinning)
    assert len(spinning.logged) == 2


def test_any_other_error_does():
    spinning = Interrupted('out of memory')
    with pytest.raises(RuntimeError, match='out of memory'):
        _spin(spinning, spinning, spinning)


LOOK = """
import importlib, sys
import rclpy
from robot_rl.errors import UserError

def look():     # in place of the node
    node = rclpy.create_node('any')
    print('/dev/shm/fastdds' in open('/proc/self/maps').read())
    raise UserError('seen')

module = importlib.import_module(f'robot_rl.nodes.{sys.argv[1]}')
setattr(module, sys.argv[2], look)
module.main()
"""


@pytest.mark.parametrize('module, node, shares', [
    ('policy_server', 'PolicyServer', 'False'), ('safety_stop', 'SafetyStop', 'False'),
    ('data_recorder', 'DataRecorder', 'True')])
def test_who_commands_the_robot_keeps_out_of_shared_memory(module, node, shares):
    environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}
    environment.pop('FASTDDS_BUILTIN_TRANSPORTS', None)
    said = subprocess.run([sys.executable, '-c', LOOK, module, node], env=environment, text=True,
                          capture_output=True, timeout=60)
    assert said.stdout.split() == [shares], said.stderr
