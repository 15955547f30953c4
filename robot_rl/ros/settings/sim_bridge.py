"""The parameters of sim_bridge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robot_rl.learning.config import ExplorerConfig
from robot_rl.learning.policy import MAX_EXPLORERS
from robot_rl.ros.settings import limit, parameter

if TYPE_CHECKING:
    from robot_rl.sim.explorer_settings import TrainSettings


@dataclass(frozen=True)
class Settings:
    """Plays the robot of a contract in MuJoCo, and has exploration policies trained there."""

    contract: str = parameter('', 'Contract file, or the name of a shipped contract')
    twin: bool = parameter(True, 'Play the robot; false: beside a real one, only train for it')
    seed: int = parameter(0, 'Seed of start states and sensor noise', low=0)
    lockstep: bool = parameter(False, 'Step when an action arrives, as fast as the graph goes')
    pace: float = parameter(1.0, 'Real-time factor where lockstep is off', low=0.01, high=100.0)
    gap: str = parameter('none', 'Dynamics gap: a shipped name, or YAML such as {friction: 0.4}')
    command_timeout: float = parameter(
        0.5, 'Simulated silence of the action topic after which joints are sent zeros, s',
        low=0.05, high=60.0)
    explorers_dir: str = parameter('explorers', 'Folder of the training runs, one folder each')
    explorers: int = parameter(15, 'Exploration policies in the set, n', low=1, high=MAX_EXPLORERS)
    sim_steps: int = parameter(162_000, 'Control steps to train for, over all worlds', low=0)
    sim_updates: int = parameter(18_000, 'Critic updates over a training', low=0)
    alpha: float = parameter(1.0, 'Weight of the diversity bonus', low=0.0)
    gate: float = parameter(
        0.6, 'Share of what was learned that an episode may fall short of and still earn the '
        'bonus', low=0.0)
    worlds: int = parameter(27, 'Simulated worlds that are stepped together', low=1, high=4096)
    train_gaps: tuple = parameter(('none',), 'Gaps to randomise over in training; as gap')
    train_seed: int = parameter(0, 'Seed of a training', low=0)
    train_workers: int = parameter(2, 'Processor threads of its physics', low=1, high=256)
    warn_pace: float = limit(0.9, 'Simulated seconds per second below which diagnostics warn, as '
                             'share of pace; not in lockstep')
    error_pace: float = limit(0.5, 'The same for an error')
    warn_stalled: float = limit(600.0, 'Time without progress of a training above which they '
                                'warn, s')

    def training(self) -> TrainSettings:
        """Return what to train; raise InvalidFile for a gap that is none."""
        from robot_rl.sim.explorer_settings import TrainSettings
        from robot_rl.sim.gap import load_gap

        return TrainSettings(
            steps=self.sim_steps, updates=self.sim_updates, explorers=self.explorers,
            worlds=self.worlds, threads=self.train_workers, seed=self.train_seed,
            gaps=tuple(load_gap(text) for text in self.train_gaps),
            diversity=ExplorerConfig(alpha=self.alpha, gate=self.gate))
