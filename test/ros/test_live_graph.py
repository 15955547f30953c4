"""`robot_rl check --live` against a robot that is as the contract says, or is not."""

from __future__ import annotations

from functools import partial

from geometry_msgs.msg import PointStamped, PoseStamped
from live_robot import ACTION, Robot
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from robot_rl.cli import main
from robot_rl.ros import live_graph
from robot_rl.ros.qos import DRIVER, SENSOR
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Empty, Trigger

SECONDS = '0.8'


@pytest.fixture
def robot():
    robot = Robot()
    yield robot
    robot.close()


@pytest.fixture
def check(make_contract, capsys, monkeypatch):
    """Run the command under contract `reach` with long max_ages; return (exit code, output).

    It waits for what is there however busy the machine is, and not long for what is `absent`.
    """
    def run(seconds: str = SECONDS, absent: bool = False, namespace: str = '', **replaced: str):
        monkeypatch.setattr(live_graph, 'DISCOVERY', 1.0 if absent else 20.0)
        contract = make_contract(**{'max_age: 0.15': 'max_age: 0.6', **replaced})
        code = main(['check', str(contract.file), '--live', seconds, '--namespace', namespace])
        return code, capsys.readouterr().out
    return run


def test_a_robot_that_is_as_the_contract_says_is_ready(robot, check):
    robot.start()
    code, printed = check()
    assert code == 0, printed
    assert 'wrong' not in printed and printed.endswith('ok\n')
    rows = [line.split() for line in printed.splitlines()[3:]]
    assert [row[:4] for row in rows[1:4]] == [['ok', 'arm', 'joint_states', '/robot'],
                                              ['ok', 'tip', 'tip', '/robot'],
                                              ['ok', 'action', ACTION, '/robot']]
    assert 25.0 < float(rows[1][4]) < 75.0      # Hz, of 50, on a busy machine


def test_a_silent_topic_is_named_with_others_of_its_type(robot, check):
    robot.every(50.0, PointStamped, 'arm/tip', lambda _: PointStamped())
    robot.start('tip')
    code, printed = check(absent=True)
    assert code == 1 and printed.endswith('not ready\n')
    assert ('wrong: tip (tip): nobody publishes it; start the driver, or correct '
            'observation[1].topic; there are /arm/tip\n') in printed


def test_a_publisher_of_another_type_is_told_from_silence(robot, check):
    robot.every(50.0, PoseStamped, 'tip', lambda _: PoseStamped())
    robot.start('tip')
    code, printed = check()
    assert code == 1
    assert ('wrong: tip (tip): /robot has it as geometry_msgs/msg/PoseStamped, the contract as '
            'geometry_msgs/msg/PointStamped; correct observation[1].type') in printed


def test_a_missing_joint_is_named_with_those_that_came(robot, check):
    robot.start(joints=partial(robot.joints, names=('elbow', 'wrist')))
    code, printed = check()
    assert code == 1
    assert ('no message could be read: sensor_msgs/msg/JointState: joint shoulder is missing, '
            'message has elbow, wrist; correct observation[0]') in printed


def test_joints_that_are_not_numbers_are_told(robot, check):
    robot.start(joints=partial(robot.joints, value=float('nan')))
    code, printed = check()
    assert code == 1 and 'position.shoulder is not finite' in printed


def test_a_slow_topic_is_a_note_until_it_is_too_old(robot, check):
    robot.start(joints=partial(robot.joints, rate=5.0))
    code, printed = check('1.5', **{'max_age: 0.15': 'max_age: 2.0'})
    assert code == 0
    assert 'note: arm (joint_states): slower than control_rate, 20 Hz' in printed
    code, printed = check('1.5', **{'max_age: 0.15': 'max_age: 0.1'})
    assert code == 1
    assert 'max_age 0.1 s: the robot would have been stopped' in printed


def test_stamps_that_are_late_at_arrival_point_to_the_clocks(robot, check):
    robot.start(joints=partial(robot.joints, late=5.0))
    code, printed = check()
    assert code == 1
    assert 'wrong: arm (joint_states): 5.0' in printed
    assert 'the clocks of the computers differ (synchronize them)' in printed


def test_stamps_from_the_future_point_to_the_clocks(robot, check):
    robot.start(joints=partial(robot.joints, late=-5.0))
    code, printed = check()
    assert code == 1
    assert 's ahead: the clocks of the computers differ, and messages are older' in printed


def test_a_simulated_stamp_without_a_simulated_clock_is_told(robot, check):
    robot.start(joints=partial(robot.joints, clock=7_000_000_000))
    code, printed = check()
    assert code == 1 and 'one side uses simulated time, the other does not' in printed


