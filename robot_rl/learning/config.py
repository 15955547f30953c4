"""How to learn: every method's settings, and the words for what can be chosen.

Plain values and their checks. Who only asks for a training imports this, not what trains.
"""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.errors import UserError

FULL, STEER = METHODS = ('full', 'steer')
SAC, XQC = CORES = ('sac', 'xqc')       # of method full: how critics and actor are built
UTD_RATIO, TAUGHT_UTD_RATIO = 1.0, 4.0  # where none is named; with a demonstrator
SIM_OPTIMAL, DEMONSTRATOR = 'sim_optimal', 'demonstrator'   # to start from, each on its topic
LATENT, CONSTANT = 'latent', 'constant'
SPREADS = (LATENT, 'diagonal', 'full', 'noised', CONSTANT)
CHOOSE = -1.0                   # alpha that held-out coverage is to choose


@dataclass(frozen=True)
class SacConfig:
    """Hyper-parameters of the update of sac.py; E critics."""

    width: int = 256                # units per hidden layer
    depth: int = 2                  # hidden layers
    critics: int = 2                # E
    critic_subset: int = 2          # critics whose minimum is the target
    layer_norm: bool = True         # in the critics
    discount: float = 0.98          # gamma per control step
    target_rate: float = 0.005      # tau, share of the critic mixed into its target per update
    learning_rate: float = 3e-4
    actor_period: int = 2           # critic updates per actor and temperature update
    initial_temperature: float = 0.2
    target_entropy: float = -1.0    # per action dimension, nats

    @property
    def size(self) -> str:
        """Return the hidden layers in words."""
        return f'width {self.width} and depth {self.depth}'


@dataclass(frozen=True)
class SteerConfig(SacConfig):
    """The same for steering.py; `discount` is per control step here too."""

    target_entropy: float = 0.0     # per noise dimension, nats, of the scaled noise
    noise_bound: float = 1.5        # largest latent noise, each dimension


@dataclass(frozen=True)
class KickstartConfig(SacConfig):
    """The same for kickstarting.py."""

    teacher_weight: float = 0.3     # of the distance to the start, per |Q|, at first


@dataclass(frozen=True)
class LearnerConfig:
    """How much the learner trains, and on what."""

    seed: int = 0
    method: str = FULL              # or steer: learn the latent noise of a demonstrator
    core: str = SAC                 # or XQC: batch-normed, distributional, slower, with depth 4
    utd_ratio: float = 0.0          # critic updates per transition; 0: (TAUGHT_)UTD_RATIO
    batch: int = 256                # rows per update
    start_transitions: int = 1000   # collected before the first update
    critic_warmup: int = 0          # first updates, of the critics alone, owed besides the ratio
    demo_weight: float = 1.0        # share of a batch from demonstrations, or bags of earlier
    #                                 sessions, beside 1 of the robot's own
    start_from: str = ''            # SIM_OPTIMAL or DEMONSTRATOR: wait for it, start as it acts
    teacher_weight: float = 0.3     # start_from DEMONSTRATOR: how firmly it stays as it acts
    noise_bound: float = 1.5        # steer: largest latent noise, each dimension
    noise_entropy: float = 0.0      # steer: target entropy per noise dimension, nats
    compiled: bool = False          # the updates, which takes up to a minute at the first one
    bfloat16: bool = False          # products of the updates, where the processor has them

    def check(self, sac: SacConfig) -> None:
        """Raise UserError for settings that cannot work together."""
        if sac.critic_subset > sac.critics:
            raise UserError(f'critic_subset: expected at most critics = {sac.critics}, '
                            f'found {sac.critic_subset}')
        if self.method == STEER and self.start_from not in ('', DEMONSTRATOR):
            raise UserError(f'start_from: expected {DEMONSTRATOR} with method steer, found '
                            f'{self.start_from}')
        if self.core == XQC and self.batch < 2:
            raise UserError(f'batch: expected at least 2 with core {XQC}, which norms by the '
                            f'batch, found {self.batch}')
        if self.core == XQC and (self.method != FULL or self.start_from):
            raise UserError(f'core: expected {SAC} with method {self.method} and start_from '
                            f'"{self.start_from}", found {XQC}, which starts from nothing')

    @property
    def ratio(self) -> float:
        """Critic updates per transition of the robot."""
        taught = self.start_topic == DEMONSTRATOR
        return self.utd_ratio or (TAUGHT_UTD_RATIO if taught else UTD_RATIO)

    @property
    def start_topic(self) -> str:
        """What the learner waits for, SIM_OPTIMAL, DEMONSTRATOR or nothing."""
        return DEMONSTRATOR if self.method == STEER else self.start_from


