"""What training exploration policies takes: budgets, worlds, and what makes explorers differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from robot_rl.errors import UserError
from robot_rl.learning.config import ExplorerConfig, SacConfig
from robot_rl.learning.policy import MAX_EXPLORERS
from robot_rl.sim.gap import Gap

EPISODES_PER_ROUND = 2      # of full length, in each world


@dataclass(frozen=True)
class TrainSettings:
    """How much to train, on what, and how many explorers to keep."""

    steps: int = 162_000            # control steps in simulation, over all worlds
    updates: int = 18_000           # critic updates over the whole run
    explorers: int = 15             # n, policies in the set
    worlds: int = 27                # stepped together; latents take turns
    threads: int = 2                # of the physics
    batch: int = 256                # transitions per update
    seed: int = 0
    gaps: tuple[Gap, ...] = (Gap(),)    # domain randomisation: worlds take turns
    selection: bool = True          # False: the newest members of the pool, to compare with
    diversity: ExplorerConfig = field(default_factory=ExplorerConfig)
    sac: SacConfig = field(default_factory=lambda: SacConfig(width=128))

    def round_steps(self, horizon: int) -> int:
        """Return the control steps of a round, over all worlds."""
        return self.worlds * EPISODES_PER_ROUND * horizon

    def check(self, horizon: int, names: Mapping[str, str] = MappingProxyType({})) -> None:
        """Raise UserError for settings that cannot work; `names` are those that the user knows."""
        least, diversity, sac = self.round_steps(horizon), self.diversity, self.sac
        rules = (
            ('worlds', self.worlds, f'one per latent, {diversity.latents + 1} or more',
             self.worlds > diversity.latents),
            ('steps', self.steps, f'two rounds of {least} or more', self.steps >= 2 * least > 0),
            ('updates', self.updates, 'at least one per round',
             self.updates * least >= self.steps),
            ('explorers', self.explorers, f'1 to {MAX_EXPLORERS}',
             1 <= self.explorers <= MAX_EXPLORERS),
            ('threads', self.threads, 'at least 1', self.threads >= 1),
            ('batch', self.batch, 'at least 1', self.batch >= 1),
            ('seed', self.seed, 'at least 0', self.seed >= 0),
            ('gaps', self.gaps, 'at least one', len(self.gaps) >= 1),
            ('latents', diversity.latents, 'at least 0', diversity.latents >= 0),
            ('alpha', diversity.alpha, 'a finite number, at least 0',
             0 <= diversity.alpha < float('inf')),
            ('gate', diversity.gate, 'at least 0', diversity.gate >= 0),
            ('shared', diversity.shared, 'from 0 to 1', 0 <= diversity.shared <= 1),
            ('width', sac.width, 'at least 1', sac.width >= 1),
            ('learning_rate', sac.learning_rate, 'a finite number > 0',
             0 < sac.learning_rate < float('inf')),
            ('critic_subset', sac.critic_subset, f'1 to critics = {sac.critics}',
             1 <= sac.critic_subset <= sac.critics))
        for name, found, expected, holds in rules:
            if not holds:
                raise UserError(f'explorers: {names.get(name, name)}: expected {expected}, '
                                f'found {found}')
