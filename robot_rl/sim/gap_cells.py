"""Cells of the benchmark sim2real_gap: a training in the simulator, or a method on one robot.

They are here so that workers, on other machines too, can import them. A robot is a draw from a
declared family of gaps; a method is what is trained and what becomes of it on the robot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from pathlib import Path
from tempfile import TemporaryDirectory
import time

import numpy as np
from robot_rl.contract import load_contract
from robot_rl.learning.config import ExplorerConfig
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.sim.explorer_run import Result
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.gap import Gap
from robot_rl.sim.train_explorers import train_explorers
from robot_rl.sim.trial import Budget, Method, run_trial, Trial

TASK = 'puck_push'
OFFSET = 0.045                  # m, by which the tool is longer, at size 1
BEND = math.radians(60.0)       # of that to a side, at most
FACTOR = 1.5                    # friction and mass differ by up to this factor
LATENCY = 0.04                  # s, at most
WEAKER = 0.2                    # share by which the action bound shrinks, at most


def draw(size: float, index: int, tool: bool = True) -> Gap:
    """Return a robot of the declared family; a size scales one and the same draw.

    Without `tool` it is what people randomise a simulator over.
    """
    toward, friction, mass, latency, bound = np.random.default_rng([1, index]).uniform(-1, 1, 5)
    angle, reach = BEND * toward, size * OFFSET * tool
    factor = size * math.log(FACTOR)
    return Gap(f'size {size:g}, draw {index}', friction=math.exp(friction * factor),
               mass=math.exp(mass * factor), latency=0.5 * (latency + 1.0) * LATENCY * size,
               action_bound=1.0 - 0.5 * (bound + 1.0) * WEAKER * size,
               geom_offset=(('peg', (reach * math.cos(angle), reach * math.sin(angle), 0.0)),))


RANDOMISED = (Gap(), *(draw(1.0, index, tool=False) for index in range(1000, 1017)))
ONE = TrainSettings(threads=1)
VARIANTS = {                    # what is trained in the simulator, at equal budgets
    'nominal': ONE,
    'randomised': replace(ONE, gaps=RANDOMISED),
    'no_bonus': replace(ONE, diversity=ExplorerConfig(alpha=0.0)),
    'no_gate': replace(ONE, diversity=ExplorerConfig(gate=1e6)),
    'no_selection': replace(ONE, selection=False),
}
EXPLORE, FINE_TUNE = Method('mixed'), Method('learn', 'sim_optimal')
METHODS = {                     # what is trained, and what becomes of it on the robot
    'exploration': ('nominal', EXPLORE),
    'direct': ('nominal', Method('transfer')),
    'direct_sac': ('nominal', FINE_TUNE),
    'direct_sac_rare': ('nominal', replace(FINE_TUNE, actor_period=20)),
    'randomised_sac': ('randomised', FINE_TUNE),
    'scratch': ('', Method('learn', zeta=0.5)),
    'no_bonus': ('no_bonus', EXPLORE),
    'no_gate': ('no_gate', EXPLORE),
    'no_selection': ('no_selection', EXPLORE),
    'no_tail': ('nominal', replace(EXPLORE, tail=False)),
}


@dataclass(frozen=True)
class Training:
    """A cell: explorers and the sim-optimal policy of one variant of the training."""

    variant: str
    seed: int
    folder: str                 # to train in, and go on in; empty: none that outlives it

    method = 'train'

    def __str__(self) -> str:
        return f'train {self.variant}, seed {self.seed}'

    @property
    def file(self) -> str:
        """Name of what it took."""
        return f'train_{self.variant}_{self.seed}.json'

    def run(self) -> Result:
        """Train; return the artifacts."""
        with TemporaryDirectory() as other:
            return train_explorers(
                load_contract(TASK), replace(VARIANTS[self.variant], seed=self.seed),
                lambda progress: None, lambda: False, Path(self.folder or other))


@dataclass(frozen=True)
class RobotCell:
    """A cell: one method on one robot."""

    method: str
    size: float
    index: int                  # of the draw
    seeds: int                  # of the training; draw i meets what seed i % seeds gave
    budget: Budget
    simulated: Result | None = None

    def __str__(self) -> str:
        return f'{self.method}, size {self.size:g}, draw {self.index}'

    @property
    def file(self) -> str:
        """Name of its result."""
        return f'{self.method}_{self.size:g}_{self.index}.json'

    @property
    def needs(self) -> tuple[str, int] | None:
        """Variant and seed of the training that it starts from."""
        variant = METHODS[self.method][0]
        return (variant, self.index % self.seeds) if variant else None

    def run(self) -> Trial:
        """Run the method on the robot."""
        return run_trial(load_contract(TASK), draw(self.size, self.index),
                         METHODS[self.method][1], self.simulated, self.budget, self.index)


def run_cell(cell: Training | RobotCell) -> tuple[Result | Trial, dict]:
    """Return what a cell found and what it took; runs in a worker."""
    use_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    found = cell.run()
    return found, {'wall_seconds': time.perf_counter() - wall,
                   'cpu_seconds': time.process_time() - cpu}
