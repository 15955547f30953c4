from __future__ import annotations

from copy import deepcopy
import os

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from episodes import make_steps
from geometry_msgs.msg import PointStamped
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from robot_rl.data.bag import (bag_steps, bag_transitions, BagWriter, find_bags, read_bag,
                               read_info)
from robot_rl.data.early import Early
from robot_rl.data.episode_message import decode_episode
from robot_rl.data.session import Session
from robot_rl.data.steps import Status
from robot_rl.data.transitions import COLUMNS
from robot_rl.errors import UserError
from robot_rl.nodes.data_recorder import DataRecorder
from robot_rl.ros.codecs import step_message
from robot_rl.ros.qos import COMMAND, DRIVER, EVENTS, LATCHED, SENSOR, STEPS, STREAM
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, Float64MultiArray, MultiArrayDimension
from std_srvs.srv import SetBool, Trigger


class Listener:
    """Sends steps as the policy server does, and receives as the learner does."""

    def __init__(self, bench, contract, root):
        self.bench, self.contract, self.root = bench, contract, root
        self.records, self.complete = [], []    # complete: the bag was, when its data arrived
        self.steps = bench.publisher(Float64MultiArray, 'policy_server/steps', STEPS)
        bench.listen('std_msgs/msg/UInt8MultiArray', 'transitions', STREAM, self._on_transitions)
        bench.until(lambda: bench.node.count_subscribers('transitions'))

    def _on_transitions(self, message) -> None:
        record = decode_episode(bytes(message.data), self.contract, 'transitions')
        self.complete.append((self.root / record.name / 'metadata.yaml').is_file())
        self.records.append(record)

    def send(self, steps) -> None:
        for step in steps:
            self.steps.publish(step_message(step))

    def record(self, number: int, **options):
        """Send a whole episode and wait for its transitions."""
        before = len(self.records)
        self.send(make_steps(self.contract, number, **options))
        self.bench.until(lambda: len(self.records) > before)
        return self.records[-1]

    def call(self, service: str, kind=Trigger, **values):
        return self.bench.call(kind, f'data_recorder/{service}', **values)


@pytest.fixture
def recorder(start, make_contract, tmp_path):
    contract = make_contract()
    root = tmp_path / 'bags'
    bench = start(DataRecorder, contract=str(contract.file), bag_root=str(root))
    return Listener(bench, contract, root)


def test_an_episode_that_was_sent_before_the_recorder_started_is_recorded(
        start, make_contract, tmp_path):
    contract = make_contract()
    Session(tmp_path / 'bags', contract, lambda kind, values: None).close()
    context = Context()
    rclpy.init(context=context)
    try:
        server = Node('policy_server', context=context)
        steps = server.create_publisher(Float64MultiArray, '/policy_server/steps', STEPS)
        for step in make_steps(contract, 1, 7):
            steps.publish(step_message(step))
        bench = start(DataRecorder, contract=str(contract.file), bag_root=str(tmp_path / 'bags'))
        assert bench.event('saved')['transitions'] == '7'
        server.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def test_transitions_arrive_only_after_their_bag_is_complete(recorder):
    for number in range(1, 6):
        recorder.record(number)
    assert recorder.complete == [True] * 5


def test_what_arrives_is_bit_equal_to_what_the_bag_gives(recorder):
    for number in range(1, 4):
        recorder.record(number, last=Status.TERMINATED if number == 2 else Status.TRUNCATED)
    for record, bag in zip(recorder.records, find_bags(recorder.root), strict=True):
        derived = bag_transitions(bag, recorder.contract)
        assert len(derived) == 6
        for name in COLUMNS:
            sent = getattr(record.transitions, name)
            assert sent.dtype == np.float32
            assert sent.tobytes() == getattr(derived, name).tobytes(), name


def test_the_bag_holds_every_step_as_sent(recorder):
    recorder.record(1)
    [bag] = find_bags(recorder.root)
    sent = make_steps(recorder.contract, 1)
    for found, step in zip(bag_steps(bag, recorder.contract), sent, strict=True):
        assert found.segments()[0][1].tolist() == step.segments()[0][1].tolist()
        assert np.array_equal(found.observation, step.observation)
        assert np.array_equal(found.executed, step.executed)


