"""Episodes in one process: the same rollout as on the robot, ticked by a twin, without ROS."""

from __future__ import annotations

from robot_rl.data.steps import Mode, Step
from robot_rl.observation import Reading
from robot_rl.rollout import Rollout
from robot_rl.sim.twin import Twin


def run_episode(twin: Twin, policy, mode: Mode, episode: int, seed: int = 0) -> list[Step]:
    """Reset the twin, run one episode, and return its step records."""
    twin.reset()
    rollout = Rollout(twin.contract, policy, mode, episode, seed)
    steps = []
    while True:
        tick = rollout.tick(Reading(twin.observation(), twin.time_ns, ''))
        steps.append(tick.step)
        if tick.ended:
            return steps
        twin.step(tick.step.executed)
