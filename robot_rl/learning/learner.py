"""The learner: experience in, updates at a fixed ratio, actors and checkpoints out.

It knows no ROS and no clock. One thread owns it: `add` episodes, `train` what is owed, take
`actor` and `save` when wanted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
from robot_rl import __version__
from robot_rl.contract import Contract
from robot_rl.data.transitions import Transitions
from robot_rl.errors import UserError
from robot_rl.learning.checkpoint import newest_checkpoint, save_checkpoint
from robot_rl.learning.networks import Slot
from robot_rl.learning.policy import decode_policy, encode_gaussian, Normalizer
from robot_rl.learning.replay import draw, Replay, shares
from robot_rl.learning.sac import Batch, Sac, SacConfig, SacState
import torch

ROBOT = ('online', 'explorers')      # sources of this session's robot: they owe updates
MIN_STD = 1e-3      # of an observation that does not move while the statistics are taken


@dataclass(frozen=True)
class LearnerConfig:
    """How much to train on what."""

    seed: int = 0
    utd_ratio: float = 1.0          # critic updates per transition of the robot
    batch: int = 256                # transitions per update
    start_transitions: int = 1000   # collected before the first update
    online_weight: float = 1.0      # share of a batch from the learner's and random episodes
    explorers_weight: float = 1.0   # share from episodes of frozen explorers
    demo_weight: float = 1.0        # share from demonstrations, or bags of earlier sessions
    start_from: str = ''            # sim_optimal: wait for that policy and start from its actor


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
        self.weights = {'online': config.online_weight, 'explorers': config.explorers_weight,
                        'demos': config.demo_weight}
        self.sources = {name: Replay(n, m) for name in self.weights}
        self.episodes: dict[str, int] = {}      # id of each of the robot's -> its transitions
        self.updates = 0
        self.started_from = ''                  # what the actor was before its first update
        self.newest_stamp = 0                   # ns, last step of the newest of the episodes
        self.learned_stamp = 0                  # ns, up to where no update is owed

    def add(self, episode_id: str, transitions: Transitions, stamp: int,
            source: str = 'online') -> bool:
        """Add an episode of the robot once to one of ROBOT; return whether it was new."""
        if episode_id in self.episodes:
            return False
        self._add(source, transitions)
        self.episodes[episode_id] = len(transitions)
        self.newest_stamp = max(self.newest_stamp, stamp)
        return True

    def add_demos(self, transitions: Transitions) -> None:
        """Add transitions of a demonstration, or of an earlier session."""
        self._add('demos', transitions)

    @property
    def waiting(self) -> bool:
        """Whether the policy to start from has yet to come; nothing is owed until then."""
        return bool(self.config.start_from) and not self.started_from and not self.updates

    def start_from(self, data: bytes, source: str) -> None:
        """Become the policy in an artifact: its actor and its normaliser, the rest stays fresh.

        The critics start unlearned, so actor updates should be rare: As et al. 2026, arXiv
        2602.20220, make one per 20 of the critics. Only a learner that is `waiting` starts.
        Raises UserError naming what was expected where the networks' sizes differ.
        """
        policy, sac = decode_policy(data, self.contract, source), self.sac.config
        found = [len(bias) for _, bias in policy.layers[:-1]]
        if found != [sac.width] * sac.depth:
            raise UserError(f'{source}: expected {_hidden([sac.width] * sac.depth)}, found '
                            f'{_hidden(found)}; set width and depth to those of the policy')
        actor = np.concatenate([part.ravel() for layer in policy.layers for part in layer])
        self.state = replace(self.state, actor=Slot.of(torch.from_numpy(actor[None])))
        self.normalizer = policy.normalizer
        self.started_from = self.config.start_from

    @property
    def collected(self) -> int:
        """Transitions of the robot."""
        return sum(len(self.sources[name]) for name in ROBOT)

    @property
    def owed(self) -> int:
        """Updates that the ratio allows but that have not been made."""
        sampled = shares(self.weights, self.sources, self.config.batch)
        collected = self.collected
        if self.waiting or not sampled or (
                collected + len(self.sources['demos']) < self.config.start_transitions):
            return 0
        return max(0, int(collected * self.config.utd_ratio) - self.updates)

    def train(self, count: int) -> dict[str, float]:
        """Make `count` updates; return the last metrics of critic and actor."""
        if self.updates == 0 and count and not self.started_from:
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
                      'transitions': self.collected, 'learned_stamp': self.learned_stamp,
                      'started_from': self.started_from}
        return encode_gaussian(layers, self.normalizer, self.contract, self.updates, provenance)

    def save(self, folder: Path, keep: int) -> Path:
        """Write a checkpoint of everything but the experience."""
        manifest = {'updates': self.updates, 'sac': asdict(self.sac.config),
                    'learner': asdict(self.config), 'episodes': len(self.episodes),
                    'transitions': self.collected, 'started_from': self.started_from}
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
        started_from = manifest.get('started_from', '')     # older checkpoints lack it
        if shapes[0] != shapes[1] or not isinstance(manifest.get('updates'), int) or (
                not isinstance(started_from, str)):
            raise UserError(f'{path}: expected the arrays and counters of this learner, found '
                            'others; use another folder')
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        self.generator.set_state(tensors.pop('generator'))
        self.normalizer = Normalizer(arrays['normalizer.mean'], arrays['normalizer.std'])
        self.state = SacState.from_tensors(tensors)
        self.updates, self.started_from = manifest['updates'], started_from
        if self.config.start_from and self.updates and not started_from:
            notes.append('start_from has no effect on an actor that has learned already')
        needed = ceil(self.updates / self.config.utd_ratio)
        return '; '.join([*notes, f'resumed {path} at {self.updates} updates; the next come with '
                          f'more than {needed} transitions'])

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


def _hidden(sizes: list[int]) -> str:
    width = sizes[0] if len(set(sizes)) == 1 else sizes
    return f'width {width} and depth {len(sizes)}'
