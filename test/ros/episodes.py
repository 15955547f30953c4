"""Made-up episodes of contract `reach`, as steps and as what the recorder publishes."""

from __future__ import annotations

import numpy as np
from robot_rl.contract import Contract
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.data.transitions import derive_transitions

PERIOD = 50_000_000     # ns
SESSION = '11111111-2222-3333-4444-555555555555'


def make_steps(contract: Contract, episode: int, count: int = 6, mode: Mode = Mode.LEARN,
               last: Status = Status.TRUNCATED) -> list[Step]:
    """Return count + 1 records with random contents that depend on the episode's number."""
    rng = np.random.default_rng(episode)
    n, m = len(contract.layout), len(contract.action.layout)
    start = (episode + 1) * 1_000_000_000
    return [Step(start + index * PERIOD, episode, index,
                 last if index == count else Status.RUNNING, Source.POLICY, mode, 0, False,
                 rng.normal(size=n), rng.normal(size=m), rng.uniform(-2.0, 2.0, m))
            for index in range(count + 1)]


def make_record(contract: Contract, number: int, total: int, count: int = 6,
                mode: Mode = Mode.LEARN) -> EpisodeRecord:
    """Return the published episode `number` of `total`."""
    steps = make_steps(contract, number, count, mode)
    return EpisodeRecord(f'episode_{number:06d}', number, total,
                         derive_transitions(steps, contract), 'truncated', '', SESSION,
                         steps[-1].stamp, mode.name.lower(), 0)
