"""One figure of benchmarks/growth.py, in a process of its own: `growth_cells.py NAME LEAST SIZE`.

Each cell takes a size and returns the seconds of the processor that something takes at that size,
in all threads. The process prints them with the most memory that it held meanwhile, beyond what
it needs for the least size.
"""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
import resource
import shutil
import sys
import tempfile
import time

from made_task import made_transitions, write_contract
import numpy as np
from robot_rl.contract import load_contract
from robot_rl.data import cdr
from robot_rl.data.bag import set_custom_data
from robot_rl.data.episode import EpisodeRecord, Topic
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings
from robot_rl.data.steps import Mode, Source, Status, Step, STEPS_TYPE

RATE, EPISODE = 20.0, 30.0          # Hz; s
STEPS = int(RATE * EPISODE)         # of an episode
TOPIC = '/policy_server/steps'
SESSION = 'made_up'
ROBOT_EPISODES, ROBOT_STEPS = 100, 50       # of each robot
PATIENCE = 3600.0                   # s


def contract_in(folder: Path):
    """Return a contract of 14 observed numbers and 7 actions."""
    return write_contract(folder / 'contract.yaml', rate=RATE, horizon=STEPS)


def step_bytes(step: Step) -> bytes:
    """Return a step record as it comes from the middleware."""
    segments = step.segments()
    dims = [cdr.new('std_msgs/msg/MultiArrayDimension', label=label, size=values.size, stride=0)
            for label, values in segments]
    layout = cdr.new('std_msgs/msg/MultiArrayLayout', dim=dims, data_offset=0)
    return cdr.encode(STEPS_TYPE, cdr.new(STEPS_TYPE, layout=layout, data=np.concatenate(
        [values for _, values in segments])))


def episode_bytes(contract, number: int) -> list[tuple[int, bytes]]:
    """Return (ns, bytes) of the step records of an episode."""
    found, rng = made_transitions(contract, STEPS, number), np.random.default_rng(number)
    begun = 1_700_000_000 * 10**9 + number * round((EPISODE + 1.0) * 1e9)
    m = len(contract.action.layout)
    steps = []
    for index in range(STEPS + 1):
        last = index == STEPS
        steps.append(Step(
            begun + round(index * 1e9 / RATE), number, index,
            Status.TRUNCATED if last else Status.RUNNING, Source.POLICY, Mode.LEARN, 1, False,
            (found.next_observation[-1] if last else found.observation[index]).astype(float),
            rng.uniform(-1, 1, m), rng.uniform(-1, 1, m)))
    return [(step.stamp, step_bytes(step)) for step in steps]


class Recording:
    """A recorder on a folder, and what it has published."""

    def __init__(self, folder: Path, contract):
        self.published: list[EpisodeRecord] = []
        self._contract = contract
        self.recorder = EpisodeRecorder(
            folder, contract, [Topic(TOPIC, STEPS_TYPE)], RecorderSettings(settle=0.0), TOPIC,
            self.published.append, lambda kind, values: None)

    def episode(self, number: int) -> float:
        """Record one; return s from its first step to its transitions."""
        records, count = episode_bytes(self._contract, number), len(self.published) + 1
        begun = time.process_time()
        for stamp, data in records:
            self.recorder.put(0, data, stamp, time.time_ns())
        self.wait(count)
        return time.process_time() - begun

    def wait(self, count: int) -> None:
        """Wait until so many episodes were published."""
        deadline = time.monotonic() + PATIENCE
        while len(self.published) < count:
            assert time.monotonic() < deadline, self.recorder.stats()
            time.sleep(0.005)


