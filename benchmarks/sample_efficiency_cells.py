"""Cells of benchmarks/sample_efficiency.py: one learner, one task, one seed.

They are in a file of their own so that workers can import them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import cartpole
import made_task
import numpy as np
from robot_rl.casting import Casting, Schedule
from robot_rl.contract import Contract, load_contract
from robot_rl.data.episode import SOURCES
from robot_rl.data.steps import Mode
from robot_rl.data.transitions import derive_transitions, Transitions
from robot_rl.errors import UserError
from robot_rl.learning.config import LearnerConfig, SacConfig, XQC
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_policy, Policy, RandomPolicy
from robot_rl.policies import PolicyShelf
from robot_rl.sim.episodes import run_episode
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.gap import Gap, SHIPPED
from robot_rl.sim.train_explorers import train_explorers
from robot_rl.sim.twin import Twin
import yaml

LOCOMOTION = ('Hopper-v5', 'Walker2d-v5', 'HalfCheetah-v5', 'Ant-v5')
CARTPOLE = 'cartpole-swingup-sparse'
CONTRACT = Path(__file__).parent / 'cartpole.yaml'
DISCOUNT = 0.99                         # as the peer's
MEASURED, MEASURE_SEED = 10, 1 << 20    # greedy episodes of a measurement; worlds of their own
EXPLORED = 20                           # episodes of explorers, the first ones
SIM = TrainSettings(steps=405_000, updates=30_000, threads=1)     # of the explorers
REPEAT = 2                              # steps of cartpole's physics per action
ROBOT = SHIPPED['mild']                 # the robot's gap from the world that they learned in
NO_GYM = "gymnasium: expected the package, found none; pip install '.[bench]'"


@dataclass(frozen=True)
class Side:
    """Who learns."""

    sac: SacConfig
    learner: LearnerConfig


DEFAULT = Side(SacConfig(discount=DISCOUNT), LearnerConfig(compiled=True))
PER_ACTION = replace(DEFAULT, learner=replace(DEFAULT.learner, utd_ratio=REPEAT))
PEER = 'stable-baselines3'
SIDES = {
    'default': DEFAULT,
    'wide': Side(                       # as XQC's authors set it
        SacConfig(depth=4, discount=0.995, actor_period=3, initial_temperature=0.01,
                  target_entropy=-0.5),
        LearnerConfig(core=XQC, utd_ratio=2.0, start_transitions=5000, compiled=True,
                      bfloat16=True)),
    PEER: None,                         # its own
    'alone': PER_ACTION,                # on cartpole: an update per step there, too
    'explorers': PER_ACTION,
}


@dataclass(frozen=True)
class Cell:
    """A learner on a task from a seed."""

    task: str
    side: str
    seed: int
    steps: int                  # of the environment
    every: int                  # of them between measurements

    needs = None

    def __str__(self) -> str:
        return f'{self.side}, {self.task}, #{self.seed}'

    @property
    def file(self) -> str:
        """Name of its result."""
        return f'{self.task}_{self.side}_{self.seed}'

    def run(self, data: None, artifact: bytes) -> tuple[dict, bytes]:
        """Learn; return how that went. It is given nothing, and makes no artifact."""
        return {'curve': self.curve()}, b''

    def curve(self) -> list[tuple[int, float]]:
        """Learn; return (steps, mean return of greedy episodes) along the way."""
        if self.task == CARTPOLE:
            return list(swing_up(self))
        return list((stable_baselines if self.side == PEER else ours)(self))


def settings(cells: Sequence[Cell]) -> dict[str, dict]:
    """Return what the results of each task depend on, beside what names a cell."""
    found = {cell.task: {'steps': cell.steps, 'measured': MEASURED, 'sides': {
        name: side and asdict(side) for name, side in SIDES.items()}} for cell in cells}
    if CARTPOLE in found:
        found[CARTPOLE] |= {'simulator': asdict(SIM), 'robot': asdict(ROBOT),
                            'explored': EXPLORED}
    return found


# Locomotion, in gymnasium's worlds.

def world(task: str):
    """Return a gymnasium environment."""
    try:
        import gymnasium
    except ModuleNotFoundError:
        raise UserError(NO_GYM) from None
    return gymnasium.make(task)


def gym_contract(path: Path, env) -> Contract:
    """Write and load a contract with the sizes and limits of an environment."""
    os.environ.update(made_task.ENVIRONMENT)
    size, = env.observation_space.shape
    box, horizon = env.action_space, env.spec.max_episode_steps
    document = {
        'task': 'locomotion', 'control_rate': 1.0 / env.unwrapped.dt,
        'observation': [{'name': 'arm0', 'topic': 'joint_states', 'max_age': 1.0,
                         'type': 'sensor_msgs/msg/JointState',      # as made_task's functions ask
                         'select': {'position': [f'number{index}' for index in range(size)]}}],
        'action': {'topic': 'commands', 'type': 'std_msgs/msg/Float64MultiArray',
                   'names': [f'motor{index}' for index in range(len(box.low))],
                   'low': box.low.tolist(), 'high': box.high.tolist(), 'on_stop': 'zeros'},
        'episode': {'horizon': horizon}, 'reward': 'made_task:reward',
        'success': 'made_task:success'}       # the environment judges, not these
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding='utf-8')
    return load_contract(str(path))


def ours(cell: Cell) -> Iterator[tuple[int, float]]:
    """Learn as sac_learner does: episode by episode, so many updates per transition."""
    side, env, test = SIDES[cell.side], world(cell.task), world(cell.task)
    with TemporaryDirectory() as folder:
        contract = gym_contract(Path(folder) / 'contract.yaml', env)
    learner = Learner(contract, replace(side.learner, seed=cell.seed), side.sac)
    policy: Policy = RandomPolicy(contract.action.low, contract.action.high)
    rng, steps, episode = np.random.default_rng(cell.seed), 0, 0
    while steps < cell.steps:
        seed = cell.seed if not episode else None
        transitions = gym_episode(env, policy, rng, cell.steps - steps, seed)
        before, episode = steps, episode + 1
        steps += len(transitions)
        learner.add(str(episode), transitions, steps)
        if learner.owed:
            learner.train(learner.owed)
            policy = decode_policy(learner.actor(), contract, 'actor')
        if before // cell.every != steps // cell.every or steps == cell.steps:
            yield steps, measured(test, lambda seen: policy.act(seen, None))


def gym_episode(env, policy: Policy, rng: np.random.Generator, most: int, seed: int | None
                ) -> Transitions:
    """Return an episode of at most so many steps."""
    rows, over = [], False
    seen, _ = env.reset(seed=seed)
    while not over and len(rows) < most:
        action = policy.act(seen, rng)
        following, reward, terminated, truncated, _ = env.step(action)
        rows.append((seen, action, reward, following, terminated, truncated))
        seen, over = following, terminated or truncated
    *columns, terminated, truncated = map(np.array, zip(*rows))
    truncated[-1] = not terminated[-1]
    return Transitions(*(column.astype(np.float32) for column in (
        *columns, terminated, truncated)))


def measured(env, act: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the mean return of MEASURED episodes."""
    total = 0.0
    for episode in range(MEASURED):
        (seen, _), over = env.reset(seed=MEASURE_SEED + episode), False
        while not over:
            seen, reward, terminated, truncated, _ = env.step(act(seen))
            total, over = total + reward, terminated or truncated
    return float(total / MEASURED)


