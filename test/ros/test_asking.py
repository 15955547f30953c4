"""An operator without `ros2`: up, status, set and call on real nodes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from rclpy.parameter import Parameter
from robot_rl.cli import main
from robot_rl.ros import asking

PATIENCE = 60.0     # s
CELL = ('--namespace', 'cell')


@pytest.fixture(scope='module')
def shell(tmp_path_factory):
    """Start policy_server and safety_stop by `robot_rl up`, which ends with 0 on Ctrl-C."""
    folder = tmp_path_factory.mktemp('up')
    process = subprocess.Popen(
        [sys.executable, '-m', 'robot_rl.cli', 'up', 'reach', '--run-dir', str(folder), *CELL,
         '--nodes', 'safety_stop,policy_server'], stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + PATIENCE
        while len(asking.statuses(('policy_server', 'safety_stop'), 'cell')) < 2:
            assert process.poll() is None and time.monotonic() < deadline
        yield folder
    finally:
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, printed
    assert 'failed' not in printed


@pytest.fixture
def run(shell, capsys, monkeypatch):
    """Run a command; return (exit code, what it printed)."""
    def command(*words: str) -> tuple[int, str]:
        code = main([*words, *CELL])
        printed = capsys.readouterr()
        return code, printed.out + printed.err
    monkeypatch.setattr(asking, 'HEARD', 20.0)      # however busy the machine is
    monkeypatch.setattr(asking, 'PRESENT', 20.0)
    monkeypatch.setattr(asking, 'FRESH', 3.0)
    monkeypatch.setattr(asking, 'LOOK', 20.0)
    return command


def test_a_node_says_how_it_is(run):
    code, printed = run('status', 'policy_server')
    assert code == 0 and 'policy_server  ok     learn' in printed and 'idle' in printed
    assert '\n\n  figure ' in printed and '\n  policy_version ' in printed


def test_nodes_of_the_robot_that_are_not_there_are_absent(run, monkeypatch):
    monkeypatch.setattr(asking, 'HEARD', 6.0)
    code, printed = run('status')
    assert code == 1 and 'data_recorder  absent  said nothing in 6 s' in printed
    assert 'policy_server  ok' in printed and 'sim_bridge' not in printed


def test_a_second_graph_of_that_name_is_refused(run, tmp_path):
    code, printed = run('up', 'reach', '--run-dir', str(tmp_path / 'run'))
    assert code == 2 and 'error: /cell/' in printed and ' already run' in printed
    assert not (tmp_path / 'run').exists()


def test_nodes_that_are_not_there_do_not_run():
    assert asking.running(['policy_server'], 'elsewhere') == []


def test_a_service_is_called_and_answers(run):
    assert run('call', 'policy_server/stop') == (0, 'stopped until clear_stop\n')
    code, printed = run('status', 'policy_server')
    assert code == 1 and 'stopped: operator' in printed
    assert run('call', '/cell/policy_server/clear_stop') == (0, 'cleared: operator\n')
    assert run('call', 'policy_server/run', 'false')[0] == 0
    assert run('call', 'policy_server/clear_stop') == (1, 'refused: was not stopped\n')


def test_a_call_that_fits_no_service_is_refused(run, monkeypatch):
    assert run('call', 'policy_server/run') == (
        2, 'error: /cell/policy_server/run: expected true or false after it, found nothing\n')
    assert run('call', 'policy_server/stop', 'true')[0] == 2
    monkeypatch.setattr(asking, 'PRESENT', 1.0)
    code, printed = run('call', 'policy_server/stpo')
    assert code == 2 and '/cell/policy_server/stpo: expected a service of type' in printed
    code, printed = run('set', 'data_recorder', 'mode', 'x')
    assert code == 2 and 'is its node up?' in printed
    monkeypatch.setattr(asking, 'PRESENT', 5.0)     # it has to find who else is there
    code, printed = run('set', 'polcy_server', 'mode', 'x')
    assert code == 2 and 'did you mean policy_server?' in printed


def test_a_parameter_is_set_or_refused(run):
    assert run('set', 'policy_server', 'mode', 'random') == (0, 'mode is random\n')
    assert 'random: idle' in run('status', 'policy_server')[1]
    assert run('set', 'policy_server', 'explore_fraction', '1') == (0, 'explore_fraction is 1\n')
    code, printed = run('set', 'policy_server', 'mode', '7')
    assert code == 1 and "found '7'" in printed


def test_a_parameter_that_is_not_there_or_of_another_type_is_bad_input(run):
    code, printed = run('set', 'policy_server', 'moode', 'random')
    assert code == 2 and 'did you mean mode?' in printed
    code, printed = run('set', 'policy_server', 'run_episodes', 'many')
    assert code == 2 and "expected a value of type integer, found 'many'" in printed


def test_one_value_in_place_of_a_list_is_advised_of():
    kind = Parameter.Type.STRING_ARRAY
    assert asking.wrong_type(kind, 'run1/bags', 'run1/bags') == (
        "expected a value of type string_array, found 'run1/bags'; write '[run1/bags]'")
    assert asking.wrong_type(kind, [3], '[3]').endswith("found '[3]'")


def test_a_name_that_is_not_there_is_advised_of():
    offered = ('/policy_server/stop', '/policy_server/run')
    assert asking.advice('/policy_server/stpo', offered).startswith(
        'did you mean /policy_server/stop')
    assert asking.advice('/arm/reset', offered) == 'is its node up? see robot_rl status'