def recorded(folder: Path, hours: float) -> tuple[Path, int]:
    """Fill a folder of bags with so many hours; return it and how many bags it has.

    One episode is recorded; the others are links to its file with metadata of their own.
    """
    root, contract = folder / 'bags', contract_in(folder)
    recording = Recording(root, contract)
    recording.episode(1)
    recording.recorder.close()
    first, = [path for path in root.iterdir() if path.is_dir()]
    count = max(1, round(hours * 3600.0 / EPISODE))
    sync, os.fsync = os.fsync, lambda descriptor: None      # the disk's time is not what grows
    for number in range(2, count + 1):
        bag = root / f'episode_{number:06d}'
        bag.mkdir()
        for file in first.iterdir():
            if file.suffix == '.mcap':
                os.link(file, bag / file.name)
            else:
                shutil.copy(file, bag)
        set_custom_data(bag, sequence=str(number))
    os.fsync = sync
    return root, count


def restart(hours: float, folder: Path) -> float:
    """Start a recorder on what was recorded before."""
    root, _ = recorded(folder, hours)
    contract = contract_in(folder)
    begun = time.process_time()
    recording = Recording(root, contract)
    spent = time.process_time() - begun
    recording.recorder.close()
    return spent


def one_more(hours: float, folder: Path) -> float:
    """Record one more episode, until it is complete and its transitions are out."""
    root, count = recorded(folder, hours)
    recording = Recording(root, contract_in(folder))
    times = [recording.episode(count + number) for number in range(1, 8)]
    recording.recorder.close()
    return float(np.median(times))


def send_again(hours: float, folder: Path) -> float:
    """Read every bag of the session and send its transitions again."""
    root, count = recorded(folder, hours)
    recording = Recording(root, contract_in(folder))
    recording.published = Forgetful()
    recording.recorder._on_episode = recording.published.append
    begun = time.process_time()
    recording.recorder.republish()
    recording.wait(count)
    spent = time.process_time() - begun
    recording.recorder.close()
    return spent


class Forgetful:
    """Counts what is appended."""

    def __init__(self):
        self._count = 0

    def append(self, _) -> None:
        self._count += 1

    def __len__(self) -> int:
        return self._count


def learner_with(contract, hours: float, **options):
    """Return a learner that holds so many hours."""
    from robot_rl.learning.config import LearnerConfig, SacConfig
    from robot_rl.learning.learner import Learner
    learner = Learner(contract, LearnerConfig(start_transitions=1, **options), SacConfig())
    found = made_transitions(contract, STEPS)
    for number in range(max(1, round(hours * 3600.0 / EPISODE))):
        learner.add(f'{SESSION}/{number}', found, number + 1)
    return learner


def take_in(hours: float, folder: Path) -> float:
    """Give the learner all that was recorded, from the bytes of each episode on."""
    contract = contract_in(folder)
    return _received(contract, 1, max(1, round(hours * 3600.0 / EPISODE)),
                     made_transitions(contract, STEPS), folder)


def update(hours: float, folder: Path) -> float:
    """Make one update of the learner."""
    learner = learner_with(contract_in(folder), hours)
    learner.train(5)
    return _median(lambda: learner.train(1), 40)


def checkpoint(hours: float, folder: Path) -> float:
    """Write a checkpoint of the learner."""
    learner = learner_with(contract_in(folder), hours)
    learner.train(2)
    return _median(lambda: learner.save(folder / 'checkpoints', 2), 7)


def robots(count: float, folder: Path) -> float:
    """Give one learner the episodes of so many robots, each a session of its own, in turns."""
    contract = contract_in(folder)
    return _received(contract, int(count), ROBOT_EPISODES, made_transitions(contract, ROBOT_STEPS),
                     folder)


def _received(contract, sessions: int, episodes: int, transitions, folder: Path) -> float:
    """Return s until a trainer has taken in the episodes of all sessions."""
    from robot_rl.learning.config import LearnerConfig, SacConfig
    from robot_rl.learning.learner import Learner
    from robot_rl.learning.trainer import Trainer, TrainerSettings
    learner = Learner(contract, LearnerConfig(), SacConfig(width=16))
    trainer = Trainer(learner, TrainerSettings(folder / 'checkpoints'), lambda data: None,
                      lambda text: None)
    trainer.start()
    begun = time.process_time()
    for number in range(1, episodes + 1):
        for session in range(sessions):
            trainer.receive(encode_episode(EpisodeRecord(
                f'episode_{number:06d}', number, number, transitions, 'truncated', '',
                f'{SESSION}_{session}', number, 'learn', 0), contract))
    deadline = time.monotonic() + PATIENCE
    while len(learner.episodes) < sessions * episodes:
        assert trainer.alive and time.monotonic() < deadline, trainer.progress
        time.sleep(0.005)
    spent = time.process_time() - begun
    trainer.close()
    return spent


