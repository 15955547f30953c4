"""Recorded episodes of the tiny task, as the tests of exports need them."""

from __future__ import annotations

from dataclasses import replace
import json

from recording import episode_steps, STEPS, write_episode
from robot_rl.data.steps import Source, Status

LENGTHS = (12, 7, 9)        # actions of what recorded() writes


def write_bag(folder, contract, steps, **custom_data):
    """Write a bag as the recorder of a session does."""
    write_episode(folder, steps, **{
        'interface': json.dumps(contract.interface), 'steps_topic': STEPS, 'session': 's1',
        'outcome': 'truncated', 'label': '', **custom_data})


def recorded(root, contract):
    """Write a success by label, with a person's steps in it; a truncation; and an abortion."""
    steps = episode_steps(LENGTHS[0], position=1 / 3)
    steps[4:7] = [replace(step, source=Source.HUMAN) for step in steps[4:7]]
    write_bag(root / 'episode_000001', contract, steps, outcome='success', label='success')
    write_bag(root / 'episode_000002', contract, episode_steps(LENGTHS[1], episode=1))
    write_bag(root / 'episode_000003', contract,
              episode_steps(LENGTHS[2], Status.ABORTED, episode=2), outcome='aborted')
    return root


def torn_steps(count: int = 20, lost: int = 8):
    """Return the records of an episode of which one is lost."""
    steps = episode_steps(count)
    return steps[:lost] + steps[lost + 1:]
