from __future__ import annotations

import json

from mcap.writer import CompressionType, Writer
import numpy as np
import pytest
from recording import episode_steps, EVENTS, step_bytes, STEPS, text_bytes, TOPICS, write_episode
from robot_rl.data import cdr
from robot_rl.data.bag import (bag_steps, bag_transitions, BagWriter, find_bags, read_bag,
                               read_info, set_custom_data)
from robot_rl.data.steps import STEPS_TYPE
from robot_rl.data.transitions import COLUMNS
from robot_rl.errors import InvalidFile, Mismatch, UserError
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader
import yaml

QOS = """\
- history: keep_last
  depth: 10
  reliability: reliable
  durability: volatile
  deadline: {sec: 9223372036, nsec: 854775807}
  lifespan: {sec: 9223372036, nsec: 854775807}
  liveliness: automatic
  liveliness_lease_duration: {sec: 9223372036, nsec: 854775807}
  avoid_ros_namespace_conventions: false
"""
TEXT = TOPICS[EVENTS].type


@pytest.fixture
def text_bag(tmp_path):
    """Return a complete bag with the texts 0 to 9, one per second from 100 s on."""
    writer = BagWriter(tmp_path / 'texts', {'note': 'first'})
    topic = writer.add_topic('/text', TEXT, QOS)
    for index in range(10):
        writer.write(topic, text_bytes(str(index)), (100 + index) * 10**9, 99 * 10**9)
    writer.close({'note': 'last'})
    return tmp_path / 'texts'


def messages(folder):
    return [cdr.decode(TEXT, message.data).data for message in read_bag(folder)]


def test_other_readers_read_the_bag(text_bag):
    with AnyReader([text_bag]) as reader:
        found = [reader.deserialize(data, connection.msgtype).data
                 for connection, _, data in reader.messages()]
    assert found == [str(index) for index in range(10)]


def test_other_readers_see_count_times_qos_hash_and_custom_data(text_bag):
    with Reader(text_bag) as reader:
        topic, = reader.connections
        assert reader.message_count == 10
        assert (reader.start_time, reader.end_time) == (100 * 10**9, 109 * 10**9 + 1)
        assert reader.storage.metadata.custom == {'note': 'last'}
        assert topic.digest == cdr.definition(TEXT)[1]
        assert topic.ext.offered_qos_profiles[0].depth == 10


def test_metadata_has_the_keys_of_version_9(text_bag):
    found = yaml.safe_load((text_bag / 'metadata.yaml').read_text())
    found = found['rosbag2_bagfile_information']
    assert set(found) == {
        'version', 'storage_identifier', 'duration', 'starting_time', 'message_count',
        'topics_with_message_count', 'compression_format', 'compression_mode',
        'relative_file_paths', 'files', 'custom_data', 'ros_distro'}
    assert found['version'] == 9
    assert found['relative_file_paths'] == ['texts_0.mcap']


def test_the_distro_is_taken_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv('ROS_DISTRO', 'lyrical')
    BagWriter(tmp_path / 'bag', {}).close({})
    assert 'ros_distro: lyrical' in (tmp_path / 'bag' / 'metadata.yaml').read_text()


def test_times_survive(text_bag):
    first = next(read_bag(text_bag))
    assert (first.log_time, first.publish_time) == (100 * 10**9, 99 * 10**9)


def test_definitions_separate_nested_types_as_rosbag2_does():
    text, type_hash = cdr.definition('sensor_msgs/msg/JointState')
    assert '\n' + '=' * 80 + '\nMSG: std_msgs/Header\n' in text
    assert type_hash.startswith('RIHS01_')


def test_an_unknown_type_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match='my_msgs/msg/Mine'):
        BagWriter(tmp_path / 'bag', {}).add_topic('/mine', 'my_msgs/msg/Mine')


def test_an_existing_folder_is_never_overwritten(text_bag):
    with pytest.raises(UserError, match='exists already'):
        BagWriter(text_bag, {})
    assert len(messages(text_bag)) == 10


