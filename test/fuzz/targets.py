"""The readers of what comes from elsewhere, each with good inputs to begin from."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
import io
import json
from pathlib import Path
import random
import shutil
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
from robot_rl.curves import _record, CurveWriter, PATTERN, read_curves  # noqa: E402
from robot_rl.data import cdr  # noqa: E402
from robot_rl.data.bag import bag_transitions, BagWriter, decode_step  # noqa: E402
from robot_rl.data.bag_metadata import parse_info  # noqa: E402
from robot_rl.data.episode import EpisodeRecord  # noqa: E402
from robot_rl.data.episode_message import decode_episode, encode_episode, HEADER  # noqa: E402
from robot_rl.data.export import Run  # noqa: E402
from robot_rl.data.export_robomimic import h5py_module, OURS, robomimic_file  # noqa: E402
from robot_rl.data.import_robomimic import import_robomimic  # noqa: E402
from robot_rl.data.ingest_decode import StepDecoder  # noqa: E402
from robot_rl.data.ingest_read import find_recordings  # noqa: E402
from robot_rl.data.steps import BadStep, Mode, Source, Status, Step, STEPS_TYPE  # noqa: E402
from robot_rl.data.transitions import derive_transitions  # noqa: E402
from robot_rl.errors import UserError  # noqa: E402
from robot_rl.fields import BadMessage  # noqa: E402
from robot_rl.paths import contract_path  # noqa: E402
from robot_rl.policies import DECODERS, PolicyShelf  # noqa: E402
import yaml  # noqa: E402

CONTRACT = load_contract('reach')
TOPIC = '/policy_server/steps'
START = 1_700_000_000_000_000_000       # ns


def _contract(folder: Path) -> Target:
    def read(data: bytes):
        (folder / 'contract.yaml').write_bytes(data)
        load_contract(str(folder / 'contract.yaml'))
    return Target(read, tuple(contract_path(name).read_bytes()
                              for name in ('reach', 'puck_push', 'push_t')), (UserError,))


def _artifact(folder: Path) -> Target:
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


def _episode(folder: Path) -> Target:
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


def _step(folder: Path) -> Target:
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


def _reward(folder: Path) -> Target:
    """Derive what a record between two others teaches, where somebody publishes the reward."""
    document = yaml.safe_load(contract_path('reach').read_text(encoding='utf-8'))
    document['reward'] = {'topic': 'score', 'type': 'std_msgs/msg/Float32', 'select': ['data'],
                          'max_age': 0.5}
    (folder / 'rewarded.yaml').write_text(yaml.safe_dump(document), encoding='utf-8')
    contract = load_contract(str(folder / 'rewarded.yaml'))
    first, second, third = [replace(step, reward=0.5) for step in _steps(2)]

    def read(data: bytes):
        found = derive_transitions([first, decode_step(data, contract), third], contract)
        assert all(np.isfinite(column).all() for column in vars(found).values())
    seeds = [second, replace(second, reward=-1e6), replace(second, status=Status.TERMINATED)]
    return Target(read, tuple(step_bytes(step) for step in seeds),
                  (BadMessage, BadStep, UserError))


class Damaged(Exception):
    """A file of curves that could be read, but not to its end."""


def _curves(folder: Path) -> Target:
    """Event files, also with checksums that fit what was changed."""
    made, changed = folder / 'curves', folder / 'changed'
    writer = CurveWriter(made, print)
    for step in range(5):
        writer.add(100 * step, {'learner/q_mean': -0.5 * step, 'progress/owed': 3.0}, 1e9 + step)
    writer.close()
    [file] = made.glob(PATTERN)
    seed, whole = file.read_bytes(), _points(made)
    changed.mkdir()

    def read(data: bytes):
        (changed / file.name).write_bytes(data)
        if _points(changed) < whole:
            raise Damaged

    def forge(data: bytes, rng: random.Random) -> bytes:
        records, at = [], 0
        while at < len(seed):
            size = int.from_bytes(seed[at:at + 8], 'little')
            records.append(seed[at + 12:at + 12 + size])
            at += size + 16
        place = rng.randrange(len(records))
        records[place] = mutate(records[place], rng)
        return b''.join(map(_record, records))
    return Target(read, (seed,), (Damaged,), forge)


def _points(folder: Path) -> int:
    curves = read_curves(folder).values()
    assert all(len(curve.steps) == len(curve.values) == len(curve.times) for curve in curves)
    return sum(len(curve.steps) for curve in curves)


def _robomimic(folder: Path) -> Target:
    """HDF5 files as we export them, and as others do."""
    file, bags, steps = folder / 'in.hdf5', folder / 'bags', _steps(3)
    with robomimic_file(folder / 'ours.hdf5', CONTRACT) as add:
        add(Run('episode_000001', 's1', 'success', 'success', tuple(steps),
                derive_transitions(steps, CONTRACT)))
    shutil.copy(folder / 'ours.hdf5', folder / 'foreign.hdf5')
    with h5py_module().File(folder / 'foreign.hdf5', 'a') as foreign:
        del foreign[OURS], foreign['data/demo_0/executed']

    def read(data: bytes):
        file.write_bytes(data)
        shutil.rmtree(bags, ignore_errors=True)
        import_robomimic(file, bags, CONTRACT)
    return Target(read, tuple((folder / f'{whose}.hdf5').read_bytes()
                              for whose in ('ours', 'foreign')), (UserError,))


def _steps(count: int) -> list[Step]:
    n, m = len(CONTRACT.layout), len(CONTRACT.action.layout)
    return [Step(START + index * 50_000_000, 1, index,
                 Status.TRUNCATED if index == count else Status.RUNNING, Source.POLICY, Mode.LEARN,
                 7, False, np.linspace(0.0, index, n), np.full(m, 0.5), np.full(m, 0.25))
            for index in range(count + 1)]


# Name -> what makes it; those that read files write each input into the folder.
TARGETS = {'contract': _contract, 'artifact': _artifact, 'episode': _episode, 'bag': _bag,
           'metadata': _metadata, 'step': _step, 'reward': _reward, 'curves': _curves,
           'robomimic': _robomimic}


def new_folder() -> tempfile.TemporaryDirectory:
    """Return a folder in memory where the machine has one: a disk takes most of the time."""
    memory = Path('/dev/shm')
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
