"""Recordings of made-up demonstrations, as the recorder writes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from robot_rl.contract import Contract
from robot_rl.data import cdr
from robot_rl.data.bag import BagWriter
from robot_rl.data.steps import Mode, Source, Status, Step, STEPS_TYPE

PERIOD = 50_000_000     # ns
TOPIC = '/policy_server/steps'


def write_demonstrations(root: Path, contract: Contract, count: int, actions: int = 20,
                         first: int = 0, **custom_data: str) -> Path:
    """Write `count` bags, one episode each; what happens depends on the episode's number."""
    for number in range(first, first + count):
        write_demonstration(root / f'episode_{number}', contract, number, actions, **custom_data)
    return root


def write_demonstration(folder: Path, contract: Contract, number: int, actions: int,
                        **custom_data: str) -> None:
    """Write the bag of an episode whose actions are a noisy function of what is seen."""
    custom_data = {'interface': json.dumps(contract.interface), 'outcome': 'success',
                   'steps_topic': TOPIC, **custom_data}
    writer = BagWriter(folder, custom_data)
    topic = writer.add_topic(TOPIC, STEPS_TYPE)
    for step in demonstration(contract, number, actions):
        writer.write(topic, step_bytes(step), step.stamp, step.stamp)
    writer.close(custom_data)


def demonstration(contract: Contract, number: int, actions: int) -> list[Step]:
    """Return the records of one episode."""
    rng = np.random.default_rng(number)
    n, m = len(contract.layout), len(contract.action.layout)
    observations = np.cumsum(rng.normal(0.0, 0.1, (actions + 1, n)), axis=0)
    chosen = np.tanh(observations[:, :m] + rng.normal(0.0, 0.1, (actions + 1, m)))
    return [Step((number + 1) * 1_000_000_000_000 + index * PERIOD, number, index,
                 Status.TRUNCATED if index == actions else Status.RUNNING, Source.HUMAN,
                 Mode.DEMONSTRATE, 0, False, observations[index], chosen[index], chosen[index])
            for index in range(actions + 1)]


def step_bytes(step: Step) -> bytes:
    """Return a step record as the recorder has it."""
    segments = step.segments()
    dims = [cdr.new('std_msgs/msg/MultiArrayDimension', label=label, size=values.size, stride=0)
            for label, values in segments]
    layout = cdr.new('std_msgs/msg/MultiArrayLayout', dim=dims, data_offset=0)
    return cdr.encode(STEPS_TYPE, cdr.new(
        STEPS_TYPE, layout=layout, data=np.concatenate([values for _, values in segments])))
