"""Which topics are recorded, and what is told of those that are silent, lost or mismatched."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from episodes import make_steps
from geometry_msgs.msg import PointStamped
from listener import level, Listener
from rclpy.serialization import deserialize_message
from robot_rl.data.bag import find_bags, read_bag, read_info
from robot_rl.nodes.data_recorder import DataRecorder
from robot_rl.ros.qos import COMMAND, DRIVER, EVENTS, SENSOR, STEPS, STREAM
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, Float64MultiArray


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
