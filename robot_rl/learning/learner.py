"""The learner: experience in, updates at a fixed ratio, actors and checkpoints out.

It knows no ROS and no clock. One thread owns it: `add` episodes, `train` what is owed, take
`actor` and `save` when wanted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

import numpy as np
from robot_rl import __version__
from robot_rl.contract import Contract
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.learning.checkpoint import newest_checkpoint, save_checkpoint
from robot_rl.learning.policy import encode_gaussian, Normalizer
from robot_rl.learning.replay import draw, Replay, shares
from robot_rl.learning.sac import Batch, Sac, SacConfig, SacState
import torch

MIN_STD = 1e-3      # of an observation that does not move while the statistics are taken


@dataclass(frozen=True)
class LearnerConfig:
    """How much to train on what."""

    seed: int = 0
    utd_ratio: float = 1.0          # critic updates per online transition
    batch: int = 256                # transitions per update
    start_transitions: int = 1000   # collected before the first update
    online_weight: float = 1.0      # share of a batch from this session's transitions
    prior_weight: float = 1.0       # share from prior bags, where there are any


class Learner:
    """SAC on the contract's vectors with its replay sources, counters and random state."""

    def __init__(self, contract: Contract, config: LearnerConfig, sac: SacConfig):
        if sac.critic_subset > sac.critics:
            raise UserError(f'critic_subset: expected at most critics = {sac.critics}, '
                            f'found {sac.critic_subset}')
        self.contract = contract
        self.config = config
        n, m = len(contract.layout), len(contract.action.layout)
        self.sac = Sac(n, m, sac)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.state = self.sac.init(self.generator)
        self.normalizer = Normalizer(np.zeros(n, np.float32), np.ones(n, np.float32))
        self.sources = {'online': Replay(n, m), 'prior': Replay(n, m)}
        self.weights = {'online': config.online_weight, 'prior': config.prior_weight}
        self.episodes: dict[str, int] = {}      # id of each online episode -> its transitions
        self.updates = 0
        self.newest_stamp = 0                   # ns, last step of the newest online episode
        self.learned_stamp = 0                  # ns, up to where no update is owed

    def add(self, episode_id: str, transitions: Transitions, stamp: int) -> bool:
        """Add an online episode once; return whether it was new."""
        if episode_id in self.episodes:
            return False
        self._add('online', transitions)
        self.episodes[episode_id] = len(transitions)
        self.newest_stamp = max(self.newest_stamp, stamp)
        return True

    def add_prior(self, transitions: Transitions) -> None:
        """Add transitions of another session, a simulator or a demonstration."""
        self._add('prior', transitions)

    @property
    def owed(self) -> int:
        """Updates that the ratio allows but that have not been made."""
        online, prior = len(self.sources['online']), len(self.sources['prior'])
        sampled = shares(self.weights, self.sources, self.config.batch)
        if not sampled or online + prior < self.config.start_transitions:
            return 0
        return max(0, int(online * self.config.utd_ratio) - self.updates)

    def train(self, count: int) -> dict[str, float]:
        """Make `count` updates; return the last metrics of critic and actor."""
        if self.updates == 0 and count:
            self._fix_normalizer()
        mean, std = torch.from_numpy(self.normalizer.mean), torch.from_numpy(self.normalizer.std)
        counts = shares(self.weights, self.sources, self.config.batch)
        period = self.sac.config.actor_period
        metrics: dict[str, torch.Tensor] = {}
        for _ in range(count):
            observation, action, reward, following, terminated = draw(
                self.sources, counts, self.generator)
            batch = Batch((observation - mean) / std, action, reward[:, 0],
                          (following - mean) / std, terminated[:, 0])
            with_actor = self.updates % period == period - 1
            self.state, latest = self.sac.update(self.state, batch, self.generator, with_actor)
            metrics |= latest
            self.updates += 1
        return {name: float(value) for name, value in metrics.items()}

    def actor(self) -> bytes:
        """Return the current actor as a policy artifact; its version is the update count."""
        parts = [part[0].numpy() for part in self.sac.actor.split(self.state.actor.value)]
        layers = [(weight, bias[0]) for weight, bias in zip(parts[::2], parts[1::2])]
        provenance = {'package': f'robot_rl {__version__}', 'torch': torch.__version__,
                      'seed': self.config.seed, 'updates': self.updates,
                      'episodes': len(self.episodes),
                      'transitions': len(self.sources['online']),
                      'learned_stamp': self.learned_stamp}
        return encode_gaussian(layers, self.normalizer, self.contract, self.updates, provenance)

    def save(self, folder: Path, keep: int) -> Path:
        """Write a checkpoint of everything but the experience."""
        manifest = {'updates': self.updates, 'sac': asdict(self.sac.config),
                    'learner': asdict(self.config), 'episodes': len(self.episodes),
                    'transitions': len(self.sources['online'])}
        return save_checkpoint(folder, self._arrays(), manifest, self.contract, keep)

    def resume(self, folder: Path) -> str:
        """Take up the newest whole checkpoint; return what was done, for the log."""
        found, refused = newest_checkpoint(folder, self.contract)
        notes = [f'skipped {reason}' for reason in refused]
        if not found:
            return '; '.join([*notes, f'no checkpoint in {folder}, starting fresh'])
        path, arrays, manifest = found
        if manifest.get('sac') != asdict(self.sac.config):
            raise UserError(f'{path}: sac: expected {asdict(self.sac.config)}, found '
                            f'{manifest.get("sac")}; use these parameters or another folder')
        shapes = [{name: (array.shape, array.dtype) for name, array in found.items()}
                  for found in (self._arrays(), arrays)]
        if shapes[0] != shapes[1] or not isinstance(manifest.get('updates'), int):
            raise UserError(f'{path}: expected the arrays and counters of this learner, found '
                            'others; use another folder')
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.generator.set_state(tensors.pop('generator'))
        self.normalizer = Normalizer(arrays['normalizer.mean'], arrays['normalizer.std'])
        self.state = SacState.from_tensors(tensors)
        self.updates = manifest['updates']
        needed = ceil(self.updates / self.config.utd_ratio)
        return '; '.join([*notes, f'resumed {path} at {self.updates} updates; the next come with '
                          f'more than {needed} online transitions'])

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {name: value.numpy() for name, value in self.state.tensors().items()}
        return arrays | {'generator': self.generator.get_state().numpy(),
                         'normalizer.mean': self.normalizer.mean,
                         'normalizer.std': self.normalizer.std}

    def _add(self, source: str, transitions: Transitions) -> None:
        action = self.contract.action
        scaled = 2.0 * (transitions.action - action.low) / (action.high - action.low) - 1.0
        columns = {**vars(transitions), 'action': scaled.astype(np.float32)}
        self.sources[source].add(Transitions(**columns))

    def _fix_normalizer(self) -> None:
        rows = torch.cat([source.rows for source in self.sources.values()])
        seen = rows[:, :len(self.contract.layout)].numpy()
        std = np.maximum(seen.std(axis=0), MIN_STD)
        self.normalizer = Normalizer(seen.mean(axis=0).astype(np.float32),
                                     std.astype(np.float32))
