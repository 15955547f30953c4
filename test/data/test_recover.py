from __future__ import annotations

import pytest
from recording import EVENTS, text_bytes, TOPICS
from robot_rl.data import recover as recover_module
from robot_rl.data.bag import BagWriter, find_bags, read_bag, read_info
from robot_rl.data.recover import recover
from rosbags.rosbag2 import Reader


@pytest.fixture
def interrupted(tmp_path):
    """Return an interrupted bag with five flushed messages and a cut sixth."""
    folder = tmp_path / 'episode_000001'
    writer = BagWriter(folder, {'task': 'push', 'outcome': ''})
    topic = writer.add_topic('/text', TOPICS[EVENTS].type)
    for index in range(6):
        writer.write(topic, text_bytes(str(index)), 10 + index, index)
        writer.flush()
    writer.abandon()
    path = folder / 'episode_000001_0.mcap'
    path.write_bytes(path.read_bytes()[:-80])
    return folder


def test_what_is_readable_is_copied_exactly(tmp_path, interrupted):
    found, = recover(tmp_path)
    assert found.messages == 5
    assert list(read_bag(found.folder)) == list(read_bag(interrupted))


def test_the_copy_is_a_complete_standard_bag(tmp_path, interrupted):
    found, = recover(tmp_path)
    with Reader(tmp_path / 'episode_000001_recovered') as reader:
        assert reader.message_count == 5
        assert reader.storage.metadata.custom == {
            'task': 'push', 'outcome': 'incomplete', 'cut': found.reason}
    assert (tmp_path / 'episode_000001_recovered' / 'episode_000001_recovered_0.mcap').is_file()


def test_what_was_cut_only_after_its_end_keeps_its_outcome_and_gets_a_number_of_its_own(tmp_path):
    custom_data = {'outcome': 'success', 'ended': '5', 'sequence': '3', 'transitions': '1'}
    writer = BagWriter(tmp_path / 'episode_000001', {'outcome': 'incomplete'})
    writer.write(writer.add_topic('/text', TOPICS[EVENTS].type), text_bytes('a'), 1, 1)
    writer.close(custom_data)
    (tmp_path / 'episode_000001' / 'metadata.yaml').unlink()
    found, = recover(tmp_path)
    assert read_info(found.folder).custom_data == {
        'outcome': 'success', 'ended': '5',
        'cut': 'interrupted before metadata.yaml was written'}


def test_the_original_is_untouched(tmp_path, interrupted):
    before = {path.name: path.read_bytes() for path in interrupted.iterdir()}
    recover(tmp_path)
    assert {path.name: path.read_bytes() for path in interrupted.iterdir()} == before


def test_it_is_done_once(tmp_path, interrupted):
    assert len(recover(tmp_path)) == 1
    assert recover(tmp_path) == []
    assert [folder.name for folder in find_bags(tmp_path)] == ['episode_000001_recovered']


def test_the_reason_says_up_to_where_the_file_was_good(tmp_path, interrupted):
    found, = recover(tmp_path)
    assert 'cut' in found.reason and 'good up to byte' in found.reason


def test_complete_bags_are_left_alone(tmp_path):
    BagWriter(tmp_path / 'episode_000001', {}).close({})
    assert recover(tmp_path) == []


@pytest.mark.parametrize('data', [b'', b'no mcap', b'\x89MCAP0\r\n'])
def test_a_hopeless_file_is_reported_not_raised(tmp_path, data):
    (tmp_path / 'episode_000001').mkdir()
    (tmp_path / 'episode_000001' / 'episode_000001_0.mcap').write_bytes(data)
    found, = recover(tmp_path)
    assert found.folder is None and 'no readable message' in found.reason
    assert [path.name for path in tmp_path.iterdir()] == ['episode_000001']


def test_a_crash_during_recovery_leaves_nothing_half_done(tmp_path, interrupted, monkeypatch):
    def crash(scan, writer):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(recover_module, '_copy', crash)
        with pytest.raises(KeyboardInterrupt):
            recover(tmp_path)
    assert not (tmp_path / 'episode_000001_recovered').exists()
    found, = recover(tmp_path)
    assert found.messages == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'episode_000001', 'episode_000001_recovered']


def test_a_full_disk_during_recovery_is_reported(tmp_path, interrupted, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(BagWriter, 'write', refuse)
    found, = recover(tmp_path)
    assert found.folder is None and 'No space left' in found.reason


def test_a_type_unknown_here_is_recovered_with_its_own_definition(tmp_path):
    writer = BagWriter(tmp_path / 'bag', {})
    topic = writer.add_topic('/mine', 'my_msgs/msg/Mine', '', ('int8 x\n', 'RIHS01_0'))
    writer.write(topic, b'\x00\x01\x00\x00\x07', 1, 1)
    writer.flush()
    writer.abandon()
    found, = recover(tmp_path)
    assert next(read_bag(found.folder)).type == 'my_msgs/msg/Mine'
    assert read_info(found.folder).topics['/mine'].count == 1
