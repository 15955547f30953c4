"""One control tick of a diffusion policy while a learner trains on the other core.

Observation in, rules and limits of the gate, action out, at the contract's control rate: what
policy_server computes between its messages. A chunk is planned in the tick that needs it
(`plan_ahead` 0), so the slow ticks are those that plan. Policies: as `~/fit` makes them by
default, and a large one (3 layers of 256, 16 actions a plan), both with an actor that chooses
their latents, those of the ensemble's spread too. Each is measured alone, and beside a process
that steers the same policy without a pause on one thread. Wall time: a robot waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
import multiprocessing
import os
import platform
import sys
import time

import numpy as np
from robot_rl.benchmarking import finish, parser_of, verdicts
from robot_rl.contract import Contract, load_contract
from robot_rl.data.steps import Mode
from robot_rl.learning.chunks import ChunkRunners
from robot_rl.learning.config import DEMONSTRATOR, FitConfig, LearnerConfig, SacConfig, SteerConfig
from robot_rl.learning.demonstrations import Demonstrations
from robot_rl.learning.diffusion_policy import decode_actor, DiffusionPolicy
from robot_rl.learning.learner import Learner
from robot_rl.learning.methods import Steer
from robot_rl.learning.posterior import Fit
from robot_rl.observation import Reading
from robot_rl.rollout import Rollout
from robot_rl.sim.posterior_cells import scripted
from robot_rl.sim.twin import Twin
import torch

TASK = 'puck_push'
TICKS, FAST_TICKS = 1000, 200
GOAL = 10.0                     # ms, of 99 of 100 ticks beside the learner
LEARNER_WAIT = 120.0            # s for its first updates
EPISODES = 4                    # demonstrations that the fit and the learner are given
UPDATES = 1                     # of a fit: how long it learned does not change how long it takes
LIKE = FitConfig(updates=UPDATES, ensemble_updates=1, alpha=1.0, folds=2)
POLICIES = {
    'default': LIKE,
    'large': replace(LIKE, width=256, chunk=16, replan=8),
}


def fitted(contract: Contract, episodes, config: FitConfig) -> bytes:
    """Return a demonstrator of the sizes in `config`."""
    fit = Fit(Demonstrations.build(episodes, contract, config.chunk, config.folds, 0), config)
    while not fit.done:
        fit.round()
    return fit.artifact(contract, 1, {})


def steered(contract: Contract, artifact: bytes) -> DiffusionPolicy:
    """Return the demonstrator with an actor that has learned nothing: it takes as long."""
    method = Steer(contract, SteerConfig(), artifact, 'benchmark')
    actor = method.rule.init(torch.Generator().manual_seed(0)).actor.value
    return decode_actor(method.artifact(actor, method.policy.normalizer, 1, {}), contract,
                        'benchmark')


def measure(contract: Contract, artifact: bytes, observations: np.ndarray, ticks: int
            ) -> np.ndarray:
    """Return the ms of so many ticks, at the control rate, in episodes back to back."""
    runners = ChunkRunners(contract, 0)
    policy = steered(contract, artifact)
    period, times, episode = 1.0 / contract.control_rate, [], 0
    due = time.perf_counter()
    while len(times) < ticks:
        episode += 1
        rollout = Rollout(contract, runners(policy), Mode.DEMONSTRATE, episode, 0)
        for step in range(contract.episode.horizon):
            due += period
            time.sleep(max(0.0, due - time.perf_counter()))
            seen = observations[(episode * 37 + step) % len(observations)]
            begun = time.perf_counter()
            ended = rollout.tick(Reading(seen, step + 1, '')).ended
            times.append(1e3 * (time.perf_counter() - begun))
            if ended or len(times) == ticks:
                break
    return np.array(times)


@contextmanager
def learning(artifact: bytes, episodes) -> Iterator[None]:
    """Steer the policy in another process meanwhile, after its first updates."""
    context = multiprocessing.get_context('spawn')
    begun = context.Event()
    process = context.Process(target=learn, args=(artifact, episodes, begun), daemon=True)
    process.start()
    try:
        if not begun.wait(LEARNER_WAIT):
            raise RuntimeError(f'the learner made no update in {LEARNER_WAIT:g} s')
        yield
        if not process.is_alive():
            raise RuntimeError(f'the learner ended with code {process.exitcode}')
    finally:
        process.terminate()
        process.join()


def learn(artifact: bytes, episodes, begun) -> None:
    """Make updates until killed."""
    torch.set_num_threads(1)
    config = LearnerConfig(method='steer', start_transitions=1)
    learner = Learner(load_contract(TASK), config, SacConfig())
    for transitions in episodes:
        learner.add_demos(transitions)
    learner.start_from(artifact, DEMONSTRATOR)
    learner.add('0', episodes[0], 1)
    while True:
        learner.train(10)
        begun.set()


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = [f'{"policy":10}{"beside":>10}{"ticks":>7}' + ''.join(
        f'{name:>9}' for name in ('p50 ms', 'p99 ms', 'max ms'))]
    lines += [f'{row["policy"]:10}{row["beside"]:>10}{row["ticks"]:7}{row["p50"]:9.2f}'
              f'{row["p99"]:9.2f}{row["max"]:9.2f}' for row in result['rows']]
    lines += ['', *verdicts(result['claims'], ' ms')]
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'control_tick', 'fewer ticks')
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    contract = load_contract(TASK)
    twin = Twin(contract)
    episodes = [scripted(twin, number) for number in range(EPISODES)]
    observations = np.concatenate([episode.observation for episode in episodes]).astype(float)
    rows = []
    for name, config in POLICIES.items():
        artifact = fitted(contract, episodes, config)
        for beside in ('nothing', 'learner'):
            ticks = FAST_TICKS if options.fast else TICKS
            if beside == 'learner':
                with learning(artifact, episodes):
                    times = measure(contract, artifact, observations, ticks)
            else:
                times = measure(contract, artifact, observations, ticks)
            rows.append({'policy': name, 'beside': beside, 'ticks': ticks,
                         **{f'p{level}': round(float(np.percentile(times, level)), 3)
                            for level in (50, 99)}, 'max': round(float(times.max()), 3)})
    result = {'benchmark': 'control_tick', 'task': TASK, 'cpus': os.cpu_count(),
              'versions': {'python': platform.python_version(), 'numpy': np.__version__,
                           'torch': torch.__version__},
              'rows': rows, 'claims': [{
                  'claim': f'{row["policy"]}: p99 of a tick while a learner trains',
                  'value': row['p99'], 'goal': GOAL, 'holds': row['p99'] < GOAL}
                  for row in rows if row['beside'] == 'learner']}
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(main())
