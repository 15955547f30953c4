"""The learner: experience in, updates at a fixed ratio, actors and checkpoints out.

It knows no ROS and no clock. One thread owns it: `add` episodes, `train` what is owed, take
`actor` and `save` when wanted.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
from robot_rl import __version__
from robot_rl.contract import Contract
from robot_rl.data.transitions import interventions, Transitions
from robot_rl.errors import UserError
from robot_rl.learning.checkpoint import newest_checkpoint, Refused, save_checkpoint
from robot_rl.learning.compiled import compiled
from robot_rl.learning.config import (
    DEMONSTRATOR, FULL, KickstartConfig, LearnerConfig, SacConfig, STEER, SteerConfig, XQC)
from robot_rl.learning.diffusion_policy import decode_demonstrator, DiffusionPolicy
from robot_rl.learning.imitation import imitate
from robot_rl.learning.made_with import check_made_with
from robot_rl.learning.methods import digest_of, Full, FullXqc, Kickstart, Steer
from robot_rl.learning.moments import Moments
from robot_rl.learning.policy import decode_policy, Normalizer
from robot_rl.learning.precision import products
from robot_rl.learning.replay import draw, Replay, shares
from robot_rl.learning.returns import Returns
from robot_rl.learning.sac import Batch, SacState
from robot_rl.learning.seen import Seen
from robot_rl.learning.steering import Base
from robot_rl.learning.xqc import MOST
import torch

ROBOT = ('online', 'explorers')      # sources of this session's robot: they owe updates
REPLAYS = {'online': 'robot', 'explorers': 'robot', 'demos': 'demos'}   # to draw a source from


class Learner:
    """SAC on the contract's vectors with its replay sources, counters and random state.

    Until there is something to steer, the method `steer` has no `method` object and no `state`;
    what it receives by then is kept.
    """

    def __init__(self, contract: Contract, config: LearnerConfig, sac: SacConfig):
        config.check(sac)
        self.contract, self.config, self.sac = contract, config, sac
        n = len(contract.layout)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.normalizer = Normalizer(np.zeros(n, np.float32), np.ones(n, np.float32))
        self._observed = Moments()              # which the normaliser follows
        self._fixed = False                     # a checkpoint's, from before it did so
        self.weights = {'robot': 1.0, 'demos': config.demo_weight}      # of the replays
        self.method: Full | Steer | None = None
        self.state: SacState | None = None
        self.replays: dict[str, Replay] = {}
        self.counts = dict.fromkeys(REPLAYS, 0)         # transitions by source
        self.returns = Returns(sac.discount, MOST)      # of core XQC
        self.episodes = Seen()                  # ids of the robot's
        self.updates = 0
        self.started_from = ''                  # what the actor was before its first update
        self.newest_stamp = 0                   # ns, last step of the newest of the episodes
        self.learned_stamp = 0                  # ns, up to where no update is owed
        self.refused: list[Refused] = []        # checkpoints that `resume` passed over
        self.not_compiled = ''                  # why not, where it should be
        self._early: list[tuple[str, Transitions]] = []     # before there was a method
        self._imitated: DiffusionPolicy | None = None       # demonstrator of an actor to be fitted
        if config.method == FULL:
            self._use(self._acting())
            self.state = self.method.rule.init(self.generator)

    def add(self, episode_id: str, transitions: Transitions, stamp: int,
            source: str = 'online') -> bool:
        """Add an episode of the robot once to one of ROBOT; return whether it was new.

        What a person did in it is a demonstration besides (HIL-SERL, arXiv 2410.21845).
        """
        if not self.episodes.add(episode_id):
            return False
        self._add(source, transitions)
        self._note(transitions)
        if transitions.human.any():
            self._add('demos', interventions(transitions))
        self.newest_stamp = max(self.newest_stamp, stamp)
        self._imitate_if_ready()
        return True

    def add_demos(self, transitions: Transitions) -> None:
        """Add transitions of a demonstration, or of an earlier session."""
        self._add('demos', transitions)
        self._note(transitions)

    @property
    def waiting(self) -> bool:
        """Whether the policy to start from has yet to come; nothing is owed until then."""
        return bool(self.config.start_topic) and not self.started_from and not self.updates

    @property
    def waits_for(self) -> str:
        """What it waits for, '' where it does not."""
        if self._imitated and self.waiting:
            return 'states to imitate the demonstrator in: demo_bags, or episodes of it'
        return self.config.start_topic if self.waiting else ''

    def start_from(self, data: bytes, source: str) -> None:
        """Begin with the policy in an artifact: its normaliser, and what it does.

        SIM_OPTIMAL     its actor becomes the actor; the critics start unlearned, so actor updates
                        should be rare: As et al. 2026, arXiv 2602.20220, make one per 20
        DEMONSTRATOR    it is steered, or the actor is fitted to it, once there are states for it

        Once only: what is learned is never thrown away for another start. Raises UserError naming
        what was expected where it does not fit, or where another demonstrator is steered already.
        """
        if self.config.method == STEER:
            self._steer(data, source)
        elif self.waiting and self.config.start_from == DEMONSTRATOR:
            self._imitated = decode_demonstrator(data, self.contract, source)
            Base.of(self._imitated, source)
            self._imitate_if_ready()
        elif self.waiting:
            self._become(data, source)

    def _become(self, data: bytes, source: str) -> None:
        policy = decode_policy(data, self.contract, source)
        if policy.size != self.sac.size:
            raise UserError(f'{source}: expected {self.sac.size}, found {policy.size}; set width '
                            'and depth to those of the policy')
        actor = np.concatenate([part.ravel() for layer in policy.layers for part in layer])
        self.state = self.method.rule.begin(self.state, torch.from_numpy(actor[None]))
        self.normalizer = policy.normalizer
        self.started_from = self.config.start_from

    def _imitate_if_ready(self) -> None:
        """Fit the actor where the demonstrator is there, and states to ask it in."""
        ready = self.counts['demos'] or self.collected >= self.config.start_transitions
        if not self._imitated or not self.waiting or not ready:
            return
        self.normalizer = self._imitated.normalizer
        seen = torch.from_numpy(self.normalizer(self._observations()))
        actor = imitate(self.method.rule, self.state.actor.value,
                        Base.of(self._imitated, DEMONSTRATOR), seen, self.generator)
        self.state = self.method.rule.begin(self.state, actor)
        self.started_from = DEMONSTRATOR

    def _steer(self, data: bytes, source: str) -> None:
        if self.method is None:
            method = self._steering(data, source)
            self.state = method.rule.init(self.generator)
            self._use(method)
        elif digest_of(data) != self.method.digest:
            raise UserError(
                f'{source}: expected the demonstrator that this learner steers, version '
                f'{self.method.policy.version}, SHA-256 {self.method.digest[:12]}, found '
                f'{digest_of(data)[:12]}; steer that one with another checkpoint_dir')

    def _acting(self) -> Full:
        if self.config.core == XQC:
            return FullXqc(self.contract, self.sac)
        if self.config.start_from != DEMONSTRATOR:
            return Full(self.contract, self.sac)
        return Kickstart(self.contract, KickstartConfig(
            **asdict(self.sac), teacher_weight=self.config.teacher_weight))

    def _steering(self, data: bytes, source: str) -> Steer:
        config = SteerConfig(**{**asdict(self.sac), 'noise_bound': self.config.noise_bound,
                                'target_entropy': self.config.noise_entropy})
        return Steer(self.contract, config, data, source)

    def _use(self, method: Full | Steer) -> None:
        """Take up a method, and all that came before it."""
        if self.config.compiled:
            method.rule = compiled(method.rule, partial(setattr, self, 'not_compiled'))
        self.method = method
        self.replays = {name: Replay(len(self.contract.layout), method.row_size)
                        for name in self.weights}
        if isinstance(method, Steer):
            self.normalizer, self.started_from = method.policy.normalizer, DEMONSTRATOR
        early, self._early = self._early, []
        for source, transitions in early:
            self.replays[REPLAYS[source]].add(method.rows(transitions))

    @property
    def collected(self) -> int:
        """Transitions of the robot."""
        return sum(self.counts[name] for name in ROBOT)

    @property
    def owed(self) -> int:
        """Updates that the ratio allows but that have not been made."""
        config = self.config
        if self.waiting or not shares(self.weights, self.replays, config.batch):
            return 0
        # What is to be steered is measured first, on the robot: demonstrations say nothing of it.
        start = self.collected + (self.counts['demos'] if config.method == FULL else 0)
        if start < config.start_transitions:
            return 0
        return max(0, int(self.collected * config.ratio) + config.critic_warmup - self.updates)

    def train(self, count: int) -> dict[str, float]:
        """Make `count` updates; return the last metrics of critic and actor."""
        if self.updates == 0 and count and self.started_from == DEMONSTRATOR:
            self._lower()
        if count and self._follows:
            self.normalizer = Normalizer.to(self._observed.mean, self._observed.deviation)
        mean, std = torch.from_numpy(self.normalizer.mean), torch.from_numpy(self.normalizer.std)
        counts = shares(self.weights, self.replays, self.config.batch)
        period, warmup = self.sac.actor_period, self.config.critic_warmup
        rule, unit = self.method.rule, self.returns.unit
        metrics: dict[str, torch.Tensor] = {}
        with products(self.config.bfloat16):
            for _ in range(count):
                observation, action, reward, following, terminated = draw(
                    self.replays, counts, self.generator)
                batch = Batch((observation - mean) / std, action, reward[:, 0] / unit,
                              (following - mean) / std, terminated[:, 0])
                with_actor = self.updates >= warmup and self.updates % period == period - 1
                self.state, latest = rule.update(self.state, batch, self.generator, with_actor)
                metrics |= latest
                self.updates += 1
        return {name: float(value) * (unit if name == 'q_mean' else 1.0)
                for name, value in metrics.items()}

    def actor(self) -> bytes:
        """Return the current actor as a policy artifact; its version is the update count."""
        provenance = {'package': f'robot_rl {__version__}', 'torch': torch.__version__,
                      'seed': self.config.seed, 'updates': self.updates,
                      'episodes': len(self.episodes),
                      'transitions': self.collected, 'learned_stamp': self.learned_stamp,
                      'started_from': self.started_from}
        return self.method.artifact(self.state.actor.value, self.normalizer, self.updates,
                                    provenance)

    def save(self, folder: Path, keep: int) -> Path:
        """Write a checkpoint of everything but the experience; what is steered is in it."""
        if self.method is None:
            raise UserError(f'nothing to save yet: waiting for the {self.waits_for}')
        manifest = {'updates': self.updates, 'sac': asdict(self.method.rule.config),
                    'learner': asdict(self.config), 'episodes': len(self.episodes),
                    'transitions': self.collected, 'started_from': self.started_from,
                    'normalizer_follows': self._follows}
        arrays = self._arrays(self.state)
        if isinstance(self.method, Steer):
            manifest['demonstrator'] = self.method.digest
            arrays['demonstrator'] = np.frombuffer(self.method.data, np.uint8)
        return save_checkpoint(folder, arrays, manifest, self.contract, keep)

    def resume(self, folder: Path) -> str:
        """Take up the newest checkpoint of this learner; return what was done, for the log."""
        found, self.refused = newest_checkpoint(folder, self.contract, self._take)
        notes = [str(refused) for refused in self.refused]
        if not found:
            return '; '.join([*notes, f'no checkpoint in {folder}, starting fresh'])
        if self.config.start_from and self.updates and not self.started_from:
            notes.append('start_from has no effect on an actor that has learned already')
        needed = ceil(max(0, self.updates - self.config.critic_warmup) / self.config.ratio)
        return '; '.join([*notes, f'resumed {found[0]} at {self.updates} updates, as many as '
                          f'{needed} transitions allow; goes on when more are here: data_recorder '
                          'sends those of its bags again'])

    def _take(self, path: Path, arrays: dict, manifest: dict) -> None:
        """Go on from a checkpoint; raise UserError before anything changes."""
        method = self._method_of(path, arrays, manifest)
        check_made_with(path, manifest, self.config, method.rule.config)
        arrays = {name: array for name, array in arrays.items() if name != DEMONSTRATOR}
        fresh = self._arrays(method.rule.init(torch.Generator()))
        shapes = [{name: (array.shape, array.dtype) for name, array in found.items()}
                  for found in (fresh, arrays)]
        started_from = manifest.get('started_from', '')     # older checkpoints lack it
        if shapes[0] != shapes[1] or not isinstance(manifest.get('updates'), int) or (
                not isinstance(started_from, str)):
            raise UserError(f'{path}: expected the arrays and counters of this learner, found '
                            'others; use another folder')
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        try:
            self.generator.set_state(tensors.pop('generator'))
        except RuntimeError as error:
            raise UserError(f'{path}: generator: {error}; use another folder') from None
        if method is not self.method:
            self._use(method)
        self.normalizer = Normalizer(arrays['normalizer.mean'], arrays['normalizer.std'])
        self.state = method.state.from_tensors(tensors)
        self.updates, self.started_from = manifest['updates'], started_from
        self._fixed = self.updates > 0 and not manifest.get('normalizer_follows')

    def _method_of(self, path: Path, arrays: dict, manifest: dict) -> Full | Steer:
        """Return the method that a checkpoint goes on with; it brings what it steers."""
        digest = manifest.get('demonstrator')
        if (digest is not None) != (self.config.method == STEER):
            raise UserError(f'{path}: method: expected {self.config.method}, found '
                            f'{FULL if digest is None else STEER}; use this method or another '
                            'folder')
        if digest is None:
            return self.method
        data = arrays.get('demonstrator', np.zeros(0)).tobytes()
        if digest_of(data) != digest:
            raise UserError(f'{path}: demonstrator: expected SHA-256 {digest}, found '
                            f'{digest_of(data)}; use another folder')
        return self._steering(data, f'{path}: demonstrator')

    def _arrays(self, state: SacState) -> dict[str, np.ndarray]:
        arrays = {name: value.numpy() for name, value in state.tensors().items()}
        return arrays | {'generator': self.generator.get_state().numpy(),
                         'normalizer.mean': self.normalizer.mean,
                         'normalizer.std': self.normalizer.std}

    def _add(self, source: str, transitions: Transitions) -> None:
        self.counts[source] += len(transitions)
        self._observed.add(transitions.observation)
        if self.method is None:
            self._early.append((source, transitions))
        else:
            self.replays[REPLAYS[source]].add(self.method.rows(transitions))

    def _note(self, transitions: Transitions) -> None:
        if self.config.core == XQC:
            self.returns.add(transitions)

    @property
    def _follows(self) -> bool:
        """Whether the normaliser is of all that was seen so far: a start's stays as it is."""
        return not self.started_from and not self._fixed

    def _observations(self) -> np.ndarray:
        n = len(self.contract.layout)
        return torch.cat([source.rows[:, :n] for source in self.replays.values()]).numpy()

    def _lower(self) -> None:
        """Let critics of a start from a demonstrator begin at the least return there is."""
        n, d = len(self.contract.layout), self.method.row_size
        rewards = torch.cat([source.rows[:, n + d] for source in self.replays.values()])
        least = min(float(rewards.min()), 0.0) / (1.0 - self.method.rule.discount)
        self.state = self.method.rule.lower(self.state, least)
