"""What a demo may be asked for; the command line is made of these fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


def option(default, text: str):
    """Return a field with its line of help."""
    return field(default=default, metadata={'help': text})


@dataclass(frozen=True)
class DemoOptions:
    """What every demo may be asked for."""

    run_dir: Path = option(Path('runs/demo'), 'folder of bags, checkpoints, logs and report')
    contract: str = option('puck_push', 'task contract with a simulation section: a file or a '
                           'shipped name')
    seed: int = option(0, 'seed of everything random')
    gap: str = option('none', 'how the twin that plays the robot differs: none, mild, declared, '
                      'bent_tool, or YAML such as "{friction: 0.5}"')
    max_episodes: int = option(300, 'episodes to learn from at most')
    minutes: float = option(10.0, 'minutes of learning at most')
    target: float = option(0.95, 'success rate of the last 20 episodes, and of a greedy check, '
                           'at which learning ends')
    evaluation: int = option(20, 'episodes of each policy that is measured')
    video: bool = option(True, 'do not render the kept behaviour')


@dataclass(frozen=True)
class SimulatorOptions(DemoOptions):
    """What `robot_rl demo` may be asked for."""

    gap: str = option('bent_tool', DemoOptions.__dataclass_fields__['gap'].metadata['help'])
    sim_steps: int = option(162_000, 'control steps in simulation to train explorers for')


@dataclass(frozen=True)
class DemonstrationsOptions(DemoOptions):
    """What `robot_rl demo-demonstrations` may be asked for."""

    run_dir: Path = option(Path('runs/demo-demonstrations'),
                           DemoOptions.__dataclass_fields__['run_dir'].metadata['help'])
    gap: str = option('mild', DemoOptions.__dataclass_fields__['gap'].metadata['help'])
    max_episodes: int = option(100, 'episodes to learn from at most')
    minutes: float = option(8.0, 'minutes of learning at most')
    target: float = option(0.9, 'success rate of a greedy check at which learning ends')
    demonstrations: int = option(10, 'episodes that the scripted person shows')
    members: int = option(10, 'of the ensemble that measures what the data leaves open')
    fit_updates: int = option(4000, 'updates of each fit')
    alpha: float = option(-1.0, 'share of what the data leaves open in the posterior '
                          'demonstrator; -1: as much as covers held-out actions')
