"""The probe as the robot of contract `reach`: observations out, actions in, resets answered."""

from __future__ import annotations

from bench import Bench
from geometry_msgs.msg import PointStamped
import numpy as np
from rclpy.time import Time
from robot_rl.contract import Contract
from robot_rl.data.steps import Step, step_from_message
from robot_rl.learning.policy import encode_gaussian, Normalizer
from robot_rl.ros.qos import COMMAND, DRIVER
from robot_rl.tasks.reach import GOAL
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

PERIOD = 50_000_000     # ns
AT_GOAL = tuple(GOAL)


class Arm:
    """A lockstep world: it answers each action with the next observation, unless `mute`."""

    def __init__(self, bench: Bench, contract: Contract, mute: bool = False):
        self.bench, self.contract, self.mute = bench, contract, mute
        self.now = 1_000_000_000            # ns
        self.velocity, self.tip = (0.0, 0.0), (0.0, 0.0)
        self.resets, self.accepts_resets = 0, True
        self.actions: list[np.ndarray] = []
        self.steps: list[Step] = []
        self._joints = bench.publisher(JointState, 'joint_states', DRIVER)
        self._tip = bench.publisher(PointStamped, 'tip', DRIVER)
        probe = bench.probe
        probe.create_subscription(Float64MultiArray, contract.action.topic, self._on_action,
                                  COMMAND)
        bench.listen('std_msgs/msg/Float64MultiArray', 'policy_server/steps',
                     callback=self._on_step)
        probe.create_service(Trigger, 'sim_bridge/reset', self._on_reset)

    def observe(self) -> None:
        """Publish both topics of the next instant."""
        self.now += PERIOD
        stamp = Time(nanoseconds=self.now).to_msg()
        joints = JointState(name=['shoulder', 'elbow'], position=[0.1, 0.2],
                            velocity=[float(value) for value in self.velocity])
        tip = PointStamped()
        joints.header.stamp = tip.header.stamp = stamp
        tip.point.x, tip.point.y = map(float, self.tip)
        self._joints.publish(joints)
        self._tip.publish(tip)

    def _on_action(self, message) -> None:
        self.actions.append(np.array(message.data))
        if not self.mute:
            self.observe()

    def _on_step(self, message) -> None:
        self.steps.append(step_from_message(message, len(self.contract.layout),
                                            len(self.contract.action.layout)))

    def _on_reset(self, request, response):
        self.resets += 1
        self.observe()
        response.success, response.message = self.accepts_resets, 'the cable is out'
        return response


def make_policy(contract: Contract, version: int = 1, action=(0.5, -0.5)) -> bytes:
    """Return a gaussian policy whose mode is `action` in [-1, 1], whatever it sees."""
    n, m = len(contract.layout), len(contract.action.layout)
    bias = np.concatenate([np.arctanh(action), np.zeros(m)])
    layer = np.zeros((n, 2 * m), np.float32), bias.astype(np.float32)
    unit = Normalizer(np.zeros(n, np.float32), np.ones(n, np.float32))
    return encode_gaussian([layer], unit, contract, version, {})
