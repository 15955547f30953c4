"""The readers of what comes from elsewhere, each with good inputs to begin from."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
import io
import json
from pathlib import Path
import random
import sys
import tempfile

sys.path.insert(0, str(Path(__file__).parents[1]))      # made_policies.py, also as a script

from fuzzing import mutate, Target  # noqa: E402, I100, I202
from made_bags import step_bytes  # noqa: E402
import made_policies  # noqa: E402
from mcap.writer import CompressionType, Writer  # noqa: E402
import numpy as np  # noqa: E402
from robot_rl.bundle import pack, unpack  # noqa: E402
from robot_rl.contract import load_contract  # noqa: E402
from robot_rl.data import cdr  # noqa: E402
from robot_rl.data.bag import bag_transitions, BagWriter, decode_step, parse_info  # noqa: E402
from robot_rl.data.episode import EpisodeRecord  # noqa: E402
from robot_rl.data.episode_message import decode_episode, encode_episode, HEADER  # noqa: E402
from robot_rl.data.ingest_decode import StepDecoder  # noqa: E402
from robot_rl.data.ingest_read import find_recordings  # noqa: E402
from robot_rl.data.steps import BadStep, Mode, Source, Status, Step, STEPS_TYPE  # noqa: E402
from robot_rl.data.transitions import derive_transitions  # noqa: E402
from robot_rl.errors import UserError  # noqa: E402
from robot_rl.fields import BadMessage  # noqa: E402
from robot_rl.paths import contract_path  # noqa: E402
from robot_rl.policies import DECODERS, PolicyShelf  # noqa: E402

CONTRACT = load_contract('reach')
TOPIC = '/policy_server/steps'
START = 1_700_000_000_000_000_000       # ns


def targets(folder: Path) -> dict[str, Target]:
    """Return all by name; those that read files write each input into the folder."""
    return {'contract': _contract(folder), 'artifact': _artifact(), 'episode': _episode(),
            'bag': _bag(folder), 'metadata': _metadata(folder), 'step': _step()}


def _contract(folder: Path) -> Target:
    def read(data: bytes):
        (folder / 'contract.yaml').write_bytes(data)
        load_contract(str(folder / 'contract.yaml'))
    return Target(read, tuple(contract_path(name).read_bytes()
                              for name in ('reach', 'puck_push', 'push_t')), (UserError,))


def _artifact() -> Target:
    """Every policy on every topic."""
    plan = [[0.1, -0.1], [0.2, 0.3]]
    seeds = (made_policies.actor(CONTRACT), made_policies.explorers(CONTRACT, (0.5, 0.1)),
             made_policies.demonstrator(CONTRACT, plan), made_policies.steered(CONTRACT, plan))
    last: list[Exception] = []

    def read(data: bytes):
        last.clear()
        for topic in ('explorers', *DECODERS):
            try:
                PolicyShelf(CONTRACT).offer(data, topic)
            except UserError as error:
                last.append(error)
        if len(last) == 1 + len(DECODERS):
            raise last[0]
    return Target(read, seeds, (UserError,), partial(_signed, seeds))


def _episode() -> Target:
    steps = _steps(4)
    values = {'int': 1, 'str': 'x', 'float': 1.0, 'bool': True}
    header = {name: values[kind] for name, kind in HEADER.items()} | {'mode': 'learn'}
    record = EpisodeRecord(transitions=derive_transitions(steps, CONTRACT), **header)
    seeds = (encode_episode(record, CONTRACT),)
    return Target(lambda data: decode_episode(data, CONTRACT, 'x'), seeds, (UserError,),
                  partial(_signed, seeds))


def _signed(seeds: tuple[bytes, ...], data: bytes, rng: random.Random) -> bytes:
    """Return a seed with changes in manifest and arrays, and a checksum that fits them."""
    arrays, manifest = unpack(rng.choice(seeds), 'seed')
    if rng.random() < 0.6:
        try:
            changed = json.loads(mutate(json.dumps(manifest).encode(), rng))
            manifest = changed if isinstance(changed, dict) else manifest
        except (ValueError, RecursionError):
            pass
    for _ in range(rng.choice((0, 1, 1, 2))):
        name = rng.choice(sorted(arrays))
        array = arrays[name]
        arrays[name] = rng.choice((
            lambda: array.astype(np.float64), lambda: array.ravel(), lambda: array[None],
            lambda: array[:0] if array.ndim else array, lambda: array * np.float32(np.nan),
            lambda: np.concatenate((array, array)) if array.ndim else array,
            lambda: -array, lambda: array.T, lambda: np.zeros((0, 3, 0), np.float32)))()
        if rng.random() < 0.2:
            arrays[mutate(name.encode(), rng).decode(errors='replace')] = arrays.pop(name)
    try:
        return pack(arrays, manifest)
    except (ValueError, TypeError, UnicodeEncodeError):
        return data


def _bag(folder: Path) -> Target:
    """Both readers: of our own recordings, and of those of others."""
    bag = folder / 'bag'
    bag.mkdir(exist_ok=True)
    whole = folder / 'whole'
    writer = BagWriter(whole, {'label': 'success', 'steps_topic': TOPIC,
                               'interface': json.dumps(CONTRACT.interface)})
    topic = writer.add_topic(TOPIC, STEPS_TYPE)
    for step in _steps(6):
        writer.write(topic, step_bytes(step), step.stamp, step.stamp)
    writer.close({})
    seeds = [next(whole.glob('*.mcap')).read_bytes()]
    seeds += [_unchecked(kind) for kind in CompressionType]

    def read(data: bytes):
        (bag / 'bag_0.mcap').write_bytes(data)
        for recording in find_recordings(bag):
            topics, _ = recording.describe()
            for _ in recording.messages(topics):
                pass
        bag_transitions(bag, CONTRACT)
    return Target(read, tuple(seeds), (UserError,))


def _unchecked(compression: CompressionType) -> bytes:
    """Return a recording without checksums: a change gets further than to the first of them."""
    stream = io.BytesIO()
    writer = Writer(stream, 400, compression, enable_crcs=False)
    writer.start('ros2')
    text, type_hash = cdr.definition(STEPS_TYPE)
    schema = writer.register_schema(STEPS_TYPE, 'ros2msg', text.encode())
    channel = writer.register_channel(TOPIC, 'cdr', schema, {'topic_type_hash': type_hash})
    writer.add_metadata('rosbag2', {'serialized_metadata': METADATA})
    for step in _steps(4):
        writer.add_message(channel, step.stamp, step_bytes(step), step.stamp)
    writer.finish()
    return stream.getvalue()


METADATA = f"""\
version: 9
storage_identifier: mcap
message_count: 5
topics_with_message_count:
- topic_metadata: {{name: {TOPIC}, type: {STEPS_TYPE}, serialization_format: cdr}}
  message_count: 5
