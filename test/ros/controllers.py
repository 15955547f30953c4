"""Controllers that people have, in small: each says what the real one would refuse, and obeys.

They publish their state as the real drivers do: joints in another order and with more of them,
poses in a frame, odometry. The real time-outs are shorter; a busy test machine is not.
"""

from __future__ import annotations

from bench import Bench
from geometry_msgs.msg import PoseStamped, TwistStamped
from nav_msgs.msg import Odometry
import numpy as np
from rclpy.time import Time
from robot_rl.contract import Contract
from robot_rl.fields import stamp_of
from robot_rl.ros.codecs import interface_class
from robot_rl.ros.qos import DRIVER
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

PERIOD = 0.02           # s between two states
TIMEOUT = 1.0           # s; of servo and of the base: 0.1 and 0.5
FRAMES = ('base', 'base_link', 'tool0')     # of a UR5e
UR5E = ('shoulder_pan_joint', 'shoulder_lift_joint', 'elbow_joint', 'wrist_1_joint',
        'wrist_2_joint', 'wrist_3_joint')
UR5E_HOME = (0.0, -1.57, 1.57, -1.57, -1.57, 0.0)           # rad
FR3 = tuple(f'fr3_joint{index}' for index in range(1, 8))
FR3_HOME = (0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785)    # rad
FR3_SPEED = np.array([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26])    # rad/s
START = np.array([0.4, 0.1, 0.3])       # m, of the tool


