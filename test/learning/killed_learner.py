"""Train in processes that die: python killed_learner.py METHOD FOLDER.

Prints JSON: `whole`, the digest that a learner ends with that nobody disturbs; `killed`, for every
line of a checkpoint the signal that it died of there, the half files that it left, and the digest
of the one that went on; `often`, deaths at random times and the digest of the one that survived;
`again`, the digests of those that began where the undisturbed one had ended.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import hashlib
import json
import os
from pathlib import Path
import random
import resource
import signal
import sys
import threading
import time

from made_policies import demonstrator
import numpy as np
from robot_rl import files
from robot_rl.contract import load_contract
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.transitions import Transitions
from robot_rl.learning import checkpoint
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner
from robot_rl.learning.trainer import Trainer, TrainerSettings
import torch

REACH = load_contract('reach')
EPISODES, LENGTH, PERIOD, FATAL = 10, 10, 20, 3     # PERIOD of checkpoints; FATAL: the third
IN_ORDER = list(range(1, EPISODES + 1))
BASE = demonstrator(REACH, [[0.5, -0.5]] * 3)
TRACED = {files.__file__, checkpoint.__file__}


def episode(number: int, total: int) -> bytes:
    """Return an episode; in every third a person took over for three steps."""
    rng = np.random.default_rng(number)
    n, m = len(REACH.layout), len(REACH.action.layout)
    human = np.zeros(LENGTH)
    human[4:7] = number % 3 == 0
    columns = (rng.normal(size=(LENGTH, n)), rng.uniform(-1, 1, (LENGTH, m)),
               rng.normal(size=LENGTH), rng.normal(size=(LENGTH, n)), np.zeros(LENGTH),
               np.zeros(LENGTH), human)
    return encode_episode(EpisodeRecord(
        f'episode_{number:06d}', number, total,
        Transitions(*(column.astype(np.float32) for column in columns)), 'truncated', '', 's',
        1000 * number, 'explore' if number % 4 == 0 else 'learn', 0), REACH)


def make_learner(method: str) -> Learner:
    return Learner(REACH, LearnerConfig(start_transitions=20, batch=16, method=method,
                                        utd_ratio=1.0), SacConfig(width=8))


def digest(learner: Learner) -> str:
    """Return what tells two learners apart: parameters, moments, random state, experience."""
    found = hashlib.sha256(learner.actor() + learner.generator.get_state().numpy().tobytes())
    for name, value in learner.state.tensors().items():
        found.update(name.encode() + value.numpy().tobytes())
    for name, source in learner.replays.items():
        found.update(name.encode() + source.rows.numpy().tobytes())
    return found.hexdigest()


def train(method: str, folder: Path, order: list[int], live: bool) -> str:
    """Train on all episodes; return the digest. While `live`, totals grow with the episodes."""
    learner = make_learner(method)
    learner.resume(folder)
    trainer = Trainer(learner, TrainerSettings(folder, 10, PERIOD, 2, deterministic=True),
                      lambda data: None, lambda text: None)
    trainer.train(True)
    trainer.start()
    trainer.receive_demonstrator(BASE)
    for number in order:
        trainer.receive(episode(number, number if live else EPISODES))
        until = trainer.progress.updates + random.randrange(8)
        while live and trainer.alive and trainer.progress.updates < min(until, LENGTH * number):
            time.sleep(0.001)       # the next comes at any time in between
            until -= 0.1
    while trainer.alive and min(    # one that died in the end has its updates at once
            trainer.progress.updates, trainer.progress.transitions_trained_on) < EPISODES * LENGTH:
        time.sleep(0.001)
    trainer.close()
    return digest(learner)


class Death:
    """A tracer that kills its process in a checkpoint: at a line, or amid the writing (line 0)."""

    def __init__(self, line: int):
        self.line, self.saves = line, 0

    def __call__(self, frame, event: str, argument):
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == 'call' and frame.f_code is checkpoint.save_checkpoint.__code__:
            self.saves += 1
            if self.saves == FATAL and not self.line:
                resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
        if event == 'line' and self.saves == FATAL and self.line:
            self.line -= 1
            if not self.line:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def in_child(work: Callable[[], str]) -> tuple[int, str]:
    """Return the signal that a process died of, 0 where it did not, and what it returned."""
    read, write = os.pipe()
    process = os.fork()
    if not process:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.write(write, work().encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        found = pipe.read()
    return os.WTERMSIG(os.waitpid(process, 0)[1]), found


def undisturbed(method: str, folder: Path) -> str:
    """Train while the episodes come one by one."""
    return train(method, folder, IN_ORDER, live=True)


def die_at(line: int, method: str, folder: Path) -> str:
    """Train until a line of the third checkpoint."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)       # Python ignores it
    threading.settrace(Death(line))
    return undisturbed(method, folder)


def finish(seed: int, method: str, folder: Path) -> str:
    """Train to the end on what the recorder sends again, in any order."""
    order = random.Random(seed).sample(IN_ORDER, EPISODES)
    return train(method, folder, order, live=False)


def die_often(seed: int, method: str, folder: Path) -> tuple[int, str]:
    """Train in one process after the other, each killed at a random time; return how many.

    The first is killed too early to end on any machine, the later ones live longer.
    """
    rng, deaths = random.Random(seed), 0

    def attempt(seconds: float) -> str:
        signal.setitimer(signal.ITIMER_REAL, seconds)       # nobody handles it: as SIGKILL
        return finish(deaths, method, folder)
    while (result := in_child(partial(attempt, rng.uniform(0.005, 0.03 * (1 + deaths)))))[0]:
        deaths += 1
    return deaths, result[1]


def main(method: str, folder: str) -> None:
    torch.set_num_threads(1)
    root, killed, line = Path(folder), {}, 0
    whole = in_child(partial(undisturbed, method, root / 'whole'))[1]
    while killer := in_child(partial(die_at, line, method, root / str(line)))[0]:
        halves = len(list((root / str(line)).glob('*.tmp')))
        killed[line] = [signal.Signals(killer).name, halves,
                        in_child(partial(finish, line, method, root / str(line)))[1]]
        line += 1
    often = [die_often(seed, method, root / f'often{seed}') for seed in range(3)]
    again = [in_child(partial(finish, seed, method, root / 'whole'))[1] for seed in range(5)]
    print(json.dumps({'whole': whole, 'killed': killed, 'often': often, 'again': again}))


if __name__ == '__main__':
    main(*sys.argv[1:])