def test_the_action_topic_is_recorded_with_the_episode(recorder):
    commands = recorder.bench.publisher(Float64MultiArray, 'arm_controller/commands', COMMAND)
    recorder.send(make_steps(recorder.contract, 1)[:2])
    recorder.bench.event('start')
    commands.publish(Float64MultiArray(data=[0.5, 0.25]))
    recorder.bench.until(lambda: recorder.bench.node._recorder.stats()['written'] >= 3)
    recorder.send(make_steps(recorder.contract, 1)[2:])
    recorder.bench.event('saved')
    [bag] = find_bags(recorder.root)
    assert read_info(bag).topics['/arm_controller/commands'].count == 1


def test_republish_sends_every_episode_again_with_the_same_bits(recorder):
    for number in range(1, 4):
        recorder.record(number)
    first = list(recorder.records)
    assert recorder.call('republish').success
    recorder.bench.until(lambda: len(recorder.records) == 6)
    for again, record in zip(recorder.records[3:], first):
        assert (again.name, again.sequence, again.total) == (record.name, record.sequence, 3)
        assert again.transitions.observation.tobytes() == record.transitions.observation.tobytes()


def test_a_discarded_episode_never_arrives(recorder):
    steps = make_steps(recorder.contract, 1)
    recorder.send(steps[:3])
    recorder.bench.event('start')
    assert recorder.call('discard_episode').success
    recorder.bench.event('discard')         # the policy server ends its episode on this
    recorder.send(make_steps(recorder.contract, 1, count=3, last=Status.ABORTED)[3:])
    recorder.bench.until(lambda: recorder.bench.event('saved')['outcome'] == 'discarded')
    record = recorder.record(2)
    recorder.call('republish')
    recorder.bench.until(lambda: len(recorder.records) == 2)
    assert [found.name for found in recorder.records] == [record.name] * 2
    assert record.total == 1
    assert (recorder.root / 'discarded').is_dir()


def test_a_persons_verdict_reaches_the_learner_as_termination(recorder):
    recorder.send(make_steps(recorder.contract, 1)[:4])
    recorder.bench.event('start')
    assert recorder.call('end_episode', SetBool, data=True).success
    recorder.bench.event('success')
    recorder.send([make_steps(recorder.contract, 1, count=4, last=Status.TERMINATED)[4]])
    recorder.bench.until(lambda: recorder.records)
    transitions = recorder.records[0].transitions
    assert recorder.records[0].label == 'success'
    assert transitions.terminated.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert not transitions.truncated.any()


def test_services_without_an_episode_say_so(recorder):
    assert recorder.call('discard_episode').message == 'no episode is open'
    assert recorder.call('end_episode', SetBool, data=True).message == 'no episode is open'


def test_start_episode_twice_is_refused_with_the_reason(recorder):
    assert recorder.call('start_episode').success
    recorder.bench.event('start')
    answer = recorder.call('start_episode')
    assert (answer.success, answer.message) == (
        False, 'an episode is open: end or discard it first')


def test_garbage_on_steps_is_refused_with_an_event_and_recording_goes_on(recorder):
    good = step_message(make_steps(recorder.contract, 1)[0])
    twice = deepcopy(good)
    twice.layout.dim[1].label = twice.layout.dim[0].label
    cut = step_message(make_steps(recorder.contract, 1)[0])
    cut.data = cut.data[:-1]
    bad = [Float64MultiArray(), Float64MultiArray(data=[float('nan')] * 30), twice, cut,
           Float64MultiArray(layout=good.layout, data=[float('nan')] * len(good.data))]
    bad[1].layout.dim = [MultiArrayDimension(label='stamp', size=4_000_000_000)]
    for message in bad:
        recorder.steps.publish(message)
    assert 'segments' in recorder.bench.event('bad_step')['reason']
    record = recorder.record(1)
    assert len(record.transitions) == 6
    recorder.bench.says(bad_steps=len(bad), alive='True')


