"""A task of one joint for the tests of recording: move the joint to 1 rad."""

from __future__ import annotations


def reward(observation, action, next_observation):
    position = next_observation['arm.position.j']
    return -abs(1.0 - position) - 0.01 * action['j'] ** 2, position >= 1.0


def success(observation):
    return observation['arm.position.j'] >= 1.0


def broken_reward(observation, action, next_observation):
    if len(observation.values) == 2:        # the trial calls at load
        return reward(observation, action, next_observation)
    raise ZeroDivisionError('the user made a mistake')
