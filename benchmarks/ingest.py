"""Reading recordings beside `mcap` alone, which only iterates over the messages of the same files.

    steps    episodes of the recorder: its step records are read, the other topics passed over
    raw      the same episodes as `ros2 bag record` has them: every message is decoded and aligned
    joints   raw topics of puck_push: joint states, two poses and commands

Both read every file; ingest also reads metadata.yaml, derives transitions and judges them. They
alternate in one process; what counts is the ratio of processor times, round by round.
"""

from __future__ import annotations

from collections.abc import Callable
import gc
import os
from pathlib import Path
import platform
import sys
import tempfile
import time

from mcap.reader import make_reader
import numpy as np
from robot_rl.benchmarking import finish, parser_of, verdicts
from robot_rl.contract import Contract, load_contract
from robot_rl.data import cdr
from robot_rl.data.bag import BagWriter, find_bags, mcap_files, read_bag, read_info
from robot_rl.data.ingest import Ingest
from robot_rl.data.pusht import import_pusht

ROUNDS, FAST_ROUNDS = 9, 3          # after one to warm up
EPISODES, FAST_EPISODES = 40, 10
LENGTH = 120                        # control steps of an episode
GOAL = 0.5


def measure(name: str, folder: Path, contract: Contract, rounds: int) -> dict:
    """Return one row: microseconds per message of both, and the ratio of mcap's to ingest's."""
    files = [file for bag in find_bags(folder) for file in mcap_files(bag)]
    messages = iterate(files)
    times = []
    for _ in range(rounds + 1):
        times.append((processor_time(lambda: iterate(files)),
                      processor_time(lambda: ingest(folder, contract))))
    alone, ours = np.array(times[1:]).T
    return {'bags': name, 'files': len(files), 'messages': messages,
            'mcap_us': round(float(np.median(alone)) / messages * 1e6, 2),
            'ingest_us': round(float(np.median(ours)) / messages * 1e6, 2),
            'ratio': round(float(np.median(alone / ours)), 3),
            'ratio_range': [round(float(value), 3) for value in
                            (np.min(alone / ours), np.max(alone / ours))]}


def processor_time(run: Callable[[], object]) -> float:
    """Return s of this process; a machine that is busy with others does not show in it."""
    gc.collect()
    begun = time.process_time()
    run()
    return time.process_time() - begun


def iterate(files: list[Path]) -> int:
    """Iterate over all messages with mcap; return how many there are."""
    count = 0
    for file in files:
        with open(file, 'rb') as stream:
            for _ in make_reader(stream).iter_messages():
                count += 1
    return count


def ingest(folder: Path, contract: Contract) -> None:
    """Read everything; fail where something was refused."""
    run = Ingest([folder], contract)
    for found in run:
        assert len(found.transitions) == LENGTH - 1, len(found.transitions)
    assert not any(reading.refused for reading in run.readings)


def write_steps(folder: Path, episodes: int) -> None:
    """Write made-up episodes of Push-T as the recorder does."""
    rng, count = np.random.default_rng(0), episodes * LENGTH
    state = np.concatenate((rng.uniform(20, 100, (count, 4)), rng.uniform(0, 6, (count, 1))), 1)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / 'made_up.npz'
        np.savez(file, state=state, action=rng.uniform(20, 490, (count, 2)),
                 episode_ends=np.arange(1, episodes + 1) * LENGTH)
        import_pusht(file, folder)


def write_raw(folder: Path, source: Path) -> None:
    """Copy bags without their step records and custom data."""
    for bag in find_bags(source):
        writer, topics = BagWriter(folder / bag.name, {}), {}
        for message in read_bag(bag, [name for name in read_info(bag).topics
                                      if not name.endswith('/steps')]):
            if message.topic not in topics:
                topics[message.topic] = writer.add_topic(message.topic, message.type)
            writer.write(topics[message.topic], message.data, message.log_time,
                         message.publish_time)
        writer.close({})


def write_joints(folder: Path, episodes: int) -> None:
    """Write made-up raw topics of puck_push."""
    types = {'/joint_states': 'sensor_msgs/msg/JointState', '/tip': POINT, '/puck/pose': POSE,
             '/arm_controller/commands': NUMBERS}
    for episode in range(episodes):
        writer = BagWriter(folder / f'episode_{episode}', {})
        topics = [writer.add_topic(*topic) for topic in types.items()]
        for step in range(LENGTH):
            stamp = (1_600_000_000 + 1000 * episode) * 10**9 + step * 50_000_000
            for topic, kind, message in zip(topics, types.values(), joint_messages(stamp, step)):
                writer.write(topic, cdr.encode(kind, message), stamp, stamp)
        writer.close({})


POINT, POSE = 'geometry_msgs/msg/PointStamped', 'geometry_msgs/msg/PoseStamped'
NUMBERS = 'std_msgs/msg/Float64MultiArray'


def joint_messages(stamp: int, step: int) -> list:
    """Return one message of each topic."""
    seconds, nanoseconds = divmod(stamp, 10**9)
    header = cdr.new('std_msgs/msg/Header', frame_id='world', stamp=cdr.new(
        'builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds))
    point = cdr.new('geometry_msgs/msg/Point', x=0.1, y=-0.1 - step * 1e-4, z=0.0)
    turn = cdr.new('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0)
    layout = cdr.new('std_msgs/msg/MultiArrayLayout', dim=[], data_offset=0)
    return [cdr.new('sensor_msgs/msg/JointState', header=header, effort=np.zeros(0),
                    name=['shoulder', 'elbow', 'wrist'], position=np.full(3, step * 1e-3),
                    velocity=np.zeros(3)),
            cdr.new(POINT, header=header, point=point),
            cdr.new(POSE, header=header, pose=cdr.new('geometry_msgs/msg/Pose', position=point,
                                                      orientation=turn)),
            cdr.new(NUMBERS, layout=layout, data=np.full(3, 0.1))]


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = [f'{"bags":8}{"files":>6}{"messages":>10}{"mcap us":>9}{"ingest us":>11}'
             f'{"mcap / ingest, median (range)":>32}']
    for row in result['rows']:
        low, high = row['ratio_range']
        ratio = f'{row["ratio"]:.2f} ({low:.2f} to {high:.2f})'
        lines.append(f'{row["bags"]:8}{row["files"]:6}{row["messages"]:10}{row["mcap_us"]:9.1f}'
                     f'{row["ingest_us"]:11.1f}{ratio:>32}')
    lines += ['', *verdicts(result['claims'])]
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'ingest', 'fewer episodes and rounds')
    options = parser.parse_args(arguments)
    rounds = FAST_ROUNDS if options.fast else ROUNDS
    episodes = FAST_EPISODES if options.fast else EPISODES
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_steps(root / 'steps', episodes)
        write_raw(root / 'raw', root / 'steps')
        write_joints(root / 'joints', episodes)
        rows = [measure(name, root / name, load_contract(task), rounds) for name, task in (
            ('steps', 'push_t'), ('raw', 'push_t'), ('joints', 'puck_push'))]
    result = {'benchmark': 'ingest', 'rounds': rounds, 'cpus': os.cpu_count(),
              'versions': {'python': platform.python_version(), 'numpy': np.__version__},
              'rows': rows, 'claims': [{
                  'claim': f'{row["bags"]}: ingest reaches the speed of mcap alone times',
                  'value': row['ratio'], 'goal': GOAL, 'holds': row['ratio'] >= GOAL}
                  for row in rows]}
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(main())
