"""One side of benchmarks/learner.py: a process that makes updates when it is asked to.

Reads a setting as JSON from its argument and counts from stdin, line by line; writes lines of
JSON: first what it is, or why it is not there, then for each count the seconds on the clock and
of the processor.
Imports nothing of robot_rl unless that is the side: a peer may live in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
import sys
import tempfile
import time

STORED = 10_000         # transitions to draw from
PACKAGES = {'stable-baselines3': 'stable-baselines3', 'SBX': 'sbx-rl'}       # of the peers
ONE_THREAD = {          # for whatever multiplies matrices
    'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1',
    'XLA_FLAGS': '--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1',
    'JAX_PLATFORMS': 'cpu'}


class Missing(Exception):
    """Raised by a side that is not what it is asked to be."""


def ours(setting: dict, **options) -> tuple[Callable[[int], None], dict]:
    """Return our learner as the node runs it: draw, normalise, update; with further options."""
    from made_task import made_transitions, write_contract
    from robot_rl.learning.config import LearnerConfig, SacConfig
    from robot_rl.learning.learner import Learner
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        contract = write_contract(Path(folder) / 'contract.yaml', joints=setting['n'] // 2,
                                  actions=setting['m'])
    sac = SacConfig(width=setting['width'], depth=2, critics=setting['critics'],
                    critic_subset=setting['subset'], layer_norm=setting['layer_norm'],
                    actor_period=setting['actor_period'])
    learner = Learner(contract, LearnerConfig(batch=setting['batch'], **options), sac)
    learner.add('0', made_transitions(contract, STORED), 1)
    critic = learner.method.rule.critic
    weights = sum(rows * columns for rows, columns in critic.shapes[::2]) * setting['critics']

    def update(count: int) -> None:
        before = learner.updates
        for _ in range(0, count, setting['utd']):
            learner.train(setting['utd'])
        assert learner.updates == before + count, 'different work'
        if learner.not_compiled:
            raise Missing(learner.not_compiled)

    return update, {'weights': weights, 'gflops': product_speed(),
                    'versions': {'torch': torch.__version__}}


def product_speed(size: int = 1024, rounds: int = 20) -> float:
    """Return what a large float32 product reaches on this thread, in 1e9 operations per second."""
    import torch
    left, right = torch.rand(size, size), torch.rand(size, size)
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        left @ right
        times.append(time.process_time() - begun)
    return 2e-9 * size ** 3 / sorted(times)[rounds // 2]


def sb3(setting: dict) -> tuple[Callable[[int], None], dict]:
    """Return stable-baselines3's SAC: `train()`. It has no layer norm and no actor period."""
    import stable_baselines3
    import torch

    torch.set_num_threads(1)
    model = stable_baselines3.SAC('MlpPolicy', world(setting), device='cpu', **common(setting))
    update = trained(model, setting)
    weights = sum(tensor.numel() for tensor in model.critic.parameters() if tensor.dim() == 2)
    return update, {'weights': weights, 'versions': {
        'stable-baselines3': stable_baselines3.__version__, 'torch': torch.__version__}}


def sbx(setting: dict) -> tuple[Callable[[int], None], dict]:
    """Return SBX's SAC, in JAX: `train()`."""
    import jax
    import sbx

    options = common(setting)
    options['policy_kwargs'] |= {'layer_norm': setting['layer_norm']}
    model = sbx.SAC('MlpPolicy', world(setting), policy_delay=setting['actor_period'], **options)
    update = trained(model, setting)
    leaves = jax.tree_util.tree_leaves_with_path(model.policy.qf_state.params)
    weights = sum(leaf.size for path, leaf in leaves if 'kernel' in str(path[-1]))
    return update, {'weights': int(weights), 'versions': {
        'sbx-rl': sbx.__version__, 'jax': jax.__version__}}


def common(setting: dict) -> dict:
    return {'batch_size': setting['batch'], 'buffer_size': STORED, 'learning_starts': 0,
            'gradient_steps': setting['utd'], 'policy_kwargs': {
                'net_arch': [setting['width']] * 2, 'n_critics': setting['critics']}}


def world(setting: dict):
    """Return a gymnasium environment of these sizes that nobody steps."""
    import gymnasium
    import numpy as np

    class World(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (setting['n'],), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (setting['m'],), np.float32)

    return World()


def trained(model, setting: dict) -> Callable[[int], None]:
    """Fill the buffer of a model of stable-baselines3's kind; return what calls its train()."""
    import numpy as np
    from stable_baselines3.common.logger import configure

    rng, shape = np.random.default_rng(0), (STORED, 1)
    buffer = model.replay_buffer
    buffer.observations = rng.standard_normal((*shape, setting['n']), np.float32)
    buffer.next_observations = rng.standard_normal((*shape, setting['n']), np.float32)
    buffer.actions = rng.uniform(-1.0, 1.0, (*shape, setting['m'])).astype(np.float32)
    buffer.rewards = rng.standard_normal(shape, np.float32)
    buffer.full, buffer.pos = True, 0
    model.set_logger(configure(None, []))

    def update(count: int) -> None:
        before = model._n_updates
        for _ in range(0, count, setting['utd']):
            model.train(gradient_steps=setting['utd'], batch_size=setting['batch'])
        assert model._n_updates == before + count, 'different work'

    return update


SIDES = {'ours': ours, 'ours, compiled': lambda setting: ours(setting, compiled=True),
         'ours, bfloat16': lambda setting: ours(setting, compiled=True, bfloat16=True),
         'stable-baselines3': sb3, 'SBX': sbx}


def main(side: str, setting: dict) -> int:
    """Be a side until stdin ends."""
    if hasattr(os, 'sched_setaffinity'):        # a library may not heed ONE_THREAD
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        update, facts = SIDES[side](setting)
        for _ in range(2):              # the second without compiling
            update(setting['utd'])
    except (Missing, ModuleNotFoundError) as error:
        reason = (f'peer not installed: pip install {PACKAGES[side]}' if side in PACKAGES
                  else str(error))
        print(json.dumps({'missing': reason}), flush=True)
        return 0
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        update(int(line))
        print(json.dumps([time.perf_counter() - wall, time.process_time() - processor]),
              flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], json.loads(sys.argv[2])))