def test_what_was_seen_before_the_clock_began_again_gets_the_time_of_the_episode(
        start, make_contract, tmp_path):
    contract = make_contract()
    bench = start(DataRecorder, contract=str(contract.file), bag_root=str(tmp_path / 'bags'),
                  use_sim_time=True)
    listener = Listener(bench, contract, tmp_path / 'bags')
    clock = bench.publisher(Clock, '/clock', DRIVER)
    commands = bench.publisher(Float64MultiArray, 'arm_controller/commands', COMMAND)

    def show(seconds: int) -> None:
        clock.publish(Clock(clock=Time(seconds=seconds).to_msg()))
        bench.until(lambda: bench.node.get_clock().now().nanoseconds == seconds * 10 ** 9)

    show(100)
    commands.publish(Float64MultiArray(data=[0.5, 0.25]))
    bench.until(lambda: bench.node._recorder._preroll.newest)
    show(3)
    record = listener.record(1)
    times = [message.log_time for message in read_bag(listener.root / record.name)]
    assert (len(times), set(times)) == (8, {3_000_000_000})


@pytest.fixture
def timeless(start, make_contract, tmp_path):
    """Start a recorder whose clock has not come; `tick(seconds)` of what is returned is it."""
    contract = make_contract()
    bench = start(DataRecorder, contract=str(contract.file), bag_root=str(tmp_path / 'bags'),
                  use_sim_time=True)
    listener = Listener(bench, contract, tmp_path / 'bags')
    clock = bench.publisher(Clock, '/clock', DRIVER)
    listener.tick = lambda seconds: clock.publish(
        Clock(clock=Time(seconds=seconds).to_msg()))
    return listener


def test_what_comes_before_the_clock_waits_for_it_and_is_dated_by_it(timeless):
    bench = timeless.bench
    commands = bench.publisher(Float64MultiArray, 'arm_controller/commands', COMMAND)
    for value in range(3):
        commands.publish(Float64MultiArray(data=[value, 0.25]))
    timeless.send(make_steps(timeless.contract, 1))         # a whole episode, and then silence
    bench.says(before_clock=10, written=0)
    timeless.tick(100)
    bench.until(lambda: timeless.records)
    assert len(timeless.records[0].transitions) == 6
    messages = list(read_bag(timeless.root / timeless.records[0].name))
    assert (len(messages), messages[0].topic) == (8, '/arm_controller/commands')
    assert {message.log_time for message in messages} == {100 * 10 ** 9}
    bench.says(before_clock=10, dropped=0, text='waiting for an episode')


def test_no_episode_begins_before_the_clock_and_the_reason_is_told(timeless):
    reason = 'no time yet: use_sim_time is true, and nothing has come on /clock'
    timeless.bench.says(text=reason)
    answer = timeless.call('start_episode')
    assert (answer.success, answer.message) == (False, reason)
    timeless.tick(100)
    timeless.bench.says(text='waiting for an episode')
    assert timeless.call('start_episode').success


def test_steps_that_are_too_many_to_wait_for_the_clock_are_counted(timeless, monkeypatch):
    monkeypatch.setattr(timeless.bench.node, '_early', Early(steps_id=3, keep=5))
    timeless.send(make_steps(timeless.contract, 1))
    timeless.bench.says(**{'dropped /policy_server/steps': 2})
    timeless.tick(100)
    assert timeless.bench.event('dropped') == {'messages': '2'}


def test_status_counts_what_was_published(recorder):
    recorder.record(1)
    recorder.bench.says(text='waiting for an episode', published=1, transitions=6, episodes=1,
                        lost=0, dropped=0, missing_steps=0, qos_mismatches=0, write_error='')


def level(bench):
    """Return the level of the newest status."""
    return bench.levels[-1].status[0].level if bench.levels else None


@pytest.fixture
def watched(recorder):
    recorder.bench.levels = recorder.bench.listen(
        'diagnostic_msgs/msg/DiagnosticArray', 'data_recorder/status', LATCHED)
    return recorder


def test_a_topic_that_begins_late_is_recorded_from_then_on_and_named_until_then(watched):
    bench, steps = watched.bench, make_steps(watched.contract, 1)
    watched.send(steps[:2])
    bench.until(lambda: 'nothing came yet on /joint_states, /tip' in bench.status.get('text', ''))
    bench.until(lambda: level(bench) == DiagnosticStatus.WARN)
    joints = bench.publisher(JointState, 'joint_states', DRIVER)
    tip = bench.publisher(PointStamped, 'tip', DRIVER)
    joints.publish(JointState(name=['shoulder']))
    tip.publish(PointStamped())
    bench.until(lambda: bench.node._recorder.stats()['written'] == 4)
    bench.says(silent='')
    bench.until(lambda: level(bench) == DiagnosticStatus.OK)
    watched.send(steps[2:])
    bench.event('saved')
    [bag] = find_bags(watched.root)
    counts = {topic: info.count for topic, info in read_info(bag).topics.items()}
    assert (counts['/joint_states'], counts['/tip']) == (1, 1)


