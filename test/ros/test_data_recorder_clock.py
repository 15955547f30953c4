"""The time of what is recorded: a clock that comes late, or begins again."""

from __future__ import annotations

from episodes import make_steps
from listener import Listener
import pytest
from rclpy.time import Time
from robot_rl.data.bag import read_bag
from robot_rl.data.early import Early
from robot_rl.nodes.data_recorder import DataRecorder
from robot_rl.ros.qos import COMMAND, DRIVER
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float64MultiArray


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


def test_what_was_seen_before_the_clock_began_again_gets_the_time_of_the_episode(timeless):
    bench = timeless.bench
    commands = bench.publisher(Float64MultiArray, 'arm_controller/commands', COMMAND)

    def show(seconds: int) -> None:
        timeless.tick(seconds)
        bench.until(lambda: bench.node.get_clock().now().nanoseconds == seconds * 10 ** 9)

    show(100)
    commands.publish(Float64MultiArray(data=[0.5, 0.25]))
    bench.until(lambda: bench.node._recorder._preroll.newest)
    show(3)
    record = timeless.record(1)
    times = [message.log_time for message in read_bag(timeless.root / record.name)]
    assert (len(times), set(times)) == (8, {3_000_000_000})


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
