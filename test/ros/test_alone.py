"""A demo starts only where it can move or hear nobody else's robot."""

from __future__ import annotations

import os

from live_robot import ACTION, Robot
import pytest
from robot_rl.bringup import keep_apart
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.ros import live_graph
from robot_rl.ros.alone import refuse_company
from std_msgs.msg import Float64MultiArray

REACH = load_contract('reach')


@pytest.fixture
def robot():
    robot = Robot()
    yield robot
    robot.close()


def refusal(monkeypatch) -> str:
    monkeypatch.setattr(live_graph, 'DISCOVERY', 20.0)      # on a busy machine
    with pytest.raises(UserError) as error:
        refuse_company(REACH, 'demo')
    return str(error.value)


def test_where_nobody_is_a_demo_may_start(robot, monkeypatch):
    monkeypatch.setattr(live_graph, 'DISCOVERY', 1.0)
    robot.start('controller')       # what is only published moves nothing
    assert refuse_company(REACH, 'demo') is None


def test_a_robot_that_listens_is_named_with_another_domain_to_take(robot, monkeypatch):
    robot.start()
    domain = os.environ['ROS_DOMAIN_ID']
    assert refusal(monkeypatch) == (
        f'ROS domain {domain}: expected nobody whom the demo could move or hear, found /robot '
        f'(listens to /{ACTION}); end it (a killed node stays for 20 s), or take another domain: '
        f'ROS_DOMAIN_ID={43 if domain == "42" else 42} make demo')


def test_somebody_else_who_commands_is_named(robot, monkeypatch):
    robot.node.create_publisher(Float64MultiArray, ACTION, 1)
    robot.start('controller')
    assert f'/robot (publishes /{ACTION})' in refusal(monkeypatch)


def test_another_policy_server_is_named_whatever_it_commands(robot, monkeypatch):
    robot.beside('policy_server')
    robot.start('controller')
    assert 'found /policy_server;' in refusal(monkeypatch)


@pytest.mark.parametrize('told', [{'ROS_LOCALHOST_ONLY': '0'},
                                  {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}])
def test_what_the_user_says_of_the_network_stands(monkeypatch, told):
    monkeypatch.delenv('ROS_AUTOMATIC_DISCOVERY_RANGE')
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    keep_apart()
    assert os.environ == before


def test_who_says_nothing_stays_on_this_computer(monkeypatch):
    monkeypatch.delenv('ROS_AUTOMATIC_DISCOVERY_RANGE')
    monkeypatch.delenv('ROS_LOCALHOST_ONLY', raising=False)
    monkeypatch.setattr(os, 'environ', dict(os.environ))
    keep_apart()
    assert os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
