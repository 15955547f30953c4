"""Step records that come from elsewhere -> a bag, written as the recorder writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data import cdr
from robot_rl.data.episode import OpenEpisode, Topic
from robot_rl.data.steps import Step, STEPS_TYPE

STEPS_TOPIC = '/policy_server/steps'


def write_step_bag(folder: Path, contract: Contract, steps: list[Step], transitions: int,
                   outcome: str = '', label: str = '', **custom_data: str) -> None:
    """Write the records of one episode, and how many transitions are between them.

    An outcome that is not given is what the last record says.
    """
    custom_data = {'contract': contract.text, 'contract_hash': contract.hash,
                   'interface': json.dumps(contract.interface), 'task': contract.task,
                   'steps_topic': STEPS_TOPIC, 'episode': folder.name, **custom_data}
    episode = OpenEpisode(folder, [Topic(STEPS_TOPIC, STEPS_TYPE)], custom_data,
                          by_operator=False, now=0.0)
    for step in steps:
        episode.write(0, step_bytes(step), step.stamp, step.stamp)
        episode.steps.append(step)
    episode.label = label
    episode.close(outcome=outcome or episode.outcome('incomplete'), transitions=str(transitions))


def step_bytes(step: Step) -> bytes:
    """Return a step record as the policy server publishes it."""
    segments = step.segments()
    return numbers([(label, values.size) for label, values in segments],
                   np.concatenate([values for _, values in segments]))


def numbers(segments: list[tuple[str, int]], values: np.ndarray) -> bytes:
    """Return the CDR bytes of a Float64MultiArray with segments of (label, size)."""
    dims = [cdr.new('std_msgs/msg/MultiArrayDimension', label=label, size=size, stride=size)
            for label, size in segments]
    layout = cdr.new('std_msgs/msg/MultiArrayLayout', dim=dims, data_offset=0)
    return cdr.encode(STEPS_TYPE, cdr.new(STEPS_TYPE, layout=layout, data=values))
