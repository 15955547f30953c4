from __future__ import annotations

from dataclasses import replace
import fcntl

from made_bags import TOPIC, write_demonstration
import numpy as np
import pytest
from raw_bags import COMMANDS, episode, JOINTS, START, write_mcap, write_sqlite
from robot_rl.contract import load_contract
from robot_rl.data.bag import BagWriter, NOTHING
from robot_rl.data.bag_metadata import METADATA_FILE
from robot_rl.data.bag_summary import BagSummary, summarize, summarize_topic, TopicSummary
from robot_rl.data.ingest_read import find_recordings

REACH = load_contract('reach')
TOLD = {'outcome': 'truncated', 'label': 'failure', 'mode': 'learn', 'policy_version': '7',
        'steps': '21', 'transitions': '20', 'dropped': '1', 'lost': '2', 'missing_steps': '3'}


def look(folder, topics: bool = False) -> BagSummary:
    recording, = find_recordings(folder)
    return summarize(folder.name, recording, topics)


@pytest.fixture
def bag(tmp_path):
    """Return the bag of an episode of 20 actions, whose recorder told all that one tells."""
    write_demonstration(tmp_path / 'episode', REACH, 0, 20, **TOLD)
    return tmp_path / 'episode'


def interrupted(bag):
    """Make a bag one that was cut within its last message."""
    (bag / METADATA_FILE).unlink()
    file, = bag.glob('*.mcap')
    data = file.read_bytes()
    file.write_bytes(data[:len(data) // 2])
    return bag


def test_a_whole_bag_tells_how_its_episode_went(bag):
    assert look(bag) == BagSummary(
        'episode', 'complete', 'truncated', 'failure', 'learn', 7, 21, 20, messages=21,
        duration=1.0, dropped=1, lost=2, missing_steps=3)


def test_a_whole_bag_is_not_read_unless_its_topics_are_asked_for(bag):
    file, = bag.glob('*.mcap')
    file.write_bytes(b'')
    assert look(bag).state == 'complete'
    assert look(bag, topics=True) == BagSummary(
        'episode', 'unreadable', reason=f'{file.name}: not an MCAP file (good up to byte 0)')


def test_the_topics_of_a_bag_have_rates_gaps_and_times(bag):
    assert look(bag, topics=True).topics == (TopicSummary(
        TOPIC, 'std_msgs/msg/Float64MultiArray', 21, pytest.approx(20.0), pytest.approx(0.05),
        0.0, pytest.approx(1.0)),)


def test_a_bag_of_another_recorder_has_topics_and_no_episode(tmp_path):
    write_mcap(tmp_path / 'raw', episode(11))
    found = look(tmp_path / 'raw', topics=True)
    assert replace(found, topics=None) == BagSummary(
        'raw', 'complete', messages=22, duration=pytest.approx(0.505))
    joints, commands = found.topics
    assert (joints.name, joints.messages, joints.first) == (JOINTS, 11, 0.0)
    assert (commands.name, commands.first, commands.last) == (
        COMMANDS, pytest.approx(0.005), pytest.approx(0.505))


def test_an_interrupted_bag_tells_what_is_left_of_it(tmp_path):
    write_mcap(tmp_path / 'raw', episode(11), chunk=4, outcome='incomplete')
    found = look(interrupted(tmp_path / 'raw'))
    assert (found.state, found.outcome, found.topics) == ('interrupted', 'incomplete', None)
    assert 0 < found.messages < 22 and found.duration > 0.0
    assert 'good up to byte' in found.reason


def test_the_steps_of_an_interrupted_bag_are_counted(tmp_path):
    writer = BagWriter(tmp_path / 'cut', {'steps_topic': TOPIC})
    topic = writer.add_topic(TOPIC, 'std_msgs/msg/Float64MultiArray')
    for index in range(5):
        writer.write(topic, b'\0\1\0\0', START + index, START + index)
    writer.flush()
    writer.abandon()
    found = look(tmp_path / 'cut')
    assert (found.state, found.steps, found.transitions) == ('interrupted', 5, None)


def test_a_bag_is_open_as_long_as_somebody_writes_it(tmp_path):
    writer = BagWriter(tmp_path / 'new', {'task': 'reach'})
    topic = writer.add_topic('/x', 'std_msgs/msg/Float64')
    writer.write(topic, b'', START, START)
    for messages in (0, 1):
        found = look(tmp_path / 'new')
        assert (found.state, found.messages, found.reason) == ('open', messages, '')
        writer.flush()
    writer.abandon()
    assert look(tmp_path / 'new').state == 'interrupted'


def test_a_bag_whose_recorder_died_before_its_first_flush_is_empty(tmp_path):
    writer = BagWriter(tmp_path / 'new', {'outcome': 'incomplete', 'mode': 'learn'})
    writer.write(writer.add_topic('/x', 'std_msgs/msg/Float64'), b'', START, START)
    writer.abandon()
    with open(tmp_path / '.lock', 'w') as lock:     # of the recorder that came after it
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = look(tmp_path / 'new')
    assert (found.state, found.mode, found.messages, found.reason) == (
        'empty', 'learn', 0, NOTHING)


def test_a_recovered_bag_tells_why_it_was_cut(tmp_path):
    write_mcap(tmp_path / 'raw', episode(2), cut='the disk was full')
    assert look(tmp_path / 'raw').reason == 'the disk was full'


def test_a_bag_without_its_files_is_unreadable(bag):
    for file in bag.glob('*.mcap'):
        file.unlink()
    assert look(bag) == BagSummary('episode', 'unreadable',
                                   reason=f'{bag}: its files are missing')


@pytest.mark.parametrize('text', ['', 'x: [', 'rosbag2_bagfile_information: 7'])
def test_a_bag_with_damaged_metadata_is_unreadable(bag, text):
    (bag / METADATA_FILE).write_text(text)
    found = look(bag)
    assert found.state == 'unreadable' and METADATA_FILE in found.reason


def test_an_empty_interrupted_bag_is_unreadable(tmp_path):
    (tmp_path / 'cut').mkdir()
    (tmp_path / 'cut' / 'cut_0.mcap').write_bytes(b'')
    assert look(tmp_path / 'cut').reason == 'cut_0.mcap: not an MCAP file (good up to byte 0)'


def test_a_time_that_no_clock_shows_is_unreadable(tmp_path):
    writer = BagWriter(tmp_path / 'odd', {})
    writer.write(writer.add_topic('/x', 'std_msgs/msg/Float64'), b'', 2 ** 64 - 1, 0)
    writer.close({})
    assert look(tmp_path / 'odd', topics=True).state == 'unreadable'


@pytest.mark.parametrize('text', ['', 'x', '-', '1.5', '9' * 5000])
def test_a_count_that_is_none_is_not_told(tmp_path, text):
    write_mcap(tmp_path / 'raw', episode(2), policy_version=text)
    assert look(tmp_path / 'raw').policy_version is None


def test_a_policy_version_below_zero_is_one(tmp_path):
    write_mcap(tmp_path / 'raw', episode(2), policy_version='-1')
    assert look(tmp_path / 'raw').policy_version == -1


def times(*milliseconds: int) -> np.ndarray:
    return np.array(milliseconds, np.int64) * 1_000_000 + START


@pytest.mark.parametrize(('found', 'expected'), [
    (times(), (0, None, None, None, None, 0)),
    (times(30), (1, None, None, 0.03, 0.03, 0)),
    (times(0, 50, 100, 400, 450), (5, 20.0, 0.3, 0.0, 0.45, 0)),    # one late: the median holds
    (times(10, 10, 10), (3, None, 0.0, 0.01, 0.01, 0)),
    (times(100, 0, 50, 100), (4, 20.0, 0.05, 0.0, 0.1, 1))])        # a clock that went back
def test_what_times_say_of_a_topic(found, expected):
    topic = summarize_topic('/x', 'T', found, np.zeros_like(found), START)
    assert (topic.messages, topic.rate, topic.gap, topic.first, topic.last,
            topic.backwards) == pytest.approx(expected)


def test_rates_are_of_the_times_of_sending_where_they_are_stored():
    waited = np.maximum(times(-300, -250, -200, -150, -100, -50, 0, 50), START)
    sent = times(-300, -250, -200, -150, -100, -50, 0, 50)
    topic = summarize_topic('/x', 'T', waited, sent, START)
    assert (topic.rate, topic.gap) == pytest.approx((20.0, 0.05))
    assert (topic.first, topic.last) == pytest.approx((0.0, 0.05))


def test_a_message_from_long_before_the_bag_does_not_change_the_rate():
    topic = summarize_topic('/x', 'T', times(0, 50, 100, 150), times(-9000, 50, 100, 150), START)
    assert (topic.rate, topic.gap) == pytest.approx((20.0, 9.05))


def test_on_a_simulated_clock_rates_are_in_its_seconds():
    found = np.arange(5, dtype=np.int64) * 50_000_000
    assert summarize_topic('/x', 'T', found, times(0, 1, 2, 3, 4), 0).rate == pytest.approx(20.0)


@pytest.mark.parametrize('sent', [0, 1 << 63, (1 << 64) - 1])
def test_a_time_of_sending_that_is_none_is_not_taken(tmp_path, sent):
    writer = BagWriter(tmp_path / 'odd', {})
    topic = writer.add_topic('/x', 'std_msgs/msg/Float64')
    for index in range(3):
        writer.write(topic, b'', START + index * 100_000_000, sent)
    writer.close({})
    found, = look(tmp_path / 'odd', topics=True).topics
    assert found.rate == pytest.approx(10.0)


def test_a_database_is_read_as_well(tmp_path):
    write_sqlite(tmp_path / 'old', episode(3))
    found = look(tmp_path / 'old', topics=True)
    assert (found.state, [topic.messages for topic in found.topics]) == ('complete', [3, 3])
