"""The vectorised simulator beside `mujoco.rollout` alone, and beside a Twin in a Python loop.

    closed    VectorEpisodes: random policy, observation, reward, ends and resets, every period
    rollout   one call of mujoco.rollout: same model, threads and actions, from the same states,
              open loop, nothing but states comes back; the floor that no closed loop can beat
    twin      one Twin in Python: random policy, observation and reward

The three alternate in one process, so that a busy machine slows all of them. What counts is the
ratio pair by pair, not a time; that of processor times leaves out waiting for other processes.
Closed loop runs one physics step per control period more than it keeps, for the sensors of the
state that the period ends in: that is part of its cost.

Few worlds are slower: a control period costs some 0.1 ms of numpy, the reward included, as much
as the physics of a few worlds. A second thread halves the physics, not the numpy, and is woken in
each period, so it wants more worlds. The goal is for 16 worlds and more; for one use a Twin.
"""

from __future__ import annotations

from collections.abc import Callable
import os
import platform
import sys
import time

import mujoco
from mujoco.rollout import Rollout
import numpy as np
from robot_rl.benchmarking import finish, parser_of, verdicts
from robot_rl.contract import Contract, load_contract
from robot_rl.sim.twin import load_model, Twin
from robot_rl.sim.vector import VectorTwin
from robot_rl.sim.vector_episodes import collect, Experience, VectorEpisodes

TASKS = ('puck_push', 'reach')
WORLDS, FAST_WORLDS = (1, 4, 16, 27, 64, 256), (1, 16, 64)      # 27: to train explorers
THREADS, FAST_THREADS = (1, 2), (1,)
ROUNDS, FAST_ROUNDS = 15, 5         # after one to warm up
CONTROL_STEPS, FAST_CONTROL_STEPS = 1024, 512   # of a round, over all worlds
LEAST_PERIODS = 4                   # control periods of a round
GOAL = 0.6
GOAL_WORLDS = 16                    # the goal is for as many worlds and more
TWIN_STEPS = 50                     # control steps of a round of the Twin