def explorers_received(count: float, folder: Path) -> float:
    """Open the artifact of so many explorers, as the policy server does."""
    from robot_rl.learning.coverage import Coverage, FeatureMap
    from robot_rl.learning.policy import decode_explorers, encode_explorers, Normalizer
    contract, rng = load_contract('puck_push'), np.random.default_rng(0)
    n, m = len(contract.layout), len(contract.action.layout)
    sizes = (n, 128, 128, 2 * m)
    policies = [[(rng.standard_normal(pair, np.float32), np.zeros(pair[1], np.float32))
                 for pair in zip(sizes, sizes[1:])] for _ in range(int(count))]
    seen = rng.standard_normal((1000, n))
    covered = Coverage.empty(FeatureMap.fit(contract, seen))
    unit = Normalizer(np.zeros(n, np.float32), np.ones(n, np.float32))
    data = encode_explorers(policies, unit, contract, 1, {}, covered)
    return _median(lambda: decode_explorers(data, contract, 'growth'), 9)


def explorers_trained(count: float, folder: Path) -> float:
    """Make one update of the training of so many explorers in the simulator."""
    from robot_rl.learning.config import ExplorerConfig, SacConfig
    from robot_rl.learning.explorer_learner import ExplorerLearner
    from robot_rl.learning.pool import Round
    contract, k, count = load_contract('puck_push'), 5000, int(count)
    found, latent = made_transitions(contract, k), np.arange(k) % (count + 1)
    learner = ExplorerLearner(contract, ExplorerConfig(latents=count), SacConfig(width=128), 256,
                              0, k)
    learner.add(Round(
        found.observation, found.action, found.reward, found.next_observation, found.terminated,
        latent.astype(np.float32), latent.astype(np.float32), np.zeros(k, np.float32),
        np.zeros(k, np.float32), np.zeros((1, 1), np.float32)))
    learner.train(5)
    return _median(lambda: learner.train(2), 20) / 2


def members(count: float, folder: Path) -> float:
    """Make one update of an ensemble of so many members, K, of a demonstrator's fit."""
    from robot_rl.learning.demonstrations import Demonstrations
    from robot_rl.learning.ensemble import Ensemble
    import torch
    contract = load_contract('puck_push')
    data = Demonstrations.build([made_transitions(contract, 100, seed) for seed in range(10)],
                                contract, 4, 5, 0)
    ensemble = Ensemble(data, int(count), 128, 1e-3, 0)
    generator = torch.Generator().manual_seed(0)
    state = ensemble.init(generator)
    return _median(lambda: ensemble.update(state, generator), 30)


def _median(call: Callable[[], object], count: int) -> float:
    times = []
    for _ in range(count + 1):
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    return float(np.median(times[1:]))


CELLS = {call.__name__: call for call in (
    restart, one_more, send_again, take_in, update, checkpoint, robots, explorers_received,
    explorers_trained, members)}


def peak() -> float:
    """Return the most memory that this process ever held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main(name: str, least: float, size: float) -> int:
    """Print seconds and megabytes of one cell."""
    import torch
    torch.set_num_threads(1)
    found, peaks = [], []
    for number in (least, size):        # the first imports and warms up
        with tempfile.TemporaryDirectory(prefix='growth_') as folder:
            found.append(CELLS[name](number, Path(folder)))
        peaks.append(peak())
    print(json.dumps([found[1], peaks[1] - peaks[0]]))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
