"""`--help` of every node: what it does and its parameters, before anything heavy is imported."""

from __future__ import annotations

from dataclasses import fields
import subprocess
import sys

from every_node import NODES, settings
import pytest
from robot_rl.data.ingest import OUTCOMES
from robot_rl.ros import start
from robot_rl.ros.help import help_text
from robot_rl.ros.settings import settings_of

ASK = """
import sys
from robot_rl.ros import start
sys.argv = ['node', sys.argv[1]]
codes = [getattr(start, name)() for name in {names!r}]
print(codes, sorted({{'torch', 'mujoco', 'rclpy'}} & set(sys.modules)))
"""


@pytest.mark.parametrize('word', ['--help', '-h'])
def test_every_executable_says_what_it_does_before_it_imports_anything_heavy(word):
    result = subprocess.run([sys.executable, '-c', ASK.format(names=list(NODES)), word],
                            capture_output=True, text=True, timeout=60)
    *helps, last = result.stdout.splitlines()
    assert (result.stderr, last) == ('', f'{[0] * len(NODES)} []')
    assert [line for line in helps if line.startswith('usage: ')] == [
        f'usage: {name} --ros-args [-p NAME:=VALUE ...] [--params-file FILE]' for name in NODES]


def test_a_node_that_is_run_as_a_module_says_it_too(tmp_path):
    result = subprocess.run([sys.executable, '-m', 'robot_rl.nodes.safety_stop', '--help'],
                            capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (
        0, help_text(settings_of('safety_stop')) + '\n')


@pytest.mark.parametrize('name', NODES)
def test_the_help_has_every_parameter_with_type_default_and_description(name):
    shown = help_text(settings_of(name))
    words = ' '.join(shown.split())
    for item in fields(settings_of(name)):
        assert f'\n  {item.name}: ' in shown
        assert item.metadata['description'] in words, item.name
    assert max(map(len, shown.splitlines())) <= 99


def test_the_help_of_the_watchdog():
    assert help_text(settings_of('safety_stop')).startswith("""\
usage: safety_stop --ros-args [-p NAME:=VALUE ...] [--params-file FILE]

Stops the robot when policy_server is dead, hung or cut off.

parameters:
  contract: string = ''
      Contract file, or the name of a shipped contract
  timeout: double = 0.1
      Silence of the heartbeat in wall time that stops the robot, s; 0.02 to 60.0
""")


@pytest.mark.parametrize('name', NODES)
def test_a_node_declares_what_its_help_tells(name):
    assert list(settings(name).values()) == list(fields(settings_of(name)))
    assert callable(getattr(start, name))


def test_the_outcomes_to_choose_from_are_those_that_the_reader_knows():
    assert settings('demo_ingest')['outcomes'].metadata['choices'] == OUTCOMES
