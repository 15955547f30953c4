"""A second node of the same name, and a second commander, are told by the nodes themselves."""

from __future__ import annotations

from every_node import folders, node_class
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from robot_rl.ros import neighbours
from robot_rl.ros.health import ERROR, WARN
from robot_rl.ros.qos import COMMAND, LATCHED
from std_msgs.msg import Float64MultiArray

COMMANDS = 'arm_controller/commands'


@pytest.fixture
def another():
    """Start a node of a context of its own, as another process does; it ends with the test."""
    context = Context()
    rclpy.init(context=context)
    nodes = []

    def begin(name: str, namespace: str = '') -> Node:
        nodes.append(Node(name, namespace=namespace, context=context))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


@pytest.fixture
def watch(start, tmp_path):
    """Start a node under test; return its bench, which holds every status in `told`."""
    def begin(name: str):
        bench = start(node_class(name), **folders(name, tmp_path))
        bench.told = bench.listen('diagnostic_msgs/msg/DiagnosticArray', f'{name}/status', LATCHED)
        return bench
    return begin


def say(bench, level: bytes, text: str) -> None:
    """Wait until the newest status has the level and contains the text."""
    def said():
        newest = bench.told[-1].status[0] if bench.told else None
        return newest and newest.level == level and text in newest.message
    bench.until(said)


@pytest.mark.parametrize('name', ['safety_stop', 'policy_server'])
def test_a_second_node_of_the_name_is_an_error_while_it_is_there_and_logged_once(
        watch, another, capfd, monkeypatch, name):
    monkeypatch.setattr(neighbours, 'GHOST', 0.0)
    bench = watch(name)
    twin = another(name)
    error = f'2 nodes are called /{name}: end all but one'
    say(bench, ERROR, f'{error}; ')
    seen = len(bench.told)
    bench.until(lambda: len(bench.told) > seen + 1)
    assert capfd.readouterr().err.count(error) == 1
    twin.destroy_node()
    bench.until(lambda: error not in bench.told[-1].status[0].message)


def test_a_node_of_the_name_in_another_namespace_is_none(watch, another):
    bench = watch('safety_stop')
    another('safety_stop', namespace='left')
    bench.until(lambda: ('safety_stop', '/left') in bench.node.get_node_names_and_namespaces())
    seen = len(bench.told)
    bench.until(lambda: len(bench.told) > seen + 1)
    assert bench.told[-1].status[0].message == 'not armed'


@pytest.mark.parametrize('ghost, told', [(3600.0, False), (0.0, True)])
def test_one_that_was_there_before_may_have_been_killed_and_is_told_only_if_it_stays(
        another, start, monkeypatch, ghost, told):
    monkeypatch.setattr(neighbours, 'GHOST', ghost)
    another('safety_stop')
    bench = start(node_class('safety_stop'))
    bench.until(lambda: bench.node.get_fully_qualified_node_names().count('/safety_stop') == 2)
    assert bool(neighbours.Neighbours(bench.node).look().reason) == told


def test_one_that_comes_later_is_told_at_once(another, start, monkeypatch):
    monkeypatch.setattr(neighbours, 'GHOST', 3600.0)
    bench = start(node_class('safety_stop'))
    company = neighbours.Neighbours(bench.node)
    assert company.look().reason == ''
    another('safety_stop')
    bench.until(lambda: company.look().level == neighbours.ERROR)


def test_a_second_commander_is_a_warning_of_the_policy_server(watch, another):
    bench = watch('policy_server')
    stranger = another('teleop')
    publisher = stranger.create_publisher(Float64MultiArray, COMMANDS, COMMAND)
    say(bench, WARN, f'/teleop may command /{COMMANDS} as well; learn')
    stranger.destroy_publisher(publisher)
    bench.until(lambda: 'teleop' not in bench.told[-1].status[0].message)


def test_the_watchdog_is_no_stranger_to_the_policy_server(watch, another):
    bench = watch('policy_server')
    watchdog = another('safety_stop')
    watchdog.create_publisher(Float64MultiArray, COMMANDS, COMMAND)
    bench.until(lambda: bench.node.count_publishers(COMMANDS) == 2)
    seen = len(bench.told)
    bench.until(lambda: len(bench.told) > seen + 1)
    assert bench.told[-1].status[0].message.startswith('learn')
