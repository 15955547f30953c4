"""Small learners of contract `reach`, episodes of random numbers for them, their checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from reaching import REACH
from robot_rl.bundle import pack, unpack
from robot_rl.data.transitions import Transitions
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner

SMALL = SacConfig(width=16)
FEW = LearnerConfig(start_transitions=20, batch=32)


def transitions(count: int, seed: int = 0, scale: float = 1.0) -> Transitions:
    rng = np.random.default_rng(seed)
    columns = (rng.normal(3.0, scale, (count, 6)), rng.uniform(-2.5, 2.5, (count, 2)),
               rng.normal(size=count), rng.normal(3.0, scale, (count, 6)),
               rng.random(count) < 0.1, np.zeros(count))
    return Transitions(*(np.asarray(column, np.float32) for column in columns))


def learner(config: LearnerConfig = FEW, sac: SacConfig = SMALL, contract=REACH) -> Learner:
    return Learner(contract, config, sac)


def fed(episodes: int = 4, **config) -> Learner:
    found = learner(replace(FEW, **config))
    for episode in range(episodes):
        found.add(f's/{episode}', transitions(10, episode), episode)
    return found


def rewrite(path: Path, change: Callable[[dict, dict], object]) -> None:
    """Change the arrays and the manifest of a checkpoint in its file."""
    arrays, manifest = unpack(path.read_bytes(), 'x')
    arrays = dict(arrays)
    change(arrays, manifest)
    path.write_bytes(pack(arrays, manifest))
