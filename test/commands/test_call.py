"""What `robot_rl call`, `set` and `status` print; test/ros/test_asking.py asks real nodes."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest
from robot_rl.cli import main

ROS_2 = 'robot_rl.commands.call.live_module'


@pytest.fixture
def asking(monkeypatch):
    """Put a graph in place of ROS 2 that answers as told, and keeps what it was asked."""
    stub = SimpleNamespace(asked=[], answer=(True, ''), HEARD=4.0, NODES=(
        'safety_stop', 'policy_server', 'data_recorder', 'sac_learner', 'demo_ingest'))

    def ask(*words):
        stub.asked.append(words)
        return stub.answer

    stub.call = stub.set_parameter = stub.statuses = ask
    monkeypatch.setattr(ROS_2, lambda name: stub)
    return stub


def said(level: str, text: str, **values: str) -> SimpleNamespace:
    return SimpleNamespace(level=level, text=text, values=tuple(values.items()))


def table(capsys) -> list[list[str]]:
    return [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()[1:]]


def test_the_answer_of_a_service_is_printed(asking, capsys):
    asking.answer = True, 'running'
    assert main(['call', 'policy_server/run', 'true', '--namespace', 'cell']) == 0
    assert capsys.readouterr().out == 'running\n'
    assert main(['call', 'policy_server/stop']) == 0
    assert asking.asked == [('policy_server/run', True, 'cell'), ('policy_server/stop', None, '')]


def test_a_refusal_ends_with_1(asking, capsys):
    asking.answer = False, 'was not stopped'
    assert main(['call', 'policy_server/clear_stop']) == 1
    assert main(['set', 'policy_server', 'mode', 'sing']) == 1
    assert capsys.readouterr().out == 'refused: was not stopped\n' * 2


@pytest.mark.parametrize('text, value', [('random', 'random'), ('3', 3), ('0.5', 0.5), ('-1', -1),
                                         ('false', False), ('[1, 2]', [1, 2]), ("'7'", '7')])
def test_a_value_is_read_as_yaml(asking, text, value):
    assert main(['set', 'policy_server', 'x', text]) == 0
    (_, _, found, written, _), = asking.asked
    assert (found, type(found), written) == (value, type(value), text)


@pytest.mark.parametrize('text', ['{a: 1}', '[', '', str(2 ** 63), '[[1]]', '2024-01-01'])
def test_a_value_that_no_parameter_has_is_refused(asking, text, capsys):
    assert main(['set', 'policy_server', 'x', text]) == 2
    assert f'found {text!r}' in capsys.readouterr().err and not asking.asked


@pytest.mark.parametrize('argv', [['call', 'a b'], ['call', '~/run'], ['call', 'x/run', 'yes'],
                                  ['set', 'policy_server', 'mode'], ['status', '-1']])
def test_a_command_line_that_is_wrong_is_refused(asking, argv):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2 and not asking.asked


def test_a_status_is_a_line_of_each_node(asking, capsys):
    asking.answer = dict.fromkeys(asking.NODES, said('ok', 'idle')) | {
        'safety_stop': said('warn', 'not armed')}
    assert main(['status']) == 0
    assert table(capsys) == [['safety_stop', 'warn', 'not armed'],
                             *([name, 'ok', 'idle'] for name in asking.NODES[1:])]


def test_a_node_of_the_robot_that_is_silent_beside_others_is_absent(asking, capsys):
    asking.answer = {'safety_stop': said('ok', 'armed'), 'data_recorder': said('ok', 'waiting')}
    assert main(['status']) == 1
    silent = ['absent', 'said nothing in 4 s']
    assert table(capsys) == [['safety_stop', 'ok', 'armed'], ['policy_server', *silent],
                             ['data_recorder', 'ok', 'waiting'], ['sac_learner', *silent]]


def test_demo_ingest_needs_nobody_beside_it(asking, capsys):
    asking.answer = {'demo_ingest': said('ok', 'no scan yet')}
    assert main(['status']) == 0
    assert table(capsys) == [['demo_ingest', 'ok', 'no scan yet']]


def test_the_status_of_one_node_has_its_figures_below(asking, capsys):
    asking.answer = {'policy_server': said('ok', 'idle', episodes='12', policy='learned 3')}
    assert main(['status', 'policy_server']) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        '', '  figure    value', '  episodes  12', '  policy    learned 3']


def test_a_misspelt_node_is_told_with_what_may_be_meant(asking, capsys):
    asking.answer = {}
    assert main(['status', 'polcy_server']) == 1
    assert 'did you mean policy_server?' in capsys.readouterr().out


def test_an_error_and_silence_end_with_1(asking, monkeypatch, capsys):
    monkeypatch.setenv('ROS_DOMAIN_ID', '99')
    asking.answer = {'policy_server': said('error', 'stopped: watchdog')}
    assert main(['status', 'policy_server']) == 1
    asking.answer = {}
    assert main(['status', 'policy_server']) == 1
    assert main(['status']) == 1
    printed = capsys.readouterr().out
    assert 'policy_server said nothing in 4 s in ROS_DOMAIN_ID=99\n' in printed
    assert 'no node of robot_rl said anything in 4 s in ROS_DOMAIN_ID=99\n' in printed


def test_without_ros_2_it_says_so(monkeypatch, capsys):
    def absent(name):
        if name.startswith('robot_rl.ros'):
            raise ModuleNotFoundError(name='rclpy')
        return found(name)
    found = importlib.import_module
    monkeypatch.setattr('importlib.import_module', absent)
    assert main(['status']) == 2
    assert 'rclpy: expected ROS 2' in capsys.readouterr().err