@pytest.mark.parametrize('value', ['12345678901234e5', 'yes', '0o17', 'a: b\n\tc #\n', 'é', ''])
def test_custom_data_stays_text_for_every_reader(tmp_path, value):
    BagWriter(tmp_path / 'bag', {'key': value}).close({'key': value})
    assert read_info(tmp_path / 'bag').custom_data == {'key': value}
    with Reader(tmp_path / 'bag') as reader:
        assert reader.storage.metadata.custom == {'key': value}


def test_an_open_bag_already_tells_whose_it_is(tmp_path):
    writer = BagWriter(tmp_path / 'bag', {'task': 'push'})
    info = read_info(tmp_path / 'bag')
    assert (info.custom_data, info.complete) == ({'task': 'push'}, False)
    writer.abandon()


def test_flushed_messages_are_readable_while_the_bag_is_open(tmp_path):
    writer = BagWriter(tmp_path / 'bag', {})
    topic = writer.add_topic('/text', TEXT)
    writer.write(topic, text_bytes('a'), 1, 1)
    writer.flush()
    assert messages(tmp_path / 'bag') == ['a']
    writer.abandon()


def test_topics_are_selected_by_name(text_bag):
    assert list(read_bag(text_bag, ['/other'])) == []
    assert len(list(read_bag(text_bag, ['/text']))) == 10


@pytest.mark.parametrize('compression', [CompressionType.ZSTD, CompressionType.LZ4])
def test_compressed_bags_of_others_are_read(tmp_path, compression):
    folder = tmp_path / 'bag'
    folder.mkdir()
    writer = Writer(str(folder / 'bag_0.mcap'), compression=compression)
    writer.start('ros2')
    schema = writer.register_schema(TEXT, 'ros2msg', b'string data\n')
    channel = writer.register_channel('/text', 'cdr', schema)
    for index in range(100):
        writer.add_message(channel, index, text_bytes(str(index)), index)
    writer.finish()
    assert messages(folder) == [str(index) for index in range(100)]


def flushed_bag(folder, count):
    """Leave an interrupted bag in which each message was flushed on its own."""
    writer = BagWriter(folder, {})
    topic = writer.add_topic('/text', TEXT)
    for index in range(count):
        writer.write(topic, text_bytes(str(index)), index, index)
        writer.flush()
    writer.abandon()
    return folder / f'{folder.name}_0.mcap'


def test_a_cut_file_gives_a_prefix_of_whole_messages(tmp_path):
    path = flushed_bag(tmp_path / 'bag', 4)
    data = path.read_bytes()
    counts = []
    for size in [*range(0, len(data) - 400, 7), *range(len(data) - 400, len(data) + 1)]:
        path.write_bytes(data[:size])
        found = messages(tmp_path / 'bag')
        assert found == [str(index) for index in range(len(found))]
        counts.append(len(found))
    assert counts[-1] == 4 and counts == sorted(counts)


def test_a_flipped_byte_anywhere_gives_a_prefix_and_no_traceback(tmp_path):
    path = flushed_bag(tmp_path / 'bag', 3)
    data = path.read_bytes()
    for index in range(len(data)):
        path.write_bytes(data[:index] + bytes([data[index] ^ 0xff]) + data[index + 1:])
        assert len(list(read_bag(tmp_path / 'bag'))) <= 3


def test_a_record_that_claims_to_be_huge_is_not_allocated(tmp_path):
    path = flushed_bag(tmp_path / 'bag', 2)
    with open(path, 'ab') as stream:
        stream.write(b'\x05' + (1 << 60).to_bytes(8, 'little') + b'x' * 100)
    assert messages(tmp_path / 'bag') == ['0', '1']


def test_bags_are_found_by_name_without_discarded_and_hidden_ones(tmp_path):
    for name in ('b', 'a', 'discarded/c', '.half'):
        BagWriter(tmp_path / name, {}).close({})
    (tmp_path / 'notes').mkdir()
    assert [folder.name for folder in find_bags(tmp_path)] == ['a', 'b']


def test_a_recovered_twin_counts_instead_of_its_original(tmp_path):
    flushed_bag(tmp_path / 'a', 1)
    BagWriter(tmp_path / 'a_recovered', {}).close({})
    assert [folder.name for folder in find_bags(tmp_path)] == ['a_recovered']


