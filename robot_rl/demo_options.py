"""What a demo may be asked for; the command line is made of these fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


SEEDS = 2 ** 31 - 1     # largest integer of a node's parameter
LONGEST = 10 ** 6       # minutes


def option(default, text: str, least: float | None = None, most: float | None = None):
    """Return a field with its line of help and its range."""
    return field(default=default, metadata={'help': text, 'least': least, 'most': most})


@dataclass(frozen=True)
class DemoOptions:
    """What every demo may be asked for."""

    run_dir: Path = option(Path('runs/demo'), 'folder of bags, checkpoints, logs and report')
    contract: str = option('puck_push', 'task contract with a simulation section: a file or a '
                           'shipped name')
    seed: int = option(0, 'seed of everything random', 0, SEEDS)
    gap: str = option('none', 'how the twin that plays the robot differs: none, mild, declared, '
                      'bent_tool, or YAML such as "{friction: 0.5}"')
    max_episodes: int = option(300, 'episodes to learn from at most', 1)
    minutes: float = option(10.0, 'minutes of learning at most', 0.01, LONGEST)
    target: float = option(0.95, 'success rate of the last 20 episodes, and of a greedy check, '
                           'at which learning ends', 0.0, 1.0)
    evaluation: int = option(20, 'episodes of each policy that is measured', 1, 10_000)
    video: bool = option(True, 'render the kept behaviour to final.gif')


@dataclass(frozen=True)
class SimulatorOptions(DemoOptions):
    """What `robot_rl demo` may be asked for."""

    gap: str = option('bent_tool', DemoOptions.__dataclass_fields__['gap'].metadata['help'])
    sim_steps: int = option(162_000, 'control steps in simulation to train explorers for', 1,
                            SEEDS)


@dataclass(frozen=True)
class DemonstrationsOptions(DemoOptions):
    """What `robot_rl demo-demonstrations` may be asked for."""

    run_dir: Path = option(Path('runs/demo-demonstrations'),
                           DemoOptions.__dataclass_fields__['run_dir'].metadata['help'])
    gap: str = option('mild', DemoOptions.__dataclass_fields__['gap'].metadata['help'])
    max_episodes: int = option(100, 'episodes to learn from at most', 1)
    minutes: float = option(8.0, 'minutes of learning at most', 0.01, LONGEST)
    target: float = option(0.9, 'success rate of a greedy check at which learning ends', 0.0,
                           1.0)
    demonstrations: int = option(10, 'episodes that the scripted person shows', 2, 10_000)
    members: int = option(10, 'of the ensemble that measures what the data leaves open', 2, 100)
    fit_updates: int = option(4000, 'updates of each fit; 0: as the data asks for', 0, SEEDS)
    alpha: float = option(-1.0, 'share of what the data leaves open in the posterior '
                          'demonstrator; -1: as much as covers held-out actions', -1.0, 10.0)
