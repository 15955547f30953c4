from __future__ import annotations

import shutil
import sqlite3

from mcap.writer import CompressionType
import pytest
from raw_bags import (COMMANDS, episode, JOINTS, TYPES, write_foreign_mcap, write_mcap,
                      write_sqlite)
from robot_rl.data.bag_metadata import METADATA_FILE
from robot_rl.data.ingest import Ingest
from robot_rl.data.ingest_read import find_recordings
from robot_rl.errors import UserError
from rosbags.rosbag2 import CompressionFormat, CompressionMode
import zstandard

ZSTD = CompressionFormat.ZSTD
RAWS = episode(20)


def messages(root) -> list[tuple[str, bytes, int]]:
    recording, = find_recordings(root)
    found = [(topic, data, time) for topic, _, data, time, _ in
             recording.messages([JOINTS, COMMANDS])]
    assert not recording.damage
    return found


def test_a_message_tells_when_it_was_sent_where_that_is_stored(tmp_path):
    write_sqlite(tmp_path / 'old', RAWS)
    write_mcap(tmp_path / 'new', RAWS)
    for name, stored in (('old', False), ('new', True)):
        recording, = find_recordings(tmp_path / name)
        sent = [found[4] for found in recording.messages([JOINTS, COMMANDS])]
        assert sent == [raw.time if stored else 0 for raw in RAWS]


def expected(raws=RAWS) -> list[tuple[str, bytes, int]]:
    return [(raw.topic, raw.data, raw.time) for raw in raws]


@pytest.mark.parametrize('compression', [None, (CompressionMode.MESSAGE, ZSTD),
                                         (CompressionMode.FILE, ZSTD)])
def test_sqlite_bags_of_others_are_read(tmp_path, compression):
    assert messages(write_sqlite(tmp_path / 'bag', RAWS, compression)) == expected()


def test_a_file_that_is_compressed_whole_is_read(tmp_path):
    file = next(write_mcap(tmp_path / 'bag', RAWS).glob('*.mcap'))
    packed = tmp_path / 'alone.mcap.zstd'
    packed.write_bytes(zstandard.ZstdCompressor().compress(file.read_bytes()))
    assert messages(packed) == expected()


@pytest.mark.parametrize('compression', [CompressionType.ZSTD, CompressionType.LZ4])
def test_compressed_chunks_are_read(tmp_path, compression):
    write_foreign_mcap(tmp_path / 'a.mcap', RAWS, compression=compression)
    assert messages(tmp_path / 'a.mcap') == expected()


def test_splits_are_one_recording_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / 'bag'
    folder.mkdir()
    for number in range(11):
        part = write_mcap(tmp_path / f'part_{number}', RAWS[2 * number:2 * number + 2])
        shutil.move(next(part.glob('*.mcap')), folder / f'bag_{number}.mcap')
    assert messages(folder) == expected(RAWS[:22])


def test_recordings_are_found_beside_each_other_in_any_storage(tmp_path):
    write_mcap(tmp_path / 'a', RAWS)
    write_sqlite(tmp_path / 'b', RAWS)
    write_mcap(tmp_path / 'discarded', RAWS)
    shutil.move(next(write_mcap(tmp_path / 'c', RAWS).glob('*.mcap')), tmp_path / 'loose.mcap')
    shutil.rmtree(tmp_path / 'c')
    assert [recording.name for recording in find_recordings(tmp_path)] == [
        str(tmp_path), str(tmp_path / 'a'), str(tmp_path / 'b')]


def test_of_an_interrupted_bag_and_its_recovered_twin_only_the_twin_counts(tmp_path):
    (write_mcap(tmp_path / 'a', RAWS) / METADATA_FILE).unlink()
    write_mcap(tmp_path / 'a_recovered', RAWS)
    assert [recording.name for recording in find_recordings(tmp_path)] == [
        str(tmp_path / 'a_recovered')]


def test_an_interrupted_bag_still_tells_its_topics_and_custom_data(tmp_path):
    (write_mcap(tmp_path / 'a', RAWS, label='success') / METADATA_FILE).unlink()
    recording, = find_recordings(tmp_path / 'a')
    topics, custom_data = recording.describe()
    assert set(topics) == {JOINTS, COMMANDS} and custom_data == {'label': 'success'}


@pytest.mark.parametrize('name', ['notes.txt', 'absent.mcap'])
def test_what_is_no_recording_is_refused_by_name(tmp_path, name):
    (tmp_path / 'notes.txt').write_text('x')
    with pytest.raises(UserError, match=name):
        find_recordings(tmp_path / name)


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(UserError, match='no bag in it'):
        find_recordings(tmp_path)


def hostile(tmp_path, script: str):
    file = tmp_path / 'bad.db3'
    with sqlite3.connect(file) as database:
        database.executescript(
            'CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT);'
            f"INSERT INTO topics VALUES (1, '{JOINTS}', '{TYPES[JOINTS]}'),"
            f"(2, '{COMMANDS}', '{TYPES[COMMANDS]}');" + script)
    database.close()
    return file


MESSAGES = 'CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id, timestamp, data);'


@pytest.mark.parametrize('script, reason', [
    ('CREATE VIEW messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) '
     "SELECT i AS id, 1 AS topic_id, i AS timestamp, x'00' AS data FROM n;", 'no table messages'),
    (MESSAGES + "INSERT INTO messages VALUES (1, 1, 'soon', x'00');", 'row 1 is not a message'),
    (MESSAGES + "INSERT INTO messages VALUES (1, 1, 5, 'text');", 'row 1 is not a message'),
    (MESSAGES + f"INSERT INTO messages VALUES (1, 1, 5, x'28b52ffd{'ff' * 20}');", 'compressed'),
    ('CREATE TABLE messages(a);', 'no such column')])
def test_a_hostile_database_gives_a_reason(tmp_path, contract, script, reason):
    ingest = Ingest([hostile(tmp_path, script)], contract)
    assert not list(ingest) and reason in ingest.readings[0].refused


def test_a_compressed_file_that_unpacks_without_end_is_refused(tmp_path, contract, monkeypatch):
    monkeypatch.setattr('robot_rl.data.ingest_read.MAX_UNPACKED_BYTES', 1 << 20)
    bomb = tmp_path / 'bomb.mcap.zstd'
    bomb.write_bytes(zstandard.ZstdCompressor().compress(bytes(1 << 22)))
    ingest = Ingest([bomb], contract)
    assert not list(ingest) and 'unpacks to more than' in ingest.readings[0].refused


def test_a_database_whose_writer_was_killed_tells_of_what_is_not_read(tmp_path, contract):
    folder = write_sqlite(tmp_path / 'bag', RAWS)
    file = next(folder.glob('*.db3'))
    file.with_name(file.name + '-wal').write_bytes(b'x')
    ingest = Ingest([folder], contract)
    assert len(list(ingest)) == 1 and '-wal' in ingest.readings[0].damage[0]


def test_metadata_whose_aliases_multiply_is_refused(tmp_path, contract):
    folder = write_mcap(tmp_path / 'bag', RAWS)
    lines = ['a0: &a0 [x, x]'] + [f'a{n}: &a{n} [*a{n - 1}, *a{n - 1}]' for n in range(1, 60)]
    text = (folder / METADATA_FILE).read_text().replace(
        'custom_data: {}', 'custom_data: {x: *a59}')
    (folder / METADATA_FILE).write_text('\n'.join(lines) + '\n' + text)
    ingest = Ingest([folder], contract)
    assert not list(ingest) and 'nested' in ingest.readings[0].refused