def stable_baselines(cell: Cell) -> Iterator[tuple[int, float]]:
    """Let the peer learn, as it comes."""
    env, test = world(cell.task), world(cell.task)
    try:
        from stable_baselines3 import SAC
    except ModuleNotFoundError:
        raise UserError(NO_GYM.replace('gymnasium', 'stable_baselines3')) from None
    model = SAC('MlpPolicy', env, seed=cell.seed, device='cpu')
    assert model.gamma == DISCOUNT
    for steps in range(cell.every, cell.steps + 1, cell.every):
        model.learn(cell.every, reset_num_timesteps=False)
        yield steps, measured(test, lambda seen: model.predict(seen, deterministic=True)[0])


# A sparse reward, on a robot that is not quite the simulator.

def swing_up(cell: Cell) -> Iterator[tuple[int, float]]:
    """Learn on the cart-pole; the first episodes are the simulator's explorers, if they are to."""
    os.environ.update(made_task.ENVIRONMENT)
    contract = load_contract(str(CONTRACT))
    side, casting = SIDES[cell.side], Casting(contract, PolicyShelf(contract))
    if cell.side == 'explorers':
        casting.shelf.offer(explorers(contract, cell.seed), 'explorers')
    learner = Learner(contract, replace(side.learner, seed=cell.seed), side.sac)
    twin, length = Twin(contract, ROBOT, cell.seed), REPEAT * contract.episode.horizon
    for episode in range(1, cell.steps // length + 1):
        asked = 'explore' if casting.shelf.explorers and episode <= EXPLORED else 'learn'
        mode, policy = casting.cast(asked, Schedule(1.0, 0.0, 1), True, cell.seed, episode)
        steps = run_episode(twin, policy, mode, episode, cell.seed)
        learner.add(str(episode), derive_transitions(steps, contract), steps[-1].stamp,
                    SOURCES[mode.name.lower()])
        if learner.owed:
            learner.train(learner.owed)
            casting.shelf.offer(learner.actor(), 'actor')
        if episode * length % cell.every == 0:
            actor = decode_policy(learner.actor(), contract, 'actor')
            yield episode * length, upright(contract, actor, ROBOT)


def explorers(contract: Contract, seed: int) -> bytes:
    """Return what the simulator trained, where a pole that stands is a success and the end."""
    finds = replace(contract, success_name='cartpole:stands', success=cartpole.stands)
    with TemporaryDirectory() as folder:
        return train_explorers(finds, replace(SIM, seed=seed), lambda progress: None,
                               lambda: False, Path(folder)).explorers


def upright(contract: Contract, policy: Policy, gap: Gap) -> float:
    """Return the mean return of MEASURED greedy episodes."""
    twin = Twin(contract, gap, MEASURE_SEED)
    episodes = [derive_transitions(run_episode(twin, policy, Mode.EVALUATE, number), contract)
                for number in range(MEASURED)]
    return REPEAT * float(sum(episode.reward.sum() for episode in episodes)) / MEASURED
