"""A made-up task of any size, for benchmarks: arms of many joints, which nothing ever ends.

Its contracts name the functions below, so every process that reads one needs `ENVIRONMENT`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from robot_rl.contract import Contract, load_contract
from robot_rl.data.transitions import Transitions
from robot_rl.installed import VARIABLE
import yaml

ENVIRONMENT = {VARIABLE: str(Path(__file__).parent)}
PATIENCE = 60.0     # s: nothing is late for as long


def reward(observation, action, next_observation):
    """Return (reward, terminated): nothing, never."""
    shape = next_observation['arm0.position'][..., 0].shape
    return np.zeros(shape), np.zeros(shape, bool)


def success(observation):
    """Tell that it is not done."""
    return np.zeros(observation['arm0.position'][..., 0].shape, bool)


def write_contract(path: Path, joints: int = 7, actions: int = 7, arms: int = 1,
                   frames: bool = False, rate: float = 100.0, horizon: int = 100_000) -> Contract:
    """Write and load a contract of `arms` JointStates, and of frames as one long array.

    The observation is position and velocity of each joint, 2 * arms * joints numbers.
    """
    os.environ.update(ENVIRONMENT)
    names = [f'joint{index}' for index in range(joints)]
    observation = [{'name': f'arm{arm}', 'topic': f'arm{arm}/joint_states',
                    'type': 'sensor_msgs/msg/JointState', 'max_age': PATIENCE,
                    'select': {'position': names, 'velocity': names}} for arm in range(arms)]
    if frames:
        observation.append({'name': 'frame', 'topic': 'frame', 'max_age': PATIENCE,
                            'type': 'std_msgs/msg/Float64MultiArray', 'select': ['data.0']})
    document = {
        'task': 'made_up', 'control_rate': rate, 'observation': observation,
        'action': {'topic': 'commands', 'type': 'std_msgs/msg/Float64MultiArray',
                   'names': [f'motor{index}' for index in range(actions)], 'on_stop': 'zeros',
                   'low': [-1.0] * actions, 'high': [1.0] * actions},
        'episode': {'horizon': horizon}, 'reward': 'made_task:reward',
        'success': 'made_task:success', 'safety': {'policy_late': int(PATIENCE * rate)}}
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding='utf-8')
    return load_contract(str(path))


def made_transitions(contract: Contract, count: int, seed: int = 0) -> Transitions:
    """Return so many random transitions, one episode without an end."""
    rng = np.random.default_rng(seed)
    n, action = len(contract.layout), contract.action
    seen = rng.standard_normal((count + 1, n), np.float32)
    done = rng.uniform(action.low, action.high, (count, len(action.low))).astype(np.float32)
    zeros = np.zeros(count, np.float32)
    truncated = zeros.copy()
    truncated[-1] = 1.0
    return Transitions(seen[:-1].copy(), done, rng.standard_normal(count, np.float32),
                       seen[1:].copy(), zeros, truncated)