@dataclass(frozen=True)
class ExplorerConfig:
    """What makes the latents of explorers.py different."""

    latents: int = 8                # that earn the bonus, besides the one that learns the task
    alpha: float = 1.0              # bonus per nat, as a share of (R* - R(random)) / horizon
    gate: float = 0.6               # eps, share of R* - R(random) that an episode may fall short
    shared: float = 0.5             # of a batch, given to a latent drawn anew
    width: int = 64                 # units of the discriminator's hidden layer
    learning_rate: float = 3e-4     # of the discriminator


@dataclass(frozen=True)
class FitConfig:
    """How posterior.py fits a demonstrator."""

    chunk: int = 4                  # k, actions that are planned together
    replan: int = 2                 # of them that are executed before the next plan
    members: int = 10               # K, of the ensemble
    spread: str = LATENT            # of the ensemble, as latents of its own, which rest while the
    #                                 demonstrator acts. Or, as published, noise on the chunks that
    #                                 the policy learns from: diagonal: of each number by itself;
    #                                 full: with what they share; noised: full, of an ensemble that
    #                                 sees noise in place of bootstraps; constant: the same in
    #                                 every state
    alpha: float = CHOOSE           # of the spread; 0: cloning; -1: by held-out coverage
    folds: int = 5                  # F at most, of the trajectories, for the held-out coverage
    updates: int = 0                # of the policy; 0: as many as the data asks for
    ensemble_updates: int = 5_000   # of every member, at most
    patience: int = 4               # measurements without progress that end the ensemble's
    member_width: int = 64          # units per hidden layer of a member
    batch: int = 64                 # windows per update of the policy
    width: int = 128                # units per hidden layer of the policy
    depth: int = 3                  # hidden layers of the policy
    learning_rate: float = 1e-3     # of Adam; the policy's falls to 0 with the cosine
    average: float = 0.999          # share of the averaged parameters that an update leaves
    sampling_steps: int = 8         # S, of DDIM
    seed: int = 0

    def check(self) -> None:
        """Raise UserError for settings that cannot work."""
        rules = (
            ('chunk', '1 to 64', 1 <= self.chunk <= 64),
            ('replan', f'1 to chunk = {self.chunk}', 1 <= self.replan <= self.chunk),
            ('members', '2 to 100', 2 <= self.members <= 100),
            ('spread', f'one of {", ".join(SPREADS)}', self.spread in SPREADS),
            ('alpha', 'from 0 to 10, or -1', 0 <= self.alpha <= 10 or self.alpha == CHOOSE),
            ('folds', '2 to 20', 2 <= self.folds <= 20),
            *((name, 'at least 1', getattr(self, name) >= 1) for name in (
                'ensemble_updates', 'patience', 'member_width', 'batch', 'width')),
            ('updates', 'at least 0', self.updates >= 0),
            ('depth', '1 to 8', 1 <= self.depth <= 8),
            ('learning_rate', 'above 0 and below 1', 0 < self.learning_rate < 1),
            ('average', 'from 0 to below 1', 0 <= self.average < 1),
            ('sampling_steps', '1 to 64', 1 <= self.sampling_steps <= 64),
            ('seed', 'at least 0', self.seed >= 0))
        for name, expected, holds in rules:
            if not holds:
                raise UserError(f'fit: {name}: expected {expected}, found {getattr(self, name)}')