class Controller:
    """What all share: the goal, the clock, what came and what was refused.

    `move(seconds)` goes on by the last command, `publish(stamp)` tells the state.
    """

    def __init__(self, bench: Bench, contract: Contract):
        self.commands: list[np.ndarray] = []
        self.refused: list[str] = []
        self.states: dict[int, np.ndarray] = {}         # ns -> joint positions, or the pose
        self._node, self._age = bench.probe, 0.0        # s since the last command
        self._goal = bench.publisher(PoseStamped, 'goal', DRIVER)
        bench.probe.create_subscription(interface_class(contract.action.type),
                                        contract.action.topic, self._on_command, 10)
        bench.probe.create_timer(PERIOD, self._turn)

    @property
    def now(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _on_command(self, message) -> None:
        complaint = self.complaint(message, self.now)
        if complaint:
            self.refused.append(complaint)
            return
        self._age = 0.0
        self.commands.append(self.read(message))

    def _turn(self) -> None:
        self._age += PERIOD
        self.move(PERIOD)
        now = self.now
        stamp = Time(nanoseconds=now).to_msg()
        self.states[now] = self.publish(stamp)
        goal = PoseStamped()
        goal.header.stamp, goal.header.frame_id = stamp, 'base'
        goal.pose.position.x = goal.pose.position.y = goal.pose.position.z = 9.0    # never reached
        self._goal.publish(goal)


class Arm(Controller):
    """Joints and the pose of the tool; its state is the positions of the joints."""

    joints, home = UR5E, UR5E_HOME
    joint_topic, pose_topic = 'joint_states', 'tcp_pose_broadcaster/pose'

    def __init__(self, bench: Bench, contract: Contract):
        self.position, self.velocity = np.array(self.home), np.zeros(len(self.home))
        self.tool = START.copy()
        self._joints = bench.publisher(JointState, self.joint_topic, DRIVER)
        self._pose = bench.publisher(PoseStamped, self.pose_topic, DRIVER)
        super().__init__(bench, contract)

    def move(self, seconds: float) -> None:
        self.position = self.position + self.velocity * seconds

    def publish(self, stamp) -> np.ndarray:
        message = JointState(name=['finger_joint', *reversed(self.joints)],
                             position=[0.01, *reversed(self.position)],
                             velocity=[0.0, *reversed(self.velocity)])
        pose = PoseStamped()
        message.header.stamp = pose.header.stamp = stamp
        pose.header.frame_id = 'base'
        pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = map(float, self.tool)
        self._joints.publish(message)
        self._pose.publish(pose)
        return self.position

    @property
    def moving(self) -> bool:
        return bool(self.velocity.any())


class ForwardVelocity(Arm):
    """forward_command_controller: one number for each joint, held until the next message."""

    @staticmethod
    def complaint(message: Float64MultiArray, now: int) -> str:
        if len(message.data) != len(UR5E):
            return f'{len(message.data)} values for {len(UR5E)} joints'
        return '' if np.isfinite(message.data).all() else 'not finite'

    def read(self, message) -> np.ndarray:
        self.velocity = np.array(message.data)
        return self.velocity


class Trajectory(Arm):
    """joint_trajectory_controller: goes to the point in the time that it says, then stays."""

    joints, home = FR3, FR3_HOME
    joint_topic, pose_topic = 'franka/joint_states', 'franka_robot_state_broadcaster/current_pose'
    _target, _left = np.array(FR3_HOME), 0.0        # rad, and s to go

    @staticmethod
    def complaint(message: JointTrajectory, now: int) -> str:
        if sorted(message.joint_names) != sorted(FR3):
            return f'joints {message.joint_names}'
        if stamp_of(message) and stamp_of(message) < now:
            return 'begins in the past'
        times = [point.time_from_start.sec + point.time_from_start.nanosec * 1e-9
                 for point in message.points]
        if not times or times[0] <= 0.0 or any(np.diff(times) <= 0.0):
            return f'times {times}'
        for point in message.points:
            if len(point.positions) != len(FR3) or not np.isfinite(point.positions).all():
                return f'positions {list(point.positions)}'
        return ''

    def read(self, message) -> np.ndarray:
        point = message.points[-1]
        found = dict(zip(message.joint_names, point.positions))
        self._target = np.array([found[name] for name in self.joints])
        self._left = point.time_from_start.sec + point.time_from_start.nanosec * 1e-9
        speed = np.abs(self._target - self.position) / self._left
        if (speed > FR3_SPEED).any():
            self.refused.append(f'faster than the joints: {speed}')
        return self._target

    def move(self, seconds: float) -> None:
        share = min(1.0, seconds / self._left) if self._left > 0.0 else 1.0
        step = (self._target - self.position) * share
        self.position, self.velocity = self.position + step, step / seconds
        self._left -= seconds


class Servo(Arm):
    """MoveIt Servo in speed_units: frames that it knows, fresh stamps, and it halts by itself."""

    twist = np.zeros(3)         # m/s

    @staticmethod
    def complaint(message: TwistStamped, now: int) -> str:
        if message.header.frame_id not in FRAMES:
            return f'no frame {message.header.frame_id!r}'
        return stale(message, now) or unusual(message, ('linear',))

    def read(self, message) -> np.ndarray:
        linear = message.twist.linear
        self.twist = np.array([linear.x, linear.y, linear.z])
        return self.twist

    def move(self, seconds: float) -> None:
        if self._age > TIMEOUT:
            self.twist = np.zeros(3)
        self.tool += self.twist * seconds

    @property
    def moving(self) -> bool:
        return bool(self.twist.any())


class Base(Controller):
    """diff_drive_controller: linear.x and angular.z of a TwistStamped, odometry."""

    def __init__(self, bench: Bench, contract: Contract):
        self.pose, self.speed = np.zeros(3), np.zeros(2)    # x, y, heading; linear, angular
        self._odometry = bench.publisher(Odometry, 'odom', DRIVER)
        super().__init__(bench, contract)

    @staticmethod
    def complaint(message: TwistStamped, now: int) -> str:
        twist = message.twist
        if any((twist.linear.y, twist.linear.z, twist.angular.x, twist.angular.y)):
            return 'moves that two wheels cannot make'
        return stale(message, now) or unusual(message, ('linear', 'angular'))

    def read(self, message) -> np.ndarray:
        self.speed = np.array([message.twist.linear.x, message.twist.angular.z])
        return self.speed

    def move(self, seconds: float) -> None:
        if self._age > TIMEOUT:
            self.speed = np.zeros(2)
        linear, angular = self.speed
        heading = self.pose[2]
        self.pose = self.pose + seconds * np.array(
            [linear * np.cos(heading), linear * np.sin(heading), angular])

    def publish(self, stamp) -> np.ndarray:
        message = Odometry()
        message.header.stamp, message.header.frame_id = stamp, 'odom'
        message.child_frame_id = 'base_link'
        pose, twist = message.pose.pose, message.twist.twist
        pose.position.x, pose.position.y = map(float, self.pose[:2])
        pose.orientation.z = float(np.sin(self.pose[2] / 2))
        pose.orientation.w = float(np.cos(self.pose[2] / 2))
        twist.linear.x, twist.angular.z = map(float, self.speed)
        self._odometry.publish(message)
        return self.pose

    @property
    def moving(self) -> bool:
        return bool(self.speed.any())


def stale(message, now: int) -> str:
    """Return what a controller with a time-out says of a stamp."""
    age = (now - stamp_of(message)) * 1e-9
    return '' if 0.0 <= age < TIMEOUT else f'{age:.2f} s old'


def unusual(message: TwistStamped, parts: tuple[str, ...]) -> str:
    """Return what is wrong with a twist of which a controller takes these parts."""
    for part in ('linear', 'angular'):
        vector = getattr(message.twist, part)
        values = vector.x, vector.y, vector.z
        if not np.isfinite(values).all():
            return 'not finite'
        if part not in parts and any(values):
            return f'{part} {values}'
    return ''