def test_a_burst_in_an_episode_is_in_its_bag_whole_and_in_order(recorder):
    bench, steps = recorder.bench, make_steps(recorder.contract, 1)
    joints = bench.publisher(JointState, 'joint_states', STREAM)
    recorder.send(steps[:2])
    bench.event('start')
    for number in range(300):
        joints.publish(JointState(position=[float(number)]))
    bench.until(lambda: bench.node._recorder.stats()['written'] == 302)
    recorder.send(steps[2:])
    bench.event('saved')
    [bag] = find_bags(recorder.root)
    found = [message for message in read_bag(bag) if message.topic == '/joint_states']
    assert [deserialize_message(message.data, JointState).position[0]
            for message in found] == list(range(300))
    times = [message.log_time for message in found]
    assert times == sorted(times)
    assert bench.says(written=307, lost=0, dropped=0)


def test_a_publisher_that_offers_less_is_recorded_and_told(watched):
    bench = watched.bench
    joints = bench.publisher(JointState, 'joint_states', DRIVER)
    joints.publish(JointState(name=['reliable']))
    bench.until(lambda: bench.node._recorder.stats()['queue_bytes'] == 0
                and bench.node._topics[0].seen)
    bench.probe.destroy_publisher(joints)       # its driver starts again, with another profile
    joints = bench.probe.create_publisher(JointState, 'joint_states', SENSOR)
    assert bench.event('qos_mismatch') == {'topic': '/joint_states', 'policy': 'RELIABILITY'}
    bench.says(qos_mismatches=1)
    bench.until(lambda: level(bench) == DiagnosticStatus.WARN)
    bench.until(joints.get_subscription_count)
    watched.send(make_steps(watched.contract, 1)[:2])
    bench.event('start')
    for count in range(5):
        joints.publish(JointState(name=['best effort']))
        bench.until(lambda: bench.node._recorder.stats()['written'] >= 4 + count)
    watched.send(make_steps(watched.contract, 1)[2:])
    bench.event('saved')
    [bag] = find_bags(watched.root)
    assert read_info(bag).topics['/joint_states'].count == 6


def test_a_publisher_of_events_that_keeps_none_is_recorded_too(watched):
    events = watched.bench.probe.create_publisher(DiagnosticArray, 'policy_server/events', STREAM)
    assert watched.bench.event('qos_mismatch')['policy'] == 'DURABILITY'
    watched.bench.until(events.get_subscription_count)
    events.publish(DiagnosticArray())
    events, = (topic for topic in watched.bench.node._topics
               if topic.name == '/policy_server/events')
    watched.bench.until(lambda: events.seen)


def test_steps_of_a_stranger_that_offers_less_cost_none_of_the_policy_server(watched):
    stranger = watched.bench.probe.create_publisher(
        Float64MultiArray, 'policy_server/steps', SENSOR)
    assert watched.bench.event('qos_mismatch')['topic'] == '/policy_server/steps'
    watched.record(1)
    assert watched.steps.get_subscription_count() and not stranger.get_subscription_count()
    assert watched.bench.node._topics[3]._subscription.qos_profile.durability == STEPS.durability


def test_messages_that_the_middleware_lost_are_counted_by_topic(watched):
    watched.bench.node._topics[1]._on_lost(3)
    watched.bench.says(lost=3, **{'lost /tip': 3})
    assert watched.bench.event('lost') == {'messages': '3'}
    watched.bench.until(lambda: level(watched.bench) == DiagnosticStatus.WARN)


def test_commands_without_step_records_are_a_warning_until_the_first_one(watched):
    bench = watched.bench
    commands = bench.publisher(Float64MultiArray, 'arm_controller/commands', COMMAND)
    bench.probe.create_timer(0.1, lambda: commands.publish(Float64MultiArray(data=[0.5, 0.25])))
    bench.says(text='commands come, but no step records on /policy_server/steps: nothing is '
               'recorded')
    bench.until(lambda: level(bench) == DiagnosticStatus.WARN)
    watched.record(1)
    bench.says(text='waiting for an episode')