custom_data: &a {{label: 'success', number: 3}}
"""


def _metadata(folder: Path) -> Target:
    def read(data: bytes):
        parse_info(folder / 'metadata.yaml', data.decode(errors='replace'), complete=False)
    return Target(read, (METADATA.encode(),), (UserError,))


def _step() -> Target:
    """Both decoders, which have to agree."""
    short_cut = StepDecoder(CONTRACT)
    steps = _steps(3)

    def read(data: bytes):
        short_cut(step_bytes(steps[0]))
        try:
            found = decode_step(data, CONTRACT)
        except (BadMessage, BadStep):
            _refuses(short_cut, data)
            raise
        assert repr(short_cut(data)) == repr(found)
    seeds = [*steps, replace(steps[0], reward=0.5)]
    return Target(read, tuple(step_bytes(step) for step in seeds), (BadMessage, BadStep))


def _refuses(decoder: StepDecoder, data: bytes) -> None:
    try:
        decoder(data)
    except (BadMessage, BadStep):
        return
    raise AssertionError('the short cut accepts what the decoder refuses')


def _steps(count: int) -> list[Step]:
    n, m = len(CONTRACT.layout), len(CONTRACT.action.layout)
    return [Step(START + index * 50_000_000, 1, index,
                 Status.TRUNCATED if index == count else Status.RUNNING, Source.POLICY, Mode.LEARN,
                 7, False, np.linspace(0.0, index, n), np.full(m, 0.5), np.full(m, 0.25))
            for index in range(count + 1)]


def new_folder() -> tempfile.TemporaryDirectory:
    """Return a folder in memory where the machine has one: a disk takes most of the time."""
    memory = Path('/dev/shm')
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
