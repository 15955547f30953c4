"""Cells of the benchmark sim2real_gap: a training in the simulator, or a method on one robot.

They are here so that workers, on other machines too, can import them. A robot is a draw from a
declared family of gaps; a method is what is trained and what becomes of it on the robot.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from robot_rl.bundle import pack, unpack
from robot_rl.contract import load_contract
from robot_rl.learning.config import ExplorerConfig
from robot_rl.sim.explorer_run import Result, TRAINED
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.gap import Gap
from robot_rl.sim.train_explorers import train_explorers
from robot_rl.sim.trial import Budget, Method, run_trial

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

    needs = None
    method = 'train'

    def __str__(self) -> str:
        return f'train {self.variant}, seed {self.seed}'

    @property
    def file(self) -> str:
        """Name of its result."""
        return f'train_{self.variant}_{self.seed}'

    def run(self, folder: str, artifact: bytes) -> tuple[dict, bytes]:
        """Train in a folder, and go on in it; in none that outlives it where that is empty."""
        with TemporaryDirectory() as other:
            result = train_explorers(
                load_contract(TASK), replace(VARIANTS[self.variant], seed=self.seed),
                lambda progress: None, lambda: False, Path(folder or other))
        return result.summary, _both(result)


@dataclass(frozen=True)
class RobotCell:
    """A cell: one method on one robot."""

    method: str
    size: float
    index: int                  # of the draw
    seeds: int                  # of the training; draw i meets what seed i % seeds gave
    budget: Budget

    def __str__(self) -> str:
        return f'{self.method}, size {self.size:g}, draw {self.index}'

    @property
    def file(self) -> str:
        """Name of its result."""
        return f'{self.method}_{self.size:g}_{self.index}'

    @property
    def needs(self) -> Training | None:
        """The training that it starts from."""
        variant = METHODS[self.method][0]
        return Training(variant, self.index % self.seeds) if variant else None

    def run(self, folder: str, artifact: bytes) -> tuple[dict, bytes]:
        """Run the method on the robot, with what was trained."""
        gap = draw(self.size, self.index)
        trial = run_trial(load_contract(TASK), gap, METHODS[self.method][1],
                          _simulated(artifact) if artifact else None, self.budget, self.index)
        return {'method': self.method, 'size': self.size, 'draw': self.index, 'gap': asdict(gap),
                **asdict(trial)}, b''


def _both(result: Result) -> bytes:
    """Return what was trained as one artifact."""
    return pack({name: np.frombuffer(getattr(result, name), np.uint8) for name in TRAINED},
                {'summary': result.summary})


def _simulated(artifact: bytes) -> Result:
    arrays, manifest = unpack(artifact, 'what was trained in the simulator')
    return Result(**{name: arrays[name].tobytes() for name in TRAINED},
                  summary=manifest['summary'])
