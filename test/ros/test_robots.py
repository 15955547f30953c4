"""The contracts of config/robots/ against controllers with the interface of the real ones."""

from __future__ import annotations

from builtin_interfaces.msg import Duration
from controllers import Base, ForwardVelocity, FR3, Servo, Trajectory
from geometry_msgs.msg import TwistStamped
import numpy as np
import pytest
from rclpy.time import Time
from robot_rl.contract import load_contract
from robot_rl.data.steps import step_from_message
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.paths import contract_path
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
import yaml

ROBOTS = {'ur5e_forward': ForwardVelocity, 'fr3_trajectory': Trajectory, 'servo_twist': Servo,
          'base_cmd_vel': Base}
ANY_ROBOT = pytest.mark.parametrize('name', ROBOTS)
NOW = 100_000_000_000       # ns
NAN = float('nan')


@pytest.fixture
def begin(start, tmp_path):
    """Start a policy server under a robot's contract, for a machine that is busy, and the robot.

    Returns (bench, contract, controller, steps) when it idles.
    """
    def make(name: str, horizon: int):
        document = yaml.safe_load(contract_path(name).read_text())
        document['episode']['horizon'] = horizon
        document['safety']['policy_late'] = 100
        for entry in document['observation']:
            entry['max_age'] = 5.0
        path = tmp_path / 'contract.yaml'
        path.write_text(yaml.safe_dump(document))
        contract, steps = load_contract(path), []
        bench = start(PolicyServer, contract=str(path), mode='random', run_episodes=1)
        bench.listen('std_msgs/msg/Float64MultiArray', 'policy_server/steps',
                     callback=lambda message: steps.append(step_from_message(
                         message, len(contract.layout), len(contract.action.layout))))
        bench.until(lambda: bench.status.get('text', '').endswith('idle'))
        controller = ROBOTS[name](bench, contract)
        bench.until(lambda: len(controller.states) > 2)
        return bench, contract, controller, steps
    return make


def check_limits(contract, commands) -> None:
    """Fail where a command is outside the contract's range, or two are too far apart."""
    action, commands = contract.action, np.array(commands)
    assert (commands >= action.low).all() and (commands <= action.high).all()
    assert (np.abs(np.diff(commands, axis=0)) <= action.max_rate / contract.control_rate
            + 1e-9).all()


@ANY_ROBOT
def test_the_controller_takes_an_episode_of_random_actions_and_stops_at_its_end(begin, name):
    bench, contract, controller, steps = begin(name, horizon=12)
    assert bench.call(SetBool, 'policy_server/run', data=True).success
    assert bench.event('end')['reason'] == 'horizon'
    bench.until(lambda: len(steps) == 13 and len(controller.commands) >= 13)
    assert not controller.refused
    assert np.array_equal(controller.commands[:13], [step.executed for step in steps])
    driven = controller.commands[:12]
    assert (np.ptp(driven, axis=0) > 0.0).all()       # it really moved
    check_limits(contract, driven)
    still = driven[-1] if contract.action.on_stop == 'hold' else np.zeros_like(driven[-1])
    assert np.array_equal(controller.commands[12], still)
    bench.until(lambda: not controller.moving)


@ANY_ROBOT
def test_the_observation_is_the_state_of_that_stamp_by_name(begin, name):
    bench, contract, controller, steps = begin(name, horizon=4)
    bench.call(SetBool, 'policy_server/run', data=True)
    bench.until(lambda: len(steps) == 5)
    entry = 'here' if name == 'base_cmd_vel' else 'arm.position'
    for step in steps:
        # The stamp may be of another topic that overtook this one: then it is the state before.
        stamps = [stamp for stamp in controller.states if stamp <= step.stamp][-2:]
        seen = contract.layout.view(step.observation)[entry]
        assert any(np.array_equal(seen, controller.states[stamp][:len(seen)]) for stamp in stamps)


@ANY_ROBOT
def test_a_stop_amid_an_episode_stops_the_robot_and_latches(begin, name):
    bench, contract, controller, steps = begin(name, horizon=10_000)
    bench.call(SetBool, 'policy_server/run', data=True)
    bench.until(lambda: len(controller.commands) >= 5)
    assert bench.call(Trigger, 'policy_server/stop').success
    bench.until(lambda: steps[-1].status.name != 'RUNNING'
                and len(controller.commands) >= len(steps))
    hold = contract.action.on_stop == 'hold'
    still = controller.commands[-2] if hold else np.zeros(len(contract.action.layout))
    assert np.array_equal(controller.commands[-1], still)
    bench.until(lambda: not controller.moving)
    assert not bench.call(SetBool, 'policy_server/run', data=True).success
    assert not controller.refused


def test_no_episode_begins_where_the_first_position_would_be_a_jump(begin):
    bench, _, controller, _ = begin('fr3_trajectory', horizon=4)
    controller._target = controller.position + 0.5      # outside of the action's range
    bench.until(lambda: controller.position[0] > 0.49)
    bench.call(SetBool, 'policy_server/run', data=True)
    bench.until(lambda: 'observation_outside: arm.position.fr3_joint1' in bench.status['text'])
    assert not controller.commands


def twist(seconds_ago: float = 0.01, frame: str = 'base', **values: float) -> TwistStamped:
    message = TwistStamped()
    message.header.stamp = Time(nanoseconds=NOW - int(seconds_ago * 1e9)).to_msg()
    message.header.frame_id = frame
    for name, value in values.items():
        part, axis = name.split('_')
        setattr(getattr(message.twist, part), axis, value)
    return message


def trajectory(joints=FR3, count: int = 7, seconds: float = 0.05, stamp: int = 0,
               value: float = 0.0) -> JointTrajectory:
    nanoseconds = int(seconds * 1e9)
    message = JointTrajectory(joint_names=list(joints), points=[JointTrajectoryPoint(
        positions=[value] * count, time_from_start=Duration(nanosec=nanoseconds))])
    message.header.stamp = Time(nanoseconds=stamp).to_msg()
    return message


@pytest.mark.parametrize(('controller', 'message', 'complaint'), [
    (ForwardVelocity, Float64MultiArray(data=[0.0] * 6), ''),
    (ForwardVelocity, Float64MultiArray(data=[0.0] * 5), '5 values for 6 joints'),
    (ForwardVelocity, Float64MultiArray(data=[NAN] * 6), 'not finite'),
    (Trajectory, trajectory(reversed(FR3)), ''),
    (Trajectory, trajectory(FR3[:6], 6), 'joints'),
    (Trajectory, trajectory(count=6), 'positions'),
    (Trajectory, trajectory(value=NAN), 'positions'),
    (Trajectory, trajectory(seconds=0.0), 'times'),
    (Trajectory, trajectory(stamp=NOW - 1), 'begins in the past'),
    (Servo, twist(linear_x=0.1), ''),
    (Servo, twist(frame='', linear_x=0.1), "no frame ''"),
    (Servo, twist(2.0), '2.00 s old'),
    (Servo, twist(linear_z=NAN), 'not finite'),
    (Base, twist(linear_x=0.1, angular_z=0.2), ''),
    (Base, twist(100.0), '100.00 s old'),
    (Base, twist(linear_y=0.1), 'two wheels'),
])
def test_the_controllers_refuse_what_the_real_ones_would(controller, message, complaint):
    found = controller.complaint(message, NOW)
    assert found == complaint if not complaint else complaint in found
