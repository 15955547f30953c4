"""Made-up episodes of contract `reach`: steps, what the recorder publishes, anybody's bag."""

from __future__ import annotations

from pathlib import Path

from geometry_msgs.msg import PointStamped
import numpy as np
from rclpy.serialization import serialize_message
from rclpy.time import Time
from robot_rl.contract import Contract
from robot_rl.data.bag import BagWriter
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.data.transitions import derive_transitions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header

PERIOD = 50_000_000     # ns
SESSION = '11111111-2222-3333-4444-555555555555'


def make_steps(contract: Contract, episode: int, count: int = 6, mode: Mode = Mode.LEARN,
               last: Status = Status.TRUNCATED) -> list[Step]:
    """Return count + 1 records with random contents that depend on the episode's number."""
    rng = np.random.default_rng(episode)
    n, m = len(contract.layout), len(contract.action.layout)
    start = (episode + 1) * 1_000_000_000
    return [Step(start + index * PERIOD, episode, index,
                 last if index == count else Status.RUNNING, Source.POLICY, mode, 0, False,
                 rng.normal(size=n), rng.normal(size=m), rng.uniform(-2.0, 2.0, m))
            for index in range(count + 1)]


def make_record(contract: Contract, number: int, total: int, count: int = 6,
                mode: Mode = Mode.LEARN) -> EpisodeRecord:
    """Return the published episode `number` of `total`."""
    steps = make_steps(contract, number, count, mode)
    return EpisodeRecord(f'episode_{number:06d}', number, total,
                         derive_transitions(steps, contract), 'truncated', '', SESSION,
                         steps[-1].stamp, mode.name.lower(), 0)


def record_raw(contract: Contract, folder: Path, count: int = 8) -> None:
    """Write what `ros2 bag record` leaves of an episode: the topics of the contract."""
    writer = BagWriter(folder, {})
    topics = {entry.topic: entry.type for entry in contract.observations}
    topics[contract.action.topic] = contract.action.type
    ids = {topic: writer.add_topic(f'/{topic}', kind) for topic, kind in topics.items()}
    for tick in range(count):
        stamp = 1_700_000_000_000_000_000 + tick * 50_000_000
        header = Header(stamp=Time(nanoseconds=stamp).to_msg())
        for topic, message in {
                'joint_states': JointState(header=header, name=['shoulder', 'elbow'],
                                           position=[0.1 * tick, 0.2], velocity=[0.1, 0.0],
                                           effort=[0.0, 0.0]),
                'tip': PointStamped(header=header),
                contract.action.topic: Float64MultiArray(data=[0.5, -0.5])}.items():
            writer.write(ids[topic], serialize_message(message), stamp, stamp)
    writer.close({})
