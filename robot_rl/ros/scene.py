"""What policy_server shows in RViz, in the frame that the contract's `display` names."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from textwrap import wrap
import time

import numpy as np
from rclpy.duration import Duration
from rclpy.time import Time
from robot_rl.actors import actor_of, STOPPED
from robot_rl.contract import Contract
from robot_rl.data.steps import Source, Status, Step
from robot_rl.learning.policy import Policy
from robot_rl.rollout import Tick
from robot_rl.ros.clouds import cloud_message
from robot_rl.ros.health import ERROR, Health
from robot_rl.ros.lifecycle import ManagedNode
from robot_rl.ros.markers import clear_markers
from robot_rl.ros.plan_markers import PlanMarkers
from robot_rl.ros.qos import LATCHED
from robot_rl.ros.shapes import arrow, ball, box, text
from robot_rl.visited import Visited
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

PERIOD, SLOW, CLOUD = 0.1, 0.5, 1.0     # s between messages: in motion; at rest, texts; clouds
LIFETIME = 2.0          # s after which RViz drops what is not sent again: we may have died
HELD = 0.25             # s for which the action is taken to last, to be seen as an arrow
LEAST = 1e-3            # m, of an arrow
WINDOW = 20             # episodes of the rate of success
LINE = 48               # letters
WORKSPACE, GOAL = (0.2, 0.6, 1.0, 0.9), (0.2, 0.85, 0.45, 0.35)


class Scene:
    """Draws after ticks and, at rest, by a timer: at most every PERIOD, and only for who looks.

    Every message on ~/markers names every marker, to add or to delete it: whichever one is missed,
    the next is the whole truth. `ask()` says how the node is.
    """

    def __init__(self, node: ManagedNode, contract: Contract, ask: Callable[[], Health]):
        self._node, self._contract, self._display = node, contract, contract.display
        self._ask = ask
        self._markers = node.make('publisher', MarkerArray, '~/markers', LATCHED)
        self._cloud = node.make('publisher', PointCloud2, '~/visited', LATCHED)
        self._plans = PlanMarkers(contract)
        self._visited = Visited()
        self._successes: deque[bool] = deque(maxlen=WINDOW)
        self._step: Step | None = None
        self._acting: Policy | None = None      # None between episodes
        self._on = False
        self._shown_at = self._text_at = self._cloud_at = 0.0       # s, monotonic
        self._shown = False             # on ~/markers there is something to clear
        self._cloud_shown = 0           # places that had been taken when the last cloud was sent
        self._text: Marker | None = None
        if self._display:
            node.make('timer', SLOW, self._show, clock=node.wall_clock)

    def switch(self, on: bool) -> None:
        """Begin to show; or take everything out of RViz."""
        self._on = on and self._display is not None
        if on:
            return
        if self._shown:
            self._markers.publish(clear_markers(self._display.frame))
        if self._cloud_shown:
            self._cloud.publish(self._places(self._visited.points[:0]))
        self._shown, self._cloud_shown = False, 0

    def saw(self, tick: Tick, acting: Policy) -> None:
        """Take what was decided in a tick, and show it."""
        if not self._on:
            return
        step = self._step = tick.step
        self._acting = None if tick.ended else acting
        if self._display.here and step.source is not Source.SAFETY:
            self._visited.add(self._display.here(self._view), actor_of(step).color)
        if not tick.ended:
            self._show()
            return
        self._text_at = 0.0     # the timer shows it, when why the robot stands is known
        if step.status in (Status.TERMINATED, Status.TRUNCATED):
            self._successes.append(step.success)

    @property
    def _view(self):
        return self._contract.layout.view(self._step.observation)

    def _show(self) -> None:
        now = time.monotonic()
        if not self._on or now - self._shown_at < PERIOD:
            return
        self._shown_at = now
        try:
            self._draw(now)
        except Exception as error:  # noqa: B902, the user's path may raise: the robot goes on
            self._node.get_logger().warning(
                f'display: nothing is shown: {type(error).__name__}: {error}',
                throttle_duration_sec=10.0)

    def _draw(self, now: float) -> None:
        if self._markers.get_subscription_count():
            self._markers.publish(MarkerArray(markers=self._all(now)))
            self._shown = True
        if (self._visited.added != self._cloud_shown and now - self._cloud_at >= CLOUD
                and self._cloud.get_subscription_count()):
            self._cloud.publish(self._places(self._visited.points))
            self._cloud_at, self._cloud_shown = now, self._visited.added

    def _places(self, points: np.ndarray) -> PointCloud2:
        return cloud_message(points, self._now(), self._display.frame)

    def _now(self) -> Time:
        return self._node.get_clock().now()

    def _all(self, now: float) -> list[Marker]:
        """Return every marker there is, to add or to delete."""
        if now - self._text_at >= SLOW:
            self._text, self._text_at = self._words(), now
        fan, plan = self._plans(self._acting) if self._display.path else (None, None)
        found = {('workspace', 0): self._workspace(), ('action', 0): self._action(),
                 ('fan', 0): fan, ('plan', 0): plan, ('text', 0): self._text}
        for index, place in enumerate(self._display.goal):
            found['goal', index] = self._goal(place)
        stamp = self._now().to_msg()
        simulated = self._node.get_parameter('use_sim_time').value   # it runs at any pace
        lifetime = Duration(seconds=0.0 if simulated else LIFETIME).to_msg()
        markers = []
        for (ns, number), marker in found.items():
            marker = marker or Marker(action=Marker.DELETE)
            marker.header.frame_id, marker.header.stamp = self._display.frame, stamp
            marker.ns, marker.id, marker.lifetime = ns, number, lifetime
            markers.append(marker)
        return markers

    def _workspace(self) -> Marker | None:
        corners = self._display.workspace(self._contract.safety)
        return None if corners is None else box(corners, self._display.radius / 10.0, WORKSPACE)

    def _goal(self, place) -> Marker | None:
        if place.observed and self._step is None:
            return None
        seen = self._view if self._step else self._contract.layout.view(
            np.zeros(len(self._contract.layout)))
        return ball(place(seen), self._display.radius, GOAL)

    def _action(self) -> Marker | None:
        """Return where the action that was just sent leads, if it lasts for HELD s."""
        display, step = self._display, self._step
        if self._acting is None or not display.path or not display.here:
            return None
        steps = max(1, round(HELD * self._contract.control_rate))
        path = self._contract.path(step.observation, np.tile(step.executed, (steps, 1)))
        start, end = display.here(self._view), path[-1]
        if not np.linalg.norm(end - start) > LEAST:     # or not finite
            return None
        return arrow(start, end, display.radius / 6.0, actor_of(step).color)

    def _words(self) -> Marker:
        """Return the text: what is done, by whom, and how it went."""
        health, step = self._ask(), self._step
        lines = [line for part in health.text.split('; ') for line in wrap(part, LINE)]
        color = STOPPED if health.level == ERROR else (1.0, 1.0, 1.0)
        if step and self._acting is not None:
            actor = actor_of(step)
            color = 0.5 + 0.5 * np.array(actor.color)       # to be read on any ground
            lines.append(f'{actor.name} acts')
        if step:
            lines.append(f'episode {step.episode}, step {step.index}')
        if self._successes:
            lines.append(f'success {sum(self._successes)} of the last {len(self._successes)}')
        return text('\n'.join(lines), self._display.text, 0.8 * self._display.radius, color)
