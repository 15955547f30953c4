"""Train exploration policies in the simulator, and the sim-optimal policy along with them.

A round runs every latent with a frozen actor, then updates. So each (round, latent) is a policy
whose own rollouts are known: those that succeed are the pool, and of the pool the subset is
taken that makes log det of the task features' covariance largest.

Each round is a file, and so is the learner after it: a run that was killed at any moment goes on
from the last whole round and ends with the same bits. `python -m robot_rl.sim.train_explorers`
runs it as a process of its own and prints a JSON object per round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
import sys
import time

import numpy as np
from robot_rl import __version__
from robot_rl.bundle import pack, unpack
from robot_rl.contract import Contract, load_contract
from robot_rl.errors import UserError
from robot_rl.files import write_atomic
from robot_rl.learning.checkpoint import newest_checkpoint, save_checkpoint
from robot_rl.learning.coverage import Coverage, FeatureMap
from robot_rl.learning.explorer_learner import ExplorerLearner, use_threads
from robot_rl.learning.policy import (decode_explorers, decode_policy, encode_explorers,
                                      encode_gaussian, HeldRandom)
from robot_rl.learning.pool import choose, COLUMNS, Member, pool, Round
from robot_rl.sim.explore import explore, explorers
from robot_rl.sim.explorer_options import parse, settings_of
from robot_rl.sim.explorer_run import EXPLORERS, read_result, Result, run_identity, SIM_OPTIMAL
from robot_rl.sim.explorer_settings import EPISODES_PER_ROUND, TrainSettings
from robot_rl.sim.vector import VectorTwin
from robot_rl.sim.vector_episodes import Experience, gather, VectorEpisodes
from robot_rl.training_process import run_child
from robot_rl.training_run import alone_in, check_identity, read_request, REQUEST

KEEP = 2                    # checkpoints
MAX_DIVERGED = 0.1          # share of a round's episodes; more means a broken model
TESTED = 30                 # episodes of the sim-optimal policy
CHUNK = 50                  # updates between looks at `cancelled`


@dataclass(frozen=True)
class Progress:
    """Where a run stands; plain numbers."""

    percent: float
    round: int
    rounds: int
    steps: int                      # in simulation
    steps_per_second: float         # of the simulation alone, in the last round
    updates: int
    diverged: int                   # episodes dropped in the last round
    pool: int                       # policies to select from
    success: float                  # share of the last round's episodes, all latents
    task_success: float             # of the latent that learns the task only
    best_return: float | None
    gate: float | None
    cells: int                      # of the selected members' rollouts, no random tail
    fraction: float
    lambda_min: float
    log_det: float
    eta: float                      # s


def train_explorers(contract: Contract, settings: TrainSettings,
                    progress: Callable[[Progress], None], cancelled: Callable[[], bool],
                    folder: Path, clock: Callable[[], float] = time.monotonic) -> Result | None:
    """Run, or go on with, the training in a folder; None where it was cancelled.

    Raises UserError for settings, a model or a folder that cannot work, and for physics that
    diverge; InvalidFile for a contract without a simulator.
    """
    run = Training(contract, settings, Path(folder))
    done = read_result(run.folder, contract, run.identity)
    if done:
        return done
    with alone_in(run.folder):
        run.resume()
        started, first = clock(), len(run.rounds)
        while len(run.rounds) < run.total:
            begun = clock()
            found, diverged = run.collect()
            rate = len(found.reward) / max(clock() - begun, 1e-9)
            if cancelled() or not run.learn(found, cancelled):
                return None
            share = (clock() - started) / (len(run.rounds) - first)
            progress(run.progress(rate, diverged, share * (run.total - len(run.rounds))))
        return run.finish()


class Training:
    """One run: its learner, its rounds, its folder."""

    def __init__(self, contract: Contract, settings: TrainSettings, folder: Path):
        self.contract, self.settings, self.folder = contract.in_simulation, settings, folder
        settings.check(contract.episode.horizon)
        round_steps = settings.round_steps(contract.episode.horizon)
        self.total = settings.steps // round_steps      # rounds
        self.latent = np.arange(settings.worlds) % (settings.diversity.latents + 1)
        self._worlds(0)             # a model that cannot be used is refused here
        self.learner = ExplorerLearner(contract, settings.diversity, settings.sac, settings.batch,
                                       settings.seed, self.total * round_steps)
        self.rounds: list[Round] = []
        self.identity = run_identity(contract, settings)

    def resume(self) -> None:
        """Take up the newest whole checkpoint and the rounds before it."""
        asked = read_request(self.folder)
        if asked:
            check_identity(self.identity, asked.run, self.folder / REQUEST)
        found, _ = newest_checkpoint(self.folder, self.contract)
        if not found:
            return
        path, arrays, manifest = found
        check_identity(self.identity, manifest.get('run'), path)
        for number in range(manifest['round']):
            source = self._round_file(number)
            try:
                columns, _ = unpack(source.read_bytes(), str(source))
                self._take(Round(**columns))
            except (OSError, TypeError) as error:
                raise UserError(f'{source}: expected a round of this run: {error}; train anew in '
                                'another folder') from None
        self.learner.restore(arrays, str(path))

    def collect(self) -> tuple[Round, int]:
        """Run every latent with the present actor; return the round and the episodes lost."""
        number, horizon = len(self.rounds), self.contract.episode.horizon
        episodes, results = self._worlds(number), []
        rng, limits = np.random.default_rng([self.settings.seed, number]), self.contract.action
        held = [HeldRandom(limits.low, limits.high) for _ in self.latent]
        for _ in range(EPISODES_PER_ROUND * horizon):
            if number:
                action = self.learner.act(episodes.observation, self.latent)
            else:
                action = np.array([random.act(row, rng)
                                   for random, row in zip(held, episodes.observation)])
            results.append(episodes.step(action))
        diverged = int(sum((~result.valid).sum() for result in results))
        ended = int(sum(result.done.sum() for result in results))
        if diverged > MAX_DIVERGED * ended:
            raise UserError(f'{self.contract.simulation.model}: the physics of {diverged} of '
                            f'{ended} episodes diverged; reduce its timestep or its gains, or '
                            'the gap')
        return make_round(gather(results), self.latent, horizon, self.learner.actor), diverged

    def learn(self, found: Round, cancelled: Callable[[], bool]) -> bool:
        """Learn from a round and save both; false where it was cancelled: nothing is saved."""
        updates = self.settings.updates // self.total
        number = len(self.rounds)
        self._take(found)
        while self.learner.updates < updates * (number + 1):
            if cancelled():
                return False
            self.learner.train(min(CHUNK, updates * (number + 1) - self.learner.updates))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self._round_file(number), pack(vars(found), {'kind': 'round'}))
        save_checkpoint(self.folder, self.learner.arrays(), {
            'updates': self.learner.updates, 'round': number + 1, 'run': self.identity},
            self.contract, KEEP)
        return True

    def progress(self, rate: float, diverged: int, eta: float) -> Progress:
        """Return where the run stands after its newest round."""
        learner, newest = self.learner, self.rounds[-1]
        chosen, members, features = self._select()
        coverage = Coverage.empty(features)
        for number, latent in chosen:
            coverage = coverage.add(self.rounds[number].reached(latent))
        every = [newest.successes(latent) for latent in range(learner.rule.latents)]
        summary = coverage.summary()
        summary.pop('observations')
        return Progress(
            percent=100.0 * len(self.rounds) / self.total, round=len(self.rounds),
            rounds=self.total, steps=learner.count, steps_per_second=rate,
            updates=learner.updates, diverged=diverged, pool=members,
            success=_mean(np.concatenate(every)) or 0.0, task_success=_mean(every[0]) or 0.0,
            best_return=_finite(learner.running.max()), gate=_finite(learner.gate), eta=eta,
            **summary)

    def finish(self) -> Result:
        """Select the explorers, test all in the first of the gaps, and write the artifacts."""
        learner, contract, settings = self.learner, self.contract, self.settings
        chosen, members, features = self._select()
        if not chosen:
            raise UserError('explorers: no policy earned more than random actions in '
                            f'{learner.count} steps; raise the budget, or shape the reward')
        provenance = {'package': f'robot_rl {__version__}', 'updates': learner.updates,
                      'transitions': learner.count, 'run': self.identity}
        layers = [learner.layers(self.rounds[number].actor, latent) for number, latent in chosen]

        def encode(coverage: Coverage, summary: dict) -> bytes:
            return encode_explorers(layers, learner.normalizer, contract, learner.updates,
                                    provenance | {'summary': summary}, coverage)

        sim_optimal = encode_gaussian(learner.layers(learner.actor, 0), learner.normalizer,
                                      contract, learner.updates, provenance)
        task = decode_policy(sim_optimal, contract, SIM_OPTIMAL)
        policies, _ = decode_explorers(encode(Coverage.empty(features), {}), contract, EXPLORERS)
        horizon, gap = contract.episode.horizon, settings.gaps[0]
        tested = explore(contract, lambda *_: task, features, TESTED * horizon, gap, sampled=False)
        explored = explore(contract, explorers(policies, contract), features,
                           2 * len(policies) * horizon, gap)
        summary = {'pool': members, 'explorers': len(chosen), 'success': explored.success,
                   'task_success': tested.success, 'task_return': _finite(tested.mean_return),
                   'chosen': [[number, int(latent)] for number, latent in chosen],
                   **explored.coverage.summary()}
        result = Result(encode(explored.coverage, summary), sim_optimal, summary)
        write_atomic(self.folder / SIM_OPTIMAL, result.sim_optimal)
        write_atomic(self.folder / EXPLORERS, result.explorers)     # last: then the run is done
        return result

    def _select(self) -> tuple[list[Member], int, FeatureMap]:
        """Return the chosen members, the size of the pool, and the scale of the features."""
        features = FeatureMap.fit(self.contract, np.concatenate(
            [found.next_observation for found in self.rounds]))
        members = pool(self.rounds, self.learner.rule.latents, self.learner.random_return)
        count = self.settings.explorers
        chosen = choose(self.rounds, members, count, features) if self.settings.selection else (
            members[-count:])
        return chosen, len(members), features

    def _take(self, found: Round) -> None:
        self.rounds.append(found)
        self.learner.add(found)

    def _worlds(self, number: int) -> VectorEpisodes:
        """Return fresh worlds for a round: what they do depends on seed and round alone."""
        settings, latents = self.settings, self.settings.diversity.latents + 1
        gaps = [settings.gaps[(world // latents + number) % len(settings.gaps)]
                for world in range(settings.worlds)]
        return VectorEpisodes(VectorTwin(self.contract, settings.worlds, gaps,
                                         (settings.seed, number), settings.threads))

    def _round_file(self, number: int) -> Path:
        return self.folder / f'round_{number:04d}.safetensors'


def make_round(found: Experience, latent: np.ndarray, horizon: int, actor: np.ndarray) -> Round:
    """Return experience as a round: numbered episodes, each transition with the episode's return.

    An episode that was cut short, by the end of the round or by divergence, has no return.
    """
    starts = np.concatenate(([True], found.end[:-1]))
    episode = np.cumsum(starts) - 1
    lengths, last = np.bincount(episode), found.end
    whole = found.terminated[last] | (lengths == horizon)
    returns = np.where(whole, np.bincount(episode, found.reward), -np.inf)
    columns = {'latent': latent[found.world], 'episode': episode,
               'episode_return': returns[episode], 'success': found.success[last][episode]}
    columns |= {name: getattr(found, name) for name in COLUMNS if name not in columns}
    return Round(actor=actor, **{name: np.ascontiguousarray(column, np.float32)
                                 for name, column in columns.items()})


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def main(arguments: list[str] | None = None) -> int:
    """Train in a folder and print JSON lines: progress, then the result, or the error."""
    options = parse(arguments)

    def train(say: Callable[..., None], cancelled: Callable[[], bool]) -> dict | None:
        use_threads(1)
        result = train_explorers(load_contract(options.contract), settings_of(options),
                                 lambda progress: say('training', **asdict(progress)), cancelled,
                                 options.run_dir)
        return result and result.summary

    return run_child(train, options.with_parent)


if __name__ == '__main__':
    sys.exit(main())
