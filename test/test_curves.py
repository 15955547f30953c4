"""Event files: what TensorBoard reads of them, and what a crash or a full disk leaves."""

from __future__ import annotations

import errno
import math
import struct

import pytest
from robot_rl.curves import _masked_crc, Curve, CurveWriter, PATTERN, read_curves

NOW = 1_700_000_000.0


@pytest.fixture
def begin(tmp_path):
    writers = []

    def write(at: float = NOW, told: list | None = None) -> CurveWriter:
        writers.append(CurveWriter(tmp_path, (told if told is not None else []).append))
        return writers[-1]
    yield write
    for writer in writers:
        writer.close()


def files(folder) -> list:
    return sorted(folder.glob(PATTERN))


# RFC 3720 B.4, with the mask of TFRecord: rotated right by 15 bits, plus a constant.
@pytest.mark.parametrize(('data', 'crc'), [
    (bytes(32), 0x8a9136aa), (b'\xff' * 32, 0x62a8ab43), (bytes(range(32)), 0x46dd794e),
    (b'123456789', 0xe3069283)])
def test_checksums_are_castagnoli_and_masked(data, crc):
    assert _masked_crc(data) == ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def test_what_is_written_is_read(tmp_path, begin):
    writer = begin()
    writer.add(0, {'learner/q_mean': -1.5, 'progress/owed': 3.0}, NOW)
    writer.add(20, {'learner/q_mean': 0.25}, NOW + 1.0)
    writer.add(10 ** 12, {'learner/q_mean': 2.0}, NOW + 2.5)
    assert read_curves(tmp_path) == {
        'learner/q_mean': Curve([0, 20, 10 ** 12], [-1.5, 0.25, 2.0],
                                [NOW, NOW + 1.0, NOW + 2.5]),
        'progress/owed': Curve([0], [3.0], [NOW])}


def test_tensorboard_reads_it(tmp_path, begin):
    accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator', exc_type=ImportError)
    first = begin()
    first.add(5, {'learner/q_mean': -1.5, 'ünïcode': 7.0}, NOW)
    first.add(300, {'learner/q_mean': 0.25}, NOW + 1.0)
    second = begin()
    second.add(400, {'learner/q_mean': 1e300}, NOW + 2.0)
    found = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert sorted(found.Tags()['scalars']) == ['learner/q_mean', 'ünïcode']
    assert [(one.wall_time, one.step, one.value) for one in found.Scalars('learner/q_mean')][:2] \
        == [(NOW, 5, -1.5), (NOW + 1.0, 300, 0.25)]
    assert found.Scalars('learner/q_mean')[2].value == pytest.approx(3.4e38)


def test_what_tensorboard_writes_is_read(tmp_path):
    writers = pytest.importorskip('tensorboard.summary.writer.event_file_writer',
                                  exc_type=ImportError)
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    writer = writers.EventFileWriter(str(tmp_path))
    value = Summary.Value(tag='loss', simple_value=0.5)
    writer.add_event(Event(wall_time=NOW, step=9, summary=Summary(value=[value])))
    writer.close()
    assert read_curves(tmp_path) == {'loss': Curve([9], [0.5], [NOW])}


def test_every_prefix_of_a_file_gives_the_records_that_are_whole(tmp_path, begin):
    writer, ends = begin(), []
    for step in range(3):
        writer.add(step, {'a': float(step)}, NOW)
        [path] = files(tmp_path)
        ends.append(path.stat().st_size)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        whole = sum(end <= size for end in ends)
        assert read_curves(tmp_path).get('a', Curve()).steps == list(range(whole))


def test_no_damaged_byte_gives_another_number(tmp_path, begin):
    begin().add(1, {'a': 1.0}, NOW)
    [path] = files(tmp_path)
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1:])
        assert read_curves(tmp_path) == {}


def test_whole_records_of_hostile_bytes_are_no_error(tmp_path):
    for body in (b'\xff' * 12, b'\x2a\x7f', b'\x0f', b'\x09\x00', b'\x12\x03abc',
                 b'\x2a\x04\x0a\x02\x0a\x7f', b'\x2a\x0b\x0a\x09\x0a\x02\xff\xfe\x15\0\0\0\0'):
        head = struct.pack('<Q', len(body))
        (tmp_path / 'x.tfevents.1').write_bytes(
            head + struct.pack('<I', _masked_crc(head)) + body
            + struct.pack('<I', _masked_crc(body)))
        assert read_curves(tmp_path) == {}


def test_a_learner_that_resumes_replaces_what_came_after_its_checkpoint(tmp_path, begin):
    first = begin()
    for step in (10, 20, 30):
        first.add(step, {'a': 1.0, 'b': 1.0}, NOW)
    second = begin()
    second.add(20, {'a': 2.0}, NOW + 1.0)
    second.add(40, {'a': 2.0}, NOW + 2.0)
    found = read_curves(tmp_path)
    assert (found['a'].steps, found['a'].values) == ([10, 20, 40], [1.0, 2.0, 2.0])
    assert found['b'].steps == [10] and len(files(tmp_path)) == 2


def test_nothing_is_made_before_the_first_number(tmp_path, begin):
    begin().add(1, {'a': math.nan, 'b': math.inf}, NOW)
    assert not list(tmp_path.iterdir()) and read_curves(tmp_path / 'absent') == {}


def test_a_folder_that_cannot_be_made_is_told_of_once(tmp_path):
    (tmp_path / 'taken').write_text('')
    told = []
    writer = CurveWriter(tmp_path / 'taken', told.append)
    for step in range(3):
        writer.add(step, {'a': 1.0}, NOW)
    assert len(told) == 1 and 'taken: curves are not written' in told[0]


class FullDisk:
    """A file on a disk that takes a few more bytes and then none, until there is room again."""

    def __init__(self, file):
        self.file, self.name, self.room = file, file.name, 10

    def write(self, data: bytes) -> int:
        if self.room is None:
            return self.file.write(data)
        self.file.write(data[:self.room])
        raise OSError(errno.ENOSPC, 'No space left on device')

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_costs_its_points_and_nothing_else(tmp_path, begin):
    told = []
    writer = begin(told=told)
    writer.add(1, {'a': 1.0}, NOW)
    writer._file = disk = FullDisk(writer._file)
    writer.add(2, {'a': 2.0}, NOW)
    writer.add(3, {'a': 3.0}, NOW)
    disk.room = None
    writer.add(4, {'a': 4.0}, NOW)
    assert read_curves(tmp_path)['a'].steps == [1, 4]
    assert len(told) == 1 and 'No space left' in told[0] and len(files(tmp_path)) == 1
