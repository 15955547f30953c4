"""Bags as other people's tools write them: raw topics only, of the tiny task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcap.writer import Writer as McapWriter
import numpy as np
from robot_rl.data import cdr
from robot_rl.data.bag import BagWriter
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

JOINTS, COMMANDS, EVENTS = '/joint_states', '/commands', '/recorder/events'
SCORE = '/score'
TYPES = {JOINTS: 'sensor_msgs/msg/JointState', COMMANDS: 'std_msgs/msg/Float64MultiArray',
         EVENTS: 'diagnostic_msgs/msg/DiagnosticArray', SCORE: 'std_msgs/msg/Float32'}
START = 1_700_000_000_000_000_000       # ns
PERIOD = 50_000_000                     # ns
STORE = get_typestore(Stores.ROS2_JAZZY)


@dataclass(frozen=True)
class Raw:
    """One message to record."""

    topic: str
    data: bytes
    time: int


def header(stamp: int):
    seconds, nanoseconds = divmod(stamp, 10**9)
    return cdr.new('std_msgs/msg/Header', frame_id='', stamp=cdr.new(
        'builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds))


def joint_state(position: float, stamp: int, names=('other', 'j')) -> bytes:
    count = len(names)
    return cdr.encode(TYPES[JOINTS], cdr.new(
        TYPES[JOINTS], header=header(stamp), name=list(names), effort=np.zeros(0),
        position=np.full(count, position), velocity=np.full(count, 0.1)))


def command(*values: float) -> bytes:
    layout = cdr.new('std_msgs/msg/MultiArrayLayout', dim=[], data_offset=0)
    return cdr.encode(TYPES[COMMANDS], cdr.new(
        TYPES[COMMANDS], layout=layout, data=np.array(values, float)))


def score(value: float, time: int) -> Raw:
    return Raw(SCORE, cdr.encode(TYPES[SCORE], cdr.new(TYPES[SCORE], data=value)), time)


def event(kind: str, time: int) -> Raw:
    status = cdr.new('diagnostic_msgs/msg/DiagnosticStatus', level=0, name='recorder',
                     message=kind, hardware_id='', values=[])
    return Raw(EVENTS, cdr.encode(TYPES[EVENTS], cdr.new(
        TYPES[EVENTS], header=header(time), status=[status])), time)


def episode(count: int = 10, start: int = START, first: int = 0, commands: bool = True,
            stamp: int | None = None) -> list[Raw]:
    """Return `count` cycles: position index / 100, then the command -index / 100 5 ms later."""
    raws = []
    for index in range(count):
        time = start + index * PERIOD
        seen = time if stamp is None else stamp + index * PERIOD
        raws.append(Raw(JOINTS, joint_state((first + index) / 100, seen), time))
        if commands:
            raws.append(Raw(COMMANDS, command(-(first + index) / 100), time + 5_000_000))
    return raws


def write_mcap(folder, raws: list[Raw], chunk: int = 10**9, **custom_data: str):
    """Write with our writer; a chunk ends after so many messages."""
    writer = BagWriter(folder, custom_data)
    topics = {}
    for index, raw in enumerate(raws):
        if raw.topic not in topics:
            topics[raw.topic] = writer.add_topic(raw.topic, TYPES[raw.topic])
        writer.write(topics[raw.topic], raw.data, raw.time, raw.time)
        if index % chunk == chunk - 1:
            writer.flush()
    writer.close(custom_data)
    return folder


def write_sqlite(folder, raws: list[Raw], compression=None):
    """Write with `rosbags`; `compression` is (mode, format) of it."""
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin.SQLITE3)
    if compression:
        writer.set_compression(*compression)
    with writer:
        topics = {}
        for raw in raws:
            if raw.topic not in topics:
                topics[raw.topic] = writer.add_connection(raw.topic, TYPES[raw.topic],
                                                          typestore=STORE)
            writer.write(topics[raw.topic], raw.time, raw.data)
    return folder


def write_foreign_mcap(file: Path, raws: list[Raw], **options) -> None:
    """Write an MCAP file of joint states and commands with options of mcap's own writer."""
    writer = McapWriter(str(file), **options)
    writer.start('ros2')
    channels = {topic: writer.register_channel(topic, 'cdr', writer.register_schema(
        TYPES[topic], 'ros2msg', b'')) for topic in (JOINTS, COMMANDS)}
    for raw in raws:
        writer.add_message(channels[raw.topic], raw.time, raw.data, raw.time)
    writer.finish()
