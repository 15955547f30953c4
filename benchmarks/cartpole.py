"""Cart-pole swing-up, as in the DeepMind Control Suite, paid for nothing but a pole that stands.

The simulator that explorers come from pays for what leads there as well: cartpole.yaml.
"""

from __future__ import annotations

import numpy as np

RAIL = 1.8          # m, to either side
MIDDLE = 0.25       # m, the cart is paid within
UPRIGHT = 0.995     # cosine of the pole's angle, paid above


def reward(observation, action, next_observation):
    """Return (reward, terminated): 1 while the pole stands over the middle, which never ends."""
    paid = stands(next_observation).astype(float)
    return paid, np.zeros(paid.shape, bool)


def shaped_reward(observation, action, next_observation):
    """Return (reward, terminated): 1 where it stands, else the less below 0 the higher the tip."""
    position, height = state(next_observation)
    near = 0.5 * (1.0 + height) * (1.0 - 0.5 * np.minimum(np.abs(position) / RAIL, 1.0))
    done = stands(next_observation)
    return np.where(done, 1.0, near - 1.0), done


def stands(observation) -> np.ndarray:
    """Tell whether the pole stands over the middle: what the simulator's explorers are to find."""
    position, height = state(observation)
    return (height > UPRIGHT) & (np.abs(position) < MIDDLE)


def never(observation) -> np.ndarray:
    """Tell that an episode lasts to its horizon: it is the steps upright that count."""
    return np.zeros(observation['tip'][..., 0].shape, bool)


def state(observation) -> tuple[np.ndarray, np.ndarray]:
    """Return (m of the cart from the middle, cosine of the pole's angle)."""
    return observation['joints.position'][..., 0], observation['tip'][..., 1]
