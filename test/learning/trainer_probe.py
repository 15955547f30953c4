"""A trainer under test, and what it is sent."""

from __future__ import annotations

from collections.abc import Callable
import queue
import time

from made_policies import demonstrator
import numpy as np
from robot_rl.contract import load_contract
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.transitions import Transitions
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_policy
from robot_rl.learning.trainer import Trainer, TrainerSettings

REACH = load_contract('reach')
LENGTH = 10     # transitions of an episode
DEMONSTRATOR = demonstrator(REACH, [[0.5, -0.5]] * 3)


def episode(number: int, total: int = 0, session: str = 's', mode: str = 'learn',
            contract=REACH,
            outcome: str = 'truncated', version: int = 0) -> bytes:
    rng = np.random.default_rng(number)
    n, m = len(contract.layout), len(contract.action.layout)
    columns = (rng.normal(size=(LENGTH, n)), rng.uniform(-1, 1, (LENGTH, m)),
               rng.normal(size=LENGTH), rng.normal(size=(LENGTH, n)), np.zeros(LENGTH),
               np.zeros(LENGTH))
    transitions = Transitions(*(column.astype(np.float32) for column in columns))
    return encode_episode(EpisodeRecord(
        f'episode_{number}', number, total or number, transitions, outcome, '', session,
        1000 * number, mode, version), contract)


def sim_optimal(width: int = 8) -> bytes:
    return Learner(REACH, LearnerConfig(seed=5), SacConfig(width=width)).actor()


class Training:
    """A trainer under test: its actors are a queue to wait on, its notes a list."""

    def __init__(self, folder, start_from: str = '', method: str = 'full', **settings):
        self.folder = folder
        self.actors: queue.Queue = queue.Queue()
        self.notes: list[str] = []
        self.events: list[tuple[str, dict]] = []
        self.learner = Learner(REACH, LearnerConfig(
            start_transitions=20, batch=16, start_from=start_from, method=method,
            utd_ratio=1.0), SacConfig(width=8))
        self.trainer = Trainer(self.learner, TrainerSettings(folder, **settings),
                               self.actors.put, self.notes.append,
                               lambda kind, values: self.events.append((kind, values)))

    def until(self, condition: Callable[..., bool]):
        """Wait until the progress meets the condition; return it."""
        deadline = time.monotonic() + 20.0
        while not condition(progress := self.trainer.progress):
            assert time.monotonic() < deadline, progress
            time.sleep(0.002)
        return progress

    def actor(self):
        return decode_policy(self.actors.get(timeout=20.0), REACH, 'test')

    def last_actor(self, version: int):
        """Return the first actor of at least that version."""
        while (found := self.actor()).version < version:
            pass
        return found
