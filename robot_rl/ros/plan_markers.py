"""What a demonstrator could do from here, and how sure it is, as RViz markers."""

from __future__ import annotations

from geometry_msgs.msg import Point
import numpy as np
from rclpy.time import Time
from robot_rl.contract import Contract
from robot_rl.learning.chunks import ChunkRunner
from robot_rl.learning.policy import Policy
from robot_rl.ros.markers import clear_markers
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

FAN = 16                                    # plans that are sampled to be shown
THIN, THICK = 0.001, 0.004                  # m, of a sampled plan and of the one in use
SAMPLED = ColorRGBA(r=0.4, g=0.7, b=1.0, a=0.5)
IN_USE = ColorRGBA(r=1.0, g=0.8, b=0.2, a=1.0)
UNSURE = ColorRGBA(r=1.0, g=0.3, b=0.3, a=0.35)


class PlanMarkers:
    """Shows every new plan to whoever looks, where the contract says how: key `display`.

    In blue the fan of plans that the policy could have drawn, in yellow the one that it executes,
    in red a sphere per action around where the ensemble's members would go: its radius is their
    deviation, in m. All that takes a few ms, which nobody spends who does not look.
    """

    def __init__(self, publisher, contract: Contract):
        self._publisher, self._contract = publisher, contract
        self._shown = None

    def show(self, acting: Policy, now: int) -> None:
        """Publish the plan that `acting` executes at time `now` ns, if it is a new one."""
        display = self._contract.display
        if not display or not isinstance(acting, ChunkRunner) or acting.plan is self._shown:
            return
        if not self._publisher.get_subscription_count():
            return
        policy, plan = acting.policy, acting.plan
        self._shown, seen = plan, plan.observation
        rng = np.random.default_rng(plan.start)     # its own: looking must not change the actions
        fan = self._contract.path(seen, policy.fan(seen, rng, FAN))
        markers = [_lines('fan', fan, THIN, SAMPLED),
                   _lines('plan', self._contract.path(seen, plan.actions)[None], THICK, IN_USE)]
        opinions = policy.opinions(seen)
        if len(opinions):
            markers += _spheres(self._contract.path(seen, opinions))
        for marker in markers:
            marker.header.frame_id = display.frame
            marker.header.stamp = Time(nanoseconds=now).to_msg()
        before = clear_markers(display.frame).markers       # the last one may have had more
        self._publisher.publish(MarkerArray(markers=before + markers))


def _lines(ns: str, paths: np.ndarray, width: float, color: ColorRGBA) -> Marker:
    """Return paths (count, k, 3) as lines from action to action; of one action, its points."""
    kind = Marker.LINE_LIST if paths.shape[1] > 1 else Marker.POINTS
    ends = paths if kind == Marker.POINTS else np.stack((paths[:, :-1], paths[:, 1:]), axis=2)
    marker = Marker(ns=ns, type=kind, action=Marker.ADD, color=color)
    marker.scale.x = marker.scale.y = width
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in ends.reshape(-1, 3).tolist()]
    marker.pose.orientation.w = 1.0
    return marker


def _spheres(paths: np.ndarray) -> list[Marker]:
    """Return a sphere per action at the middle of the members' paths (K, k, 3)."""
    middle = paths.mean(0)
    deviations = np.sqrt(((paths - middle) ** 2).sum(-1).mean(0))
    spheres = []
    for index, (place, deviation) in enumerate(zip(middle.tolist(), deviations.tolist())):
        marker = Marker(ns='uncertainty', id=index, type=Marker.SPHERE, action=Marker.ADD,
                        color=UNSURE)
        position, scale = marker.pose.position, marker.scale
        position.x, position.y, position.z = place
        scale.x = scale.y = scale.z = max(2.0 * deviation, THIN)
        marker.pose.orientation.w = 1.0
        spheres.append(marker)
    return spheres