def measure(contract: Contract, worlds: int, threads: int, rounds: int, steps: int) -> dict:
    """Return one row: median microseconds per kept physics step, and ratios pair by pair."""
    periods = max(LEAST_PERIODS, steps // worlds)
    rng, limits = np.random.default_rng(0), contract.action
    episodes = VectorEpisodes(VectorTwin(contract, worlds, threads=threads))
    open_loop = OpenLoop(load_model(contract), worlds, threads)
    twin = Twin(contract)
    shape = (worlds, len(limits.layout))

    def act(observation: np.ndarray) -> np.ndarray:
        return limits.low + (limits.high - limits.low) * rng.random(shape)

    walls, cpus = [], []
    for _ in range(rounds + 1):
        start = episodes.twin.state.copy()
        closed, experience = timed(lambda: collect(episodes, act, periods))
        controls = repeated(experience, worlds, episodes.twin.steps)
        rollout, physics_steps = timed(lambda: open_loop.run(start, controls))
        assert physics_steps == len(experience) * episodes.twin.steps, 'different work'
        alone, _ = timed(lambda: run_twin(twin, rng, TWIN_STEPS))
        for times, clock in ((walls, 0), (cpus, 1)):
            times.append((closed[clock] / physics_steps, rollout[clock] / physics_steps,
                          alone[clock] / (TWIN_STEPS * episodes.twin.steps)))
    closed, rollout, alone = np.transpose(walls[1:]) * 1e6
    cpu_closed, cpu_rollout, _ = np.transpose(cpus[1:])
    return {'task': contract.task, 'worlds': worlds, 'threads': threads,
            'physics_steps': physics_steps, 'closed_us': median(closed),
            'rollout_us': median(rollout), 'twin_us': median(alone),
            'ratio': median(rollout / closed),
            'ratio_quartiles': np.quantile(rollout / closed, (0.25, 0.75)).tolist(),
            'cpu_ratio': median(cpu_rollout / cpu_closed),
            'speedup_over_twin': median(alone / closed)}


def timed(function: Callable) -> tuple[tuple[float, float], object]:
    """Return (wall, processor) seconds of a call, and its result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return (time.perf_counter() - wall, time.process_time() - cpu), result


def median(values: np.ndarray) -> float:
    return float(np.median(values))


class OpenLoop:
    """`mujoco.rollout` with everything that can be prepared prepared."""

    def __init__(self, model: mujoco.MjModel, worlds: int, threads: int):
        self._models = [model] * worlds
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._pool = Rollout(nthread=threads if threads > 1 else 0)
        self._timestep = model.opt.timestep
        self._states = np.empty(0)

    def run(self, start: np.ndarray, controls: np.ndarray) -> int:
        """Roll out from states (N, k) under controls (N, t, m); return the physics steps done."""
        shape = (*controls.shape[:2], start.shape[1])
        if self._states.shape != shape:
            self._states = np.empty(shape)
        self._pool.rollout(self._models, self._data, start, controls, nstep=controls.shape[1],
                           skip_checks=True, state=self._states)
        return round((self._states[:, -1, 0] - start[:, 0]).sum() / self._timestep)


def repeated(experience: Experience, worlds: int, steps: int) -> np.ndarray:
    """Return the executed actions, held for a control period each, as controls (N, t, m)."""
    action = experience.action.reshape(worlds, -1, experience.action.shape[1])
    return np.repeat(action, steps, axis=1)


def run_twin(twin: Twin, rng: np.random.Generator, steps: int) -> None:
    """Run an episode of that many control steps, one world, as run by hand in Python."""
    limits = twin.contract.action
    twin.reset()
    observation = twin.observation()
    for _ in range(steps):
        action = rng.uniform(limits.low, limits.high)
        twin.step(action)
        following = twin.observation()
        twin.contract.judge(observation, action, following)
        twin.contract.is_success(following)
        observation = following


def claims(rows: list[dict]) -> list[dict]:
    """Return what the rows say about the goal: the worst of the sizes that it is for."""
    found = []
    for task in dict.fromkeys(row['task'] for row in rows):
        large = [row for row in rows if row['task'] == task and row['worlds'] >= GOAL_WORLDS]
        most = max(row['worlds'] for row in large)
        for name, least in ((f'{GOAL_WORLDS} worlds and more', GOAL_WORLDS),
                            (f'{most} worlds', most)):
            value = min(row['ratio'] for row in large if row['worlds'] >= least)
            found.append({'claim': f'{task}, {name}, worst: closed loop / mujoco.rollout alone',
                          'value': round(value, 3), 'goal': GOAL, 'holds': value >= GOAL})
    return found


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    versions = ', '.join(f'{name} {version}' for name, version in result['versions'].items())
    lines = [f'{versions}; {result["cpus"]} processors; {result["rounds"]} rounds of '
             f'{result["control_steps_per_round"]} control steps over all worlds', '',
             f'{"":24}{"us per physics step, median":>30}{"rollout / closed,":>26}'
             f'{"processor":>12}{"closed":>10}',
             f'{"task":10}{"worlds":>6}{"threads":>8}{"closed":>10}{"rollout":>10}{"twin":>10}'
             f'{"median (quartiles)":>26}{"time alone":>12}{"vs twin":>10}']
    for row in result['rows']:
        low, high = row['ratio_quartiles']
        ratio = f'{row["ratio"]:.2f} ({low:.2f} to {high:.2f})'
        lines.append(f'{row["task"]:10}{row["worlds"]:6}{row["threads"]:8}{row["closed_us"]:10.2f}'
                     f'{row["rollout_us"]:10.2f}{row["twin_us"]:10.2f}{ratio:>26}'
                     f'{row["cpu_ratio"]:12.2f}{row["speedup_over_twin"]:9.1f}x')
    lines += ['', *verdicts(result['claims'])]
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'simulator', 'fewer sizes and rounds')
    options = parser.parse_args(arguments)
    fast = options.fast
    rounds = FAST_ROUNDS if fast else ROUNDS
    steps = FAST_CONTROL_STEPS if fast else CONTROL_STEPS
    rows = [measure(load_contract(task), worlds, threads, rounds, steps) for task in TASKS
            for worlds in (FAST_WORLDS if fast else WORLDS)
            for threads in (FAST_THREADS if fast else THREADS)]
    result = {'benchmark': 'simulator', 'claims': claims(rows), 'rounds': rounds,
              'control_steps_per_round': steps, 'cpus': os.cpu_count(),
              'versions': {'python': platform.python_version(), 'mujoco': mujoco.__version__,
                           'numpy': np.__version__}, 'rows': rows}
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(main())
