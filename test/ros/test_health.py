from __future__ import annotations

import socket
import tracemalloc

from diagnostic_msgs.msg import DiagnosticStatus
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from robot_rl.ros.codecs import status_values
from robot_rl.ros.health import ERROR, Health, HealthReporter, OK, WARN
from robot_rl.ros.qos import LATCHED
from robot_rl.vitals.limits import at_least, at_most, Part


@pytest.fixture
def report():
    """Publish a health once from a node in namespace /left; return the message."""
    rclpy.init()
    node = Node('worker', namespace='left')
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def once(health: Health, *parts: Part):
        received = []
        reporter = HealthReporter(node, lambda: health, 'reach', lambda: parts, period=3600.0)
        once.reporters.append(reporter)
        node.create_subscription(type(reporter._status.msg_type()), '~/status', received.append,
                                 LATCHED)
        reporter.publish()
        while not received:
            executor.spin_once(timeout_sec=1.0)
        return received[0]

    once.reporters = []
    yield once
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()


def test_the_first_status_is_how_the_node_is_whatever_the_limits_say(report):
    first = report(Health('stopped', {'episodes': 3}, ERROR),
                   Part('topics', {}, [at_least('arm', 12.1, 18.0, unit='Hz')])).status[0]
    assert (first.name, first.message, first.level) == ('left/worker: status', 'stopped', ERROR)
    values = {pair.key: pair.value for pair in first.values}
    assert values == {'episodes': '3', 'limits': 'topics: arm: 12.1 Hz, at least 18 expected'}


def test_a_part_has_the_worst_level_of_its_figures_and_all_reasons(report):
    statuses = report(Health('well'), Part('control', {'tick_p99_ms': 61.04321, 'ticks': 7}, [
        at_most('late', 0.05, 0.01, 0.1), at_most('tick p99', 61.04, 25.0, 50.0, 'ms')]),
        Part('disk', {'hours_left': None}, [at_least('room', None, 2.0)])).status
    assert [(status.name, status.level) for status in statuses] == [
        ('left/worker: status', OK), ('left/worker: control', ERROR), ('left/worker: disk', OK)]
    assert statuses[1].message == ('tick p99: 61 ms, at most 50 expected; '
                                   'late: 0.05, at most 0.01 expected')
    assert statuses[2].message == 'within limits'


def test_a_status_leaves_nothing_behind(report):
    figures = {f'figure_{number}': number for number in range(40)}
    report(Health('well', figures))
    reporter = report.reporters[-1]
    tracemalloc.start()
    try:
        for _ in range(100):
            reporter.publish()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(900):
            reporter.publish()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000      # bytes; 46,000 with what CPython's cache keeps


def test_warnings_are_warnings(report):
    part = report(Health('well'), Part('part', {}, [at_most('figure', 2.0, 1.0, 3.0)])).status[1]
    assert part.level == WARN == DiagnosticStatus.WARN


def test_figures_are_short_and_what_is_not_known_is_empty(report):
    message = report(Health('well', {'rate': 1.23456}), Part('part', {
        'rate': 1.23456, 'count': 123456, 'age': None, 'bytes': 1234567.8}))
    assert status_values(message)[0][2]['rate'] == '1.23456'
    assert status_values(message)[1][2] == {'rate': '1.235', 'count': '123456', 'age': '',
                                            'bytes': '1234568'}


def test_the_hardware_is_the_robot_of_the_contract_and_the_host(report):
    statuses = report(Health('well'), Part('part', {})).status
    assert {status.hardware_id for status in statuses} == {f'reach@{socket.gethostname()}'}
