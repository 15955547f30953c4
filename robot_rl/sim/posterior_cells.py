"""Cells of the benchmark posterior: a fit to demonstrations, or its fine-tuning on a robot.

They are here so that workers, on other machines too, can import them. People are recorded in one
world and the robot is another: a declared gap from it for puck_push, and for push_t the MuJoCo
twin of the 2-D engine that they were recorded in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import count, islice
from pathlib import Path

import numpy as np
from robot_rl.bundle import pack, unpack
from robot_rl.contract import Contract, load_contract
from robot_rl.data.pusht import PIXEL, read_pusht
from robot_rl.data.steps import Mode
from robot_rl.data.transitions import derive_transitions, Transitions
from robot_rl.learning.calibration import coverage
from robot_rl.learning.config import CONSTANT, DEMONSTRATOR, FitConfig, LearnerConfig, SacConfig
from robot_rl.learning.demonstrations import Demonstrations, windows
from robot_rl.learning.diffusion_policy import decode_demonstrator, DiffusionPolicy
from robot_rl.learning.posterior import Fit
from robot_rl.scripted import ScriptedPerson
from robot_rl.sim.episodes import run_episode
from robot_rl.sim.gap import Gap, SHIPPED
from robot_rl.sim.trial import Budget, FineTuning, GOAL, measure, run_trial
from robot_rl.sim.twin import Twin
from robot_rl.tasks import push_t

HELD_OUT = 20                   # demonstrations that no fit sees, for the coverage
RECORDED = 100                  # successes of the scripted person, beside those held out
STATES, SAMPLES = 256, 64       # held-out states, and plans in each
MEASURE_SEED = 7                # of worlds and plans that tell the pretrained success
ALL, FEW = 0, (5, 10, 25)       # demonstrations


@dataclass(frozen=True)
class Task:
    """What is demonstrated, and the robot that it is to be done with."""

    gap: Gap                    # of the robot from the world of the demonstrations
    budget: Budget              # of a fine-tuning
    success: str = ''           # in place of the contract's


TASKS = {
    'puck_push': Task(SHIPPED['declared'],
                      Budget(episodes=60, period=5, measured=50, final=100, enough=GOAL)),
    'push_t': Task(Gap(), Budget(episodes=40, period=5, measured=50, final=100, enough=GOAL),
                   'robot_rl.tasks.push_t:close'),
}
PUBLISHED = FitConfig(spread='diagonal', member_width=128, folds=10)    # noise that is learned
PLAIN = replace(PUBLISHED, ensemble_updates=1, folds=2)  # makes no use of ensemble and folds
LONG = {'width': 256, 'updates': 30_000}        # about the passes over the data as published
CLONE, POSTERIOR = 'bc', 'postbc'               # the same fit, without and with its alpha
METHODS = {
    CLONE: FitConfig(alpha=0.0),
    'sigma_bc': replace(PLAIN, spread=CONSTANT, alpha=0.1),
    POSTERIOR: FitConfig(),
    'postbc_members_3': FitConfig(members=3),
    'noise': PUBLISHED,
    'noise_alpha_1': replace(PUBLISHED, alpha=1.0),         # as published
    'noise_full': replace(PUBLISHED, spread='full'),
    'noise_noised': replace(PUBLISHED, spread='noised'),
    'noise_members_3': replace(PUBLISHED, members=3),
    'noise_constant': replace(PLAIN, spread=CONSTANT, folds=10),
    'noise_long': replace(PUBLISHED, folds=4, **LONG),
    'bc_long': replace(PLAIN, alpha=0.0, **LONG),
}
SAC = SacConfig(width=128, target_rate=0.02)   # fast: there are few updates in so few episodes
START = {'start_transitions': 500, 'critic_warmup': 1000, 'compiled': True}
TUNERS = {
    'steer': FineTuning('learn', config=LearnerConfig(method='steer', **START)),
    'full': FineTuning('learn', config=LearnerConfig(start_from=DEMONSTRATOR, **START)),
}


@dataclass(frozen=True)
class Taught:
    """Demonstrations: those that a cell learns from, and those that nothing learns from."""

    episodes: tuple[Transitions, ...]
    held_out: tuple[Transitions, ...]


@dataclass(frozen=True)
class FitCell:
    """A cell: a method fitted to some of the demonstrations."""

    task: str
    method: str
    demos: int                  # 0: all
    seed: int                   # of the fit, and of which demonstrations it gets
    measured: int               # episodes that tell the pretrained success

    kind = 'fit'

    @property
    def needs(self) -> FitCell | None:
        """The fit of the posterior for its clone, which is that with alpha = 0; else nothing."""
        return replace(self, method=POSTERIOR) if self.method == CLONE else None

    def __str__(self) -> str:
        return f'{self.method}, {self.task}, {self.demos or "all"} demonstrations, #{self.seed}'

    @property
    def file(self) -> str:
        """Name of its result."""
        return f'{self.task}_{self.method}_{self.demos or "all"}_{self.seed}'

    def run(self, taught: Taught, artifact: bytes) -> tuple[dict, bytes]:
        """Fit; return what the policy does, and the policy."""
        contract, task = contract_of(self.task), TASKS[self.task]
        if self.needs:
            found, artifact = {'alpha': 0.0}, cloned(artifact)
        else:
            found, artifact = self._fit(contract, taught)
        policy = Sampled.of(decode_demonstrator(artifact, contract, self.file))
        successes = measure(contract, policy, task.gap, self.measured, MEASURE_SEED)
        return {'successes': successes, 'measured': self.measured,
                'covered': covered(policy, taught.held_out), **found}, artifact

    def _fit(self, contract: Contract, taught: Taught) -> tuple[dict, bytes]:
        config = replace(METHODS[self.method], seed=self.seed)
        fit = Fit(Demonstrations.build(taught.episodes, contract, config.chunk, config.folds,
                                       self.seed), config)
        while not fit.done:
            figures = fit.round()
        return {'alpha': fit.alpha, 'ensemble_updates': figures['ensemble_updates'],
                'calibration': fit.calibration}, fit.artifact(contract, 1,
                                                              {'benchmark': self.file})


def cloned(artifact: bytes) -> bytes:
    """Return the demonstrator of a fit without latents of what the demonstrations leave open."""
    arrays, manifest = unpack(artifact, 'fit')
    return pack(arrays, manifest | {'alpha': 0.0})


@dataclass(frozen=True)
class TuneCell:
    """A cell: a fitted policy, fine-tuned on the robot."""

    needs: FitCell
    tuner: str
    budget: Budget

    kind = 'tune'

    def __str__(self) -> str:
        return f'{self.tuner}: {self.needs}'

    @property
    def file(self) -> str:
        """Name of its result."""
        return f'{self.needs.file}_{self.tuner}'

    def run(self, taught: Taught, artifact: bytes) -> tuple[dict, bytes]:
        """Fine-tune; return what became of it."""
        contract, gap = contract_of(self.needs.task), TASKS[self.needs.task].gap
        trial = run_trial(contract, gap, TUNERS[self.tuner], None, self.budget, self.needs.seed,
                          SAC, artifact, taught.episodes)
        rate = 60e9 / Twin(contract, gap).period_ns         # control steps per minute
        curve = [{**asdict(point), 'steps': round(point.minutes * rate)}
                 for point in (*trial.curve, trial.final)]
        return {'curve': curve[:-1], 'final': curve[-1]}, b''


@dataclass(frozen=True)
class Sampled(DiffusionPolicy):
    """A demonstrator whose every plan is sampled, also where the mode is asked for."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(MEASURE_SEED))

    @classmethod
    def of(cls, policy: DiffusionPolicy) -> Sampled:
        """Return the same policy, sampled."""
        return cls(*(getattr(policy, item.name) for item in fields(policy)))

    def noise(self, observation: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Return what the plans (B, c) are made of, by random numbers of its own."""
        return super().noise(observation, self.rng)


def covered(policy: DiffusionPolicy, episodes: Sequence[Transitions]) -> list[float]:
    """Return how many of the episodes' actions lie in the policy's regions, a share per LEVELS.

    Of all actions that a plan would have executed, in states that are the same for all policies.
    """
    seen = np.concatenate([episode.observation for episode in episodes])
    done = np.concatenate([windows(episode.action, policy.replan) for episode in episodes])
    rows = np.random.default_rng(MEASURE_SEED).permutation(len(seen))[:STATES]
    plans = np.concatenate([policy.possible(part, np.random.default_rng(MEASURE_SEED))
                            for part in np.array_split(seen[rows].repeat(SAMPLES, 0), 8)])
    size = plans.shape[-1]
    samples = plans[:, :policy.replan].reshape(len(rows), SAMPLES, policy.replan, size)
    return list(coverage(samples.transpose(0, 2, 1, 3).reshape(-1, SAMPLES, size),
                         done[rows].reshape(-1, size).astype(float)).shares)


def contract_of(task: str) -> Contract:
    """Return the contract of a task, with the success that the benchmark counts."""
    contract, success = load_contract(task), TASKS[task].success
    if not success:
        return contract
    return replace(contract, success_name=success, success=push_t.close)


def demonstrations(task: str, pusht_file: Path | None) -> list[Transitions]:
    """Return all demonstrations of a task, the last HELD_OUT of them for nobody to learn from.

    Raises InvalidFile for a file that does not hold those of push_t.
    """
    contract = contract_of(task)
    if task == 'push_t':
        episodes = [human(contract, *arrays) for arrays in read_pusht(pusht_file)]
        order = np.random.default_rng(0).permutation(len(episodes))     # people get better at it
        return [episodes[index] for index in order]
    twin = Twin(contract)
    episodes = (scripted(twin, number) for number in count())
    return list(islice((episode for episode in episodes if episode.terminated[-1]),
                       RECORDED + HELD_OUT))


def chosen(recorded: Sequence[Transitions], demos: int, seed: int) -> Taught:
    """Return what a cell gets: few demonstrations of a seed are the first of more of it."""
    pool, held_out = recorded[:-HELD_OUT], recorded[-HELD_OUT:]
    order = np.random.default_rng([1, seed]).permutation(len(pool))[:demos or None]
    return Taught(tuple(pool[index] for index in order), tuple(held_out))


def scripted(twin: Twin, number: int) -> Transitions:
    """Record an episode of the task's scripted person."""
    person = ScriptedPerson(twin.contract, np.random.default_rng([0, number]))
    return derive_transitions(run_episode(twin, person, Mode.SCRIPTED, number), twin.contract)


def human(contract: Contract, state: np.ndarray, action: np.ndarray) -> Transitions:
    """Return an episode of a person, states (T, 5) and actions (T, 2), up to its success."""
    bar, foot = push_t.points(state[:, 2:4] * PIXEL, state[:, 4])
    seen = np.concatenate((state[:, :2] * PIXEL, bar, foot), axis=1)
    solved = contract.is_success(seen)
    last = int(np.argmax(solved)) if solved.any() else len(seen) - 1
    done = np.clip(action[:last] * PIXEL, contract.action.low, contract.action.high)
    reward, terminated = contract.judge(seen[:last], done, seen[1:last + 1])
    terminated[-1] |= solved[last]
    truncated = np.zeros(last, bool)
    truncated[-1] = not terminated[-1]
    columns = (seen[:last], done, reward, seen[1:last + 1], terminated, truncated)
    return Transitions(*(np.ascontiguousarray(column, np.float32) for column in columns))