def test_a_twin_of_a_complete_bag_does_not_count(tmp_path):
    BagWriter(tmp_path / 'a', {}).close({})
    BagWriter(tmp_path / 'a_recovered', {}).close({})
    assert [folder.name for folder in find_bags(tmp_path)] == ['a']


def test_a_bag_itself_is_found(text_bag):
    assert find_bags(text_bag) == [text_bag]


def test_a_folder_that_is_not_a_bag_is_named(tmp_path):
    with pytest.raises(UserError, match=f'{tmp_path}: not a bag'):
        read_info(tmp_path)
    with pytest.raises(UserError, match='no such'):
        list(read_bag(tmp_path / 'missing'))
    with pytest.raises(UserError, match='no such folder'):
        find_bags(tmp_path / 'missing')


def test_a_sqlite_bag_is_refused_with_the_way_out(tmp_path):
    (tmp_path / 'bag_0.db3').touch()
    with pytest.raises(UserError, match='ros2 bag convert'):
        read_info(tmp_path)


@pytest.mark.parametrize('text', ['', ': :', '[]', 'rosbag2_bagfile_information: {version: 9}',
                                  '\x00', '&a [*a]'])
def test_broken_metadata_is_refused_by_file(text_bag, text):
    (text_bag / 'metadata.yaml').write_text(text)
    with pytest.raises(InvalidFile, match='metadata.yaml'):
        read_info(text_bag)


def test_steps_come_back_from_a_bag(tmp_path, contract):
    steps = episode_steps(5)
    write_episode(tmp_path / 'bag', steps)
    assert [step.index for step in bag_steps(tmp_path / 'bag', contract)] == list(range(6))


def test_a_bag_of_another_contract_is_refused_by_key(tmp_path, contract, make_contract):
    write_episode(tmp_path / 'bag', episode_steps(2), interface=json.dumps(contract.interface))
    other = make_contract(**{'high: [1.0]': 'high: [2.0]'})
    with pytest.raises(Mismatch, match=r'action.high: expected \[2.0\], found \[1.0\]'):
        bag_transitions(tmp_path / 'bag', other)


def test_an_interface_that_is_not_json_is_refused(tmp_path, contract):
    write_episode(tmp_path / 'bag', episode_steps(2), interface='{')
    with pytest.raises(InvalidFile, match='custom_data.interface'):
        bag_steps(tmp_path / 'bag', contract)


def test_a_bag_without_steps_is_sent_to_demo_ingest(text_bag, contract):
    with pytest.raises(UserError, match='demo_ingest'):
        bag_steps(text_bag, contract)


def test_undecodable_steps_are_counted(tmp_path, contract):
    writer = BagWriter(tmp_path / 'bag', {})
    topic = writer.add_topic(STEPS, STEPS_TYPE)
    for data in (step_bytes(episode_steps(1)[0]), b'nonsense', b''):
        writer.write(topic, data, 1, 1)
    writer.close({})
    with pytest.raises(UserError, match='2 of 3 step records cannot be read'):
        bag_steps(tmp_path / 'bag', contract)


def test_a_damaged_complete_bag_is_not_taken_for_a_short_episode(tmp_path, contract):
    write_episode(tmp_path / 'bag', episode_steps(4))
    path = tmp_path / 'bag' / 'bag_0.mcap'
    data = bytearray(path.read_bytes())
    data[data.index(b'executed') + 400] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match='damaged, 0 of 5'):
        bag_steps(tmp_path / 'bag', contract)


def test_a_late_label_changes_the_transitions_and_not_the_recording(tmp_path, contract):
    write_episode(tmp_path / 'bag', episode_steps(3), label='')
    recording = (tmp_path / 'bag' / 'bag_0.mcap').read_bytes()
    before = bag_transitions(tmp_path / 'bag', contract)
    set_custom_data(tmp_path / 'bag', label='success')
    after = bag_transitions(tmp_path / 'bag', contract)
    assert (before.terminated[-1], after.terminated[-1]) == (0, 1)
    assert all(np.array_equal(getattr(before, name), getattr(after, name))
               for name in COLUMNS if name not in ('terminated', 'truncated'))
    assert (tmp_path / 'bag' / 'bag_0.mcap').read_bytes() == recording
    with Reader(tmp_path / 'bag') as reader:
        assert reader.storage.metadata.custom['label'] == 'success'