def test_where_time_is_simulated_stamps_are_dated_by_it(robot, check):
    instant = 7_000_000_000
    robot.every(50.0, Clock, '/clock', lambda _: Clock(clock=Time(nanoseconds=instant).to_msg()))
    point = PointStamped()
    point.header.stamp = Time(nanoseconds=instant).to_msg()
    robot.every(50.0, PointStamped, 'tip', lambda _: point)
    robot.start('tip', joints=partial(robot.joints, clock=instant))
    code, printed = check()
    assert code == 0, printed
    assert 'note: clock (/clock): time is simulated: launch with use_sim_time:=true' in printed


def test_a_best_effort_driver_is_heard_and_noted(robot, check):
    robot.start(joints=partial(robot.joints, qos=SENSOR))
    code, printed = check()
    assert code == 0
    assert 'note: arm (joint_states): /robot publishes best effort' in printed


def test_that_no_controller_listens_is_told(robot, check):
    robot.start('controller')
    code, printed = check(absent=True)
    assert code == 1
    assert f'wrong: action ({ACTION}): no controller listens' in printed


def test_neither_the_name_that_was_given_nor_a_topic_of_ours_is_suggested(robot, check):
    ours = robot.beside('policy_server')
    ours.create_publisher(PointStamped, 'policy_server/tips', 1)
    recorder = robot.beside('data_recorder')
    recorder.create_subscription(Float64MultiArray, ACTION, lambda _: None, 1)
    recorder.create_subscription(Float64MultiArray, 'policy_server/steps', lambda _: None, 1)
    robot.start('tip', 'controller')
    code, printed = check(absent=True)
    assert code == 1
    found = [line for line in printed.splitlines() if line.startswith('wrong: ')]
    assert [line.rpartition('correct ')[2] for line in found] == ['observation[1].topic',
                                                                  'action.topic']


def test_services_that_may_be_meant_by_a_wrong_reset_are_named(robot, check):
    robot.node.create_service(Trigger, 'my_arm/home', lambda _, response: response)
    robot.beside('policy_server').create_service(Trigger, 'policy_server/stop',
                                                 lambda _, response: response)
    robot.start('reset')
    code, printed = check(absent=True)
    assert code == 1
    assert 'by hand; there are /my_arm/home (std_srvs/srv/Trigger)\n' in printed


def test_a_controller_that_asks_for_more_than_is_offered_hears_nothing(robot, check):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    robot.start(controller=partial(robot.controller, qos=latched))
    code, printed = check()
    assert code == 1 and 'change the QoS of that controller' in printed


def test_a_controller_of_another_order_would_move_other_joints(robot, check):
    robot.start(controller=partial(robot.controller, joints=('elbow', 'shoulder')))
    code, printed = check()
    assert code == 1
    assert '/robot takes the order [elbow, shoulder], and the message has no names' in printed


def test_somebody_else_who_commands_is_named(robot, check):
    robot.every(10.0, Float64MultiArray, ACTION, lambda _: Float64MultiArray(data=[0.0, 0.0]))
    robot.start()
    code, printed = check()
    assert code == 1 and '/robot commands it as well: two would fight' in printed


def test_a_reset_service_that_is_absent_or_of_another_type_is_told(robot, check):
    robot.start('reset')
    assert 'reset (sim_bridge/reset): nobody serves it' in check(absent=True)[1]
    robot.reset(Empty)
    code, printed = check()
    assert code == 1
    assert ('is served as std_srvs/srv/Empty, the contract says std_srvs/srv/Trigger; '
            'correct episode.reset.type') in printed


def test_a_reset_service_that_only_a_client_names_is_not_there(robot, check):
    robot.node.create_client(Trigger, 'sim_bridge/reset')
    robot.start('reset')
    code, printed = check(absent=True)
    assert code == 1 and 'wrong: reset (sim_bridge/reset): nobody serves it' in printed


def test_two_policy_servers_are_told_though_they_have_one_name(robot, check):
    for _ in range(2):
        robot.beside('policy_server').create_publisher(Float64MultiArray, ACTION, DRIVER)
    robot.start()
    code, printed = check()
    assert code == 1
    assert '2 policy servers command it: /policy_server, /policy_server;' in printed


def test_an_e_stop_that_is_silent_for_longer_than_its_timeout_is_told(robot, check):
    robot.every(2.0, Bool, 'e_stop', lambda _: Bool())
    robot.start()
    code, printed = check('1.5', **{'reward:': (
        'safety: {e_stop: {topic: e_stop, type: std_msgs/msg/Bool, timeout: 0.2}}\nreward:')})
    assert code == 1
    assert 'timeout 0.2 s: silence stops the robot' in printed


def test_a_graph_that_cannot_be_joined_is_bad_input(monkeypatch, capsys):
    monkeypatch.setenv('ROS_DOMAIN_ID', 'none')
    assert main(['check', 'reach', '--live', '0.1']) == 2
    assert capsys.readouterr().err.startswith('error: the live graph: ')


def test_names_are_looked_for_in_the_namespace(robot, check):
    robot.start()
    code, printed = check(absent=True, namespace='left')
    assert code == 1 and 'there are /joint_states' in printed