def test_a_folder_with_episodes_of_another_contract_is_told(recorder, start, make_contract):
    recorder.record(1)
    other = make_contract(**{'control_rate: 20.0': 'control_rate: 10.0'})
    bench = start(DataRecorder, contract=str(other.file), bag_root=str(recorder.root))
    event = bench.event('other_contract')
    assert event['reason'] == 'holds episodes of another contract'
    assert (event['folder'], event['bag']) == (str(recorder.root), 'episode_000001')
    assert (event['found'], event['contract']) == (recorder.contract.hash, other.hash)


def test_a_folder_with_episodes_of_the_same_contract_is_not(recorder, start):
    recorder.record(1)
    bench = start(DataRecorder, contract=str(recorder.contract.file), bag_root=str(recorder.root))
    bench.says(text='waiting for an episode')
    assert 'other_contract' not in [kind for kind, _ in bench.events]


def test_a_disk_that_refuses_is_an_error_on_the_status_until_a_bag_is_saved(watched, monkeypatch):
    def refuse(writer, custom_data):
        raise OSError(30, 'Read-only file system')
    with monkeypatch.context() as patch:
        patch.setattr(BagWriter, 'update', refuse)
        watched.send(make_steps(watched.contract, 1))
        watched.bench.event('write_error')
        watched.bench.says(text='cannot write: OSError: [Errno 30] Read-only file system')
        watched.bench.until(lambda: level(watched.bench) == DiagnosticStatus.ERROR)
    assert list(watched.root.glob('episode_*')) == []       # nothing was recorded into it
    watched.record(2)
    watched.bench.says(write_error='', text='waiting for an episode')


def test_a_second_recorder_is_refused_and_the_first_goes_on(watched):
    with pytest.raises(UserError, match=f'another recorder, process {os.getpid()}, writes'):
        Session(watched.root, watched.contract, lambda kind, values: None)
    assert len(watched.record(1).transitions) == 6


def test_closing_completes_the_open_bag(recorder):
    recorder.send(make_steps(recorder.contract, 1)[:4])
    recorder.bench.event('start')
    recorder.bench.until(lambda: recorder.bench.node._recorder.stats()['written'] == 4)
    recorder.bench.node.close()
    [bag] = find_bags(recorder.root)
    info = read_info(bag)
    assert (info.complete, info.custom_data['outcome']) == (True, 'incomplete')


PEOPLE = """safety:
  e_stop: {topic: e_stop, type: std_msgs/msg/Bool, timeout: 1.0}
  dead_man: {topic: joy, type: sensor_msgs/msg/Joy, timeout: 1.0, button: 4}
  intervention: {topic: joy, type: sensor_msgs/msg/Joy, timeout: 1.0, axes: [0, 1], enable: 5}
"""


def test_what_people_say_is_recorded_and_a_joy_of_two_roles_once(start, make_contract, tmp_path):
    contract = make_contract(**{'episode:\n': PEOPLE + 'episode:\n'})
    root = tmp_path / 'bags'
    listener = Listener(start(DataRecorder, contract=str(contract.file), bag_root=str(root)),
                        contract, root)
    bench, steps = listener.bench, make_steps(contract, 1)
    e_stop = bench.publisher(Bool, 'e_stop', DRIVER)
    joy = bench.publisher(Joy, 'joy', DRIVER)
    stops = bench.publisher(DiagnosticArray, 'safety_stop/events', EVENTS)
    listener.send(steps[:2])
    bench.event('start')
    e_stop.publish(Bool(data=True))
    joy.publish(Joy(buttons=[0] * 6))
    stops.publish(DiagnosticArray())
    bench.until(lambda: bench.node._recorder.stats()['written'] == 5)
    listener.send(steps[2:])
    bench.event('saved')
    [bag] = find_bags(root)
    counts = {topic: info.count for topic, info in read_info(bag).topics.items()}
    assert (counts['/e_stop'], counts['/joy'], counts['/safety_stop/events']) == (1, 1, 1)
