"""Push a puck into a marked circle with the peg at the tip of a three-joint arm.

Pushing with a round peg is unstable: an offset between peg and puck grows with the distance
pushed, so the peg must steer. It begins on the goal's side and has to go around the puck first.
Rewards take Views of shape (..., size) and return shape (...).
"""

from __future__ import annotations

import numpy as np

from robot_rl.layout import View
from robot_rl.tasks.planar import at_height, joint_velocity, tip_path
from robot_rl.tasks.rewards import per_step

GOAL = np.array([0.30, 0.09])       # m, centre of the ring in puck_push.xml
TOLERANCE = 0.03                    # m, puck centre to goal: success
CONTACT = 0.065                     # m, puck radius and peg radius
SUCCESS = 5.0                       # reward of the step that succeeds
SCALE = 0.25                        # m, distances beyond this cost no more
LENGTHS = (0.22, 0.18, 0.10)        # m, links of the arm
HEIGHT = 0.019                      # m, of the peg's middle above the table
SPEED = 0.18                        # m/s of the demonstrator's peg
PAUSE_CHANCE, PAUSE = 0.015, (4, 13)    # of a step; steps that a pause lasts
SLIPS, SLIP = (0.6, 0.3, 0.1), 0.050    # chances of 0, 1, 2 in an episode; m off the middle
MISS_CHANCE, MISS = 0.15, 0.06          # of an episode; m from the goal, on either side of it
EPSILON = 1e-9


def goal_distance(observation: View) -> np.ndarray:
    """Return the distance from puck to goal in metres."""
    return np.linalg.norm(observation['puck'] - GOAL, axis=-1)


def success(observation: View) -> np.ndarray:
    """Tell whether the puck is in the goal."""
    return goal_distance(observation) < TOLERANCE


def shaped_reward(observation: View, action: View, next_observation: View):
    """Return (reward, terminated): 5 on success, else between -1 and 0, nearer to 0 when nearer.

    Every step before success costs, and success pays enough that a greedy policy does not hover
    at the rim. The second term draws the peg to where a push goes straight to the goal.
    """
    offset = GOAL - next_observation['puck']
    distance = np.linalg.norm(offset, axis=-1, keepdims=True)
    behind = next_observation['puck'] - offset / np.maximum(distance, EPSILON) * CONTACT
    approach = np.linalg.norm(next_observation['tip'] - behind, axis=-1)
    cost = 0.7 * np.minimum(distance[..., 0] / SCALE, 1.0) + 0.3 * np.minimum(
        approach / SCALE, 1.0)
    done = success(next_observation)
    return np.where(done, SUCCESS, -cost), done


def sparse_reward(observation: View, action: View, next_observation: View):
    """Return (reward, terminated): 0 on success, else -1.

    The return counts steps to go; a critic that starts near 0 is optimistic about what it has not
    tried, which a 0/1 reward would not give.
    """
    return per_step(success(next_observation))


def path(observation: View, actions: np.ndarray, period: float) -> np.ndarray:
    """Return where joint velocities (..., k, 3) take the peg, (..., k, 3) in m."""
    return at_height(tip_path(observation['arm.position'], LENGTHS, actions, period), HEIGHT)


def scripted_action(observation: View, rng: np.random.Generator) -> np.ndarray:
    """Return joint velocities (3,) rad/s of a demonstrator that steers, with unsteady hands."""
    puck, tip = observation['puck'], observation['tip']
    ahead = _unit(GOAL - puck)
    aside = np.array([-ahead[1], ahead[0]])
    along, across = ahead @ (puck - tip), aside @ (puck - tip)
    if along > 0.5 * CONTACT and abs(across) < 0.7 * CONTACT:
        heading = ahead + aside * np.clip(25.0 * across, -1.0, 1.0)    # behind the puck: push
    else:                                                   # beside or before it: go around
        stand = puck - 1.4 * CONTACT * ahead
        side = -np.sign(across) or 1.0
        if along < 0.8 * CONTACT and abs(across) < 1.2 * CONTACT:
            stand = stand + 1.4 * CONTACT * side * aside
        heading = stand - tip
    velocity = SPEED * _unit(heading) + rng.normal(0.0, 0.02, 2)
    return joint_velocity(observation['arm.position'], LENGTHS, velocity)


class Demonstrator:
    """A person at the controls for one episode, imperfect in the ways of people.

    Goes around the puck by the left or by the right, at a pace of its own, and pauses. At times it
    pushes beside the puck's middle until it slips off, and goes around once more; at times it
    takes a place beside the goal for the goal, and is content there.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self.side = float(rng.choice((-1.0, 1.0)))      # seen from the puck to the goal: 1 is left
        self._speed = rng.uniform(1.1, 1.6) * SPEED
        self._slips = int(rng.choice(len(SLIPS), p=SLIPS))      # so many pushes do
        self._pushing = False
        self._slip = rng.choice((-1.0, 1.0)) * SLIP
        misses = rng.random() < MISS_CHANCE
        self._goal = GOAL + misses * MISS * np.array([rng.choice((-1.0, 1.0)), 0.0])
        self._pause = 0                                 # steps that are left of it

    def __call__(self, observation: View) -> np.ndarray:
        """Return joint velocities (3,) in rad/s."""
        if self._pause == 0 and self._rng.random() < PAUSE_CHANCE:
            self._pause = int(self._rng.integers(*PAUSE))
        content = np.linalg.norm(observation['puck'] - self._goal) < 0.5 * TOLERANCE
        if self._pause or content:
            self._pause -= self._pause > 0
            return np.zeros(3)
        heading = self._heading(observation['puck'], observation['tip'])
        velocity = self._speed * _unit(heading) + self._rng.normal(0.0, 0.02, 2)
        return joint_velocity(observation['arm.position'], LENGTHS, velocity)

    def _heading(self, puck: np.ndarray, tip: np.ndarray) -> np.ndarray:
        ahead = _unit(self._goal - puck)
        aside = self.side * np.array([-ahead[1], ahead[0]])
        behind, out = ahead @ (puck - tip), aside @ (tip - puck)
        if behind > 0.5 * CONTACT and abs(out) < 0.7 * CONTACT:
            self._pushing = True
            aim = self._slip if self._slips else 0.0
            return ahead + aside * np.clip(25.0 * (aim - out), -1.0, 1.0)
        self._slips -= self._pushing and self._slips > 0
        self._pushing = False
        if behind > 0.5 * CONTACT:
            return puck - 1.4 * CONTACT * ahead - tip
        if out < -0.9 * CONTACT and behind > -0.5 * CONTACT:    # it is beside the other side
            self.side, out, aside = -self.side, -out, -aside
        if out < 1.1 * CONTACT:     # before the puck: out of its way first
            before = max(0.3 * CONTACT, -0.6 * behind)
            return puck + 1.3 * CONTACT * aside + before * ahead - tip
        return puck - 1.4 * CONTACT * ahead + 1.4 * CONTACT * aside - tip


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(np.linalg.norm(vector), EPSILON)
