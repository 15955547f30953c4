"""Human demonstrations of Push-T (Chi et al. 2023, arXiv 2303.04137) -> rosbag2 episodes.

The bags are written by the recorder's own writer and hold what it would have recorded: the topics
of the contract push_t and the step records.
"""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import zipfile

import numpy as np

from robot_rl.contract import Contract, load_contract
from robot_rl.data import cdr
from robot_rl.data.episode import OpenEpisode, Topic
from robot_rl.data.step_bag import numbers, step_bytes, STEPS_TOPIC
from robot_rl.data.steps import Mode, Source, Status, Step, STEPS_TYPE
from robot_rl.errors import InvalidFile, Problem
from robot_rl.files import new_path
from robot_rl.tasks.push_t import points

MAX_BYTES = 256 << 20           # of one array, unpacked
MAX_EPISODES = 100_000
PIXEL = 0.001                   # m
START = 1_600_000_000           # s since 1970, of the first episode: the data has no times
BETWEEN = 1_000                 # s from the start of an episode to that of the next
REACTION = 1_000_000            # ns from an observation to the command that answers it
POINT, NUMBERS = 'geometry_msgs/msg/PointStamped', 'std_msgs/msg/Float64MultiArray'
_COLUMNS = {'state': 5, 'action': 2, 'episode_ends': 0}     # array -> columns, 0: it has one axis


def import_pusht(file: Path, folder: Path) -> int:
    """Write each episode of the .npz file as a bag into a new folder; return how many.

    Of an episode of n states n - 1 transitions are made: what its last action led to is not in
    the data. Raises UserError.
    """
    with new_path(folder) as unfinished:
        episodes, contract = list(read_pusht(file)), load_contract('push_t')
        for number, (state, action) in enumerate(episodes):
            _write(unfinished / f'episode_{number + 1:06d}', contract, number, state, action)
    return len(episodes)


def read_pusht(file: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield state (n, 5) and action (n, 2) of every episode, float64, in pixels and rad.

    A state is pusher x, y, T x, y and angle; an action the pusher's target. Raises InvalidFile.
    """
    arrays, problems = _load(file), []
    for key, columns in _COLUMNS.items():
        found, shape = arrays[key], f'(n, {columns})' if columns else '(episodes,)'
        kind = 'iu' if key == 'episode_ends' else 'f'
        if found.dtype.kind not in kind or found.ndim != (2 if columns else 1) or (
                columns and found.shape[1] != columns):
            problems.append(Problem(key, f'{"numbers" if columns else "integers"} {shape}',
                                    f'{found.dtype} {found.shape}'))
    if problems:
        raise InvalidFile(file, problems)
    state, action = arrays['state'].astype(float), arrays['action'].astype(float)
    ends = [0, *arrays['episode_ends'].tolist()]
    if not 1 < len(ends) <= MAX_EPISODES + 1 or any(
            later - earlier < 2 for earlier, later in zip(ends, ends[1:])):
        problems.append(Problem('episode_ends', f'1 to {MAX_EPISODES} growing ends, 2 states '
                                'apart at least', f'{len(ends) - 1} ends'))
    if not len(state) == len(action) == ends[-1]:
        problems.append(Problem('episode_ends', f'{len(state)} states and {len(action)} actions '
                                'to end at the same number', str(ends[-1])))
    if not (np.isfinite(state).all() and np.isfinite(action).all()):
        problems.append(Problem('state, action', 'finite numbers', 'others'))
    if problems:
        raise InvalidFile(file, problems)
    for first, end in zip(ends, ends[1:]):
        yield state[first:end], action[first:end]


def _load(file: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
        for key in _COLUMNS:
            if sizes.get(f'{key}.npy', MAX_BYTES + 1) > MAX_BYTES:
                raise InvalidFile(file, [Problem(key, f'an array of at most {MAX_BYTES} bytes',
                                                 str(sizes.get(f'{key}.npy', 'nothing')))])
        with np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in _COLUMNS}
    except InvalidFile:
        raise
    except Exception as error:  # noqa: B902, zip and numpy fail in more ways than they declare
        raise InvalidFile(file, [Problem('file', 'the .npz file of the Push-T demonstrations',
                                         f'{type(error).__name__}: {error}')]) from None


def _write(folder: Path, contract: Contract, number: int, state, action) -> None:
    names = {entry.name: f'/{entry.topic}' for entry in contract.observations}
    topics = [*(Topic(names[name], POINT) for name in ('pusher', 'bar', 'foot')),
              Topic(f'/{contract.action.topic}', NUMBERS), Topic(STEPS_TOPIC, STEPS_TYPE)]
    custom_data = {'contract': contract.text, 'contract_hash': contract.hash,
                   'interface': json.dumps(contract.interface), 'task': contract.task,
                   'steps_topic': STEPS_TOPIC, 'episode': folder.name,
                   'note': 'human demonstration, Push-T of Diffusion Policy, MIT licence'}
    episode = OpenEpisode(folder, topics, custom_data, by_operator=False, now=0.0)
    bar, foot = points(state[:, 2:4] * PIXEL, state[:, 4])
    seen, targets = (state[:, :2] * PIXEL, bar, foot), action * PIXEL
    observation = np.concatenate(seen, axis=1)
    solved = contract.is_success(observation)
    last = int(np.argmax(solved)) if solved.any() else len(state) - 1
    for index in range(last + 1):
        stamp = (START + number * BETWEEN) * 10**9 + round(index * 1e9 / contract.control_rate)
        status = Status.RUNNING if index < last else (
            Status.TERMINATED if solved[last] else Status.TRUNCATED)
        step = Step(stamp, number, index, status, Source.HUMAN, Mode.DEMONSTRATE, -1,
                    bool(solved[index]), observation[index], targets[index],
                    np.clip(targets[index], contract.action.low, contract.action.high))
        for topic, values in enumerate(seen):
            episode.write(topic, _point(values[index], stamp), stamp, stamp)
        episode.write(3, numbers([], targets[index]), stamp + REACTION, stamp + REACTION)
        episode.write(4, step_bytes(step), stamp + REACTION, stamp + REACTION)
        episode.steps.append(step)
    episode.close(outcome=episode.outcome('incomplete'), transitions=str(last))


def _point(values: np.ndarray, stamp: int) -> bytes:
    seconds, nanoseconds = divmod(stamp, 10**9)
    header = cdr.new('std_msgs/msg/Header', frame_id='world', stamp=cdr.new(
        'builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds))
    return cdr.encode(POINT, cdr.new(POINT, header=header, point=cdr.new(
        'geometry_msgs/msg/Point', x=values[0], y=values[1], z=0.0)))
