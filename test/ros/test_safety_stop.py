from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from robot_rl.nodes.safety_stop import SafetyStop
from robot_rl.ros.qos import COMMAND, LATCHED
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, Float64MultiArray, UInt64
from std_srvs.srv import Trigger

HOLD = {'on_stop: zeros': 'on_stop: hold\n  measured: [arm.velocity.shoulder, arm.velocity.elbow]'}
TOPIC = 'arm_controller/commands'
ACTION = (1.5, -0.5)
TIMEOUT = 0.2           # s; twice the default, as the test's thread plays both sides
LONG = 2.0 * TIMEOUT


class Server:
    """The probe as policy_server: heartbeats and actions, as long as the test spins it."""

    def __init__(self, bench):
        self.bench, self.beats, self.alive = bench, 0, True
        self._heart = bench.publisher(UInt64, 'policy_server/heartbeat', COMMAND)
        self._commands = bench.publisher(Float64MultiArray, TOPIC, COMMAND)
        self.received: list[tuple[float, ...]] = []
        bench.probe.create_subscription(
            Float64MultiArray, TOPIC, lambda message: self.received.append(tuple(message.data)),
            COMMAND)
        self.stopped = bench.listen('std_msgs/msg/Bool', 'safety_stop/stopped', LATCHED)
        bench.until(lambda: self.stopped)
        bench.probe.create_timer(0.02, self._beat)

    def _beat(self) -> None:
        if self.alive:
            self.beats += 1
            self.beat(self.beats)

    def beat(self, counter: int) -> None:
        self._heart.publish(UInt64(data=counter))

    def act(self, values=ACTION) -> None:
        self._commands.publish(Float64MultiArray(data=list(values)))

    def arm(self, values=ACTION) -> None:
        self.act(values)
        self.bench.until(lambda: self.received and self.bench.node._watch.armed)

    def fall_silent(self) -> dict[str, str]:
        self.alive = False
        return self.bench.event('stop')

    def stops(self) -> list[tuple[float, ...]]:
        """Return what was sent by somebody else."""
        return [values for values in self.received if values != ACTION]

    def clear(self):
        return self.bench.call(Trigger, 'safety_stop/clear_stop')


@pytest.fixture
def serve(start, make_contract):
    def begin(replaced=None, **parameters) -> Server:
        contract = make_contract(**(replaced or {}))
        return Server(start(SafetyStop, **{'contract': str(contract.file), 'timeout': TIMEOUT,
                                           **parameters}))
    return begin


def wait(bench, seconds: float) -> None:
    """Spin so long: what must not happen has had the time to."""
    end = time.monotonic() + seconds
    bench.until(lambda: time.monotonic() > end)


def test_silence_stops_with_zeros_an_event_the_status_and_stopped(serve):
    server = serve()
    server.arm()
    event = server.fall_silent()
    assert (event['reason'], event['action']) == ('heartbeat_silent', 'zeros')
    assert TIMEOUT * 1e3 <= int(event['silent_ms']) < 2000
    server.bench.until(server.stops)
    assert server.stops()[0] == (0.0, 0.0)
    server.bench.says(text='stopped: heartbeat_silent; start policy_server again', stops=1,
                      armed=False)
    server.bench.until(lambda: [message.data for message in server.stopped] == [False, True])


def test_the_stop_action_is_repeated_in_silence_only(serve):
    server = serve(repeat=100.0)
    server.arm()
    server.fall_silent()
    server.bench.until(lambda: len(server.stops()) >= 5)
    server.alive = True
    server.bench.says(text='stopped: heartbeat_silent; call clear_stop')
    server.bench.settle()
    count = len(server.received)
    wait(server.bench, 0.1)
    assert len(server.received) == count


def test_while_it_holds_the_robot_each_command_is_answered_with_the_stop(serve):
    server = serve()
    server.arm()
    server.fall_silent()
    server.alive = True
    server.bench.says(text='stopped: heartbeat_silent; call clear_stop')
    server.bench.settle()
    count = len(server.stops())
    for answers in (1, 2):
        server.act()
        server.bench.until(lambda: len(server.stops()) == count + answers)
    wait(server.bench, 0.1)
    assert len(server.stops()) == count + 2         # its own are not answered
    assert server.clear().success
    server.act()
    wait(server.bench, 0.1)
    assert len(server.stops()) == count + 2


def test_zero_repeats_at_the_control_rate(serve):
    server = serve()
    server.arm()
    server.fall_silent()
    server.bench.until(server.stops)
    began, count = time.monotonic(), len(server.stops())
    server.bench.until(lambda: len(server.stops()) >= count + 10)
    assert 0.4 < time.monotonic() - began < 1.5       # 10 periods of 50 ms


def test_hold_repeats_the_last_action_that_was_seen(serve):
    server = serve(HOLD)
    server.arm((0.5, 0.25))
    server.fall_silent()
    count = len(server.received)
    server.bench.until(lambda: len(server.received) >= count + 2)
    assert set(server.received) == {(0.5, 0.25)}


@pytest.mark.parametrize('bad', [(np.nan, 0.0), (1.0,), (1.0, 2.0, 3.0)])
def test_hold_does_not_repeat_what_is_no_action(serve, bad):
    server = serve(HOLD)
    server.arm((0.5, 0.25))
    server.act(bad)
    server.bench.until(lambda: len(server.received) == 2)
    server.bench.says(bad_actions=1)
    server.fall_silent()
    server.bench.until(lambda: len(server.received) >= 4)
    assert set(server.received[2:]) == {(0.5, 0.25)}


def test_hold_moves_within_the_limits_and_does_not_jump_there(serve):
    server = serve(HOLD)        # 100 rad/s per second at 20 Hz: 5 in a step
    server.arm((9.0, -3.0))
    server.fall_silent()
    server.bench.until(lambda: len(server.received) >= 4)
    assert server.received[1:4] == [(4.0, -2.5), (2.5, -2.5), (2.5, -2.5)]


def test_a_server_that_never_commanded_may_die(serve):
    server = serve()
    server.bench.until(lambda: server.bench.node._watch.beats > 2)
    server.alive = False
    wait(server.bench, LONG)
    assert (server.received, server.bench.events) == ([], [])


def test_commands_without_a_heartbeat_are_an_error_that_is_told_once(serve):
    server = serve()
    server.alive = False
    server.bench.probe.create_timer(0.1, server.act)
    text = 'commands come, but no heartbeat on /policy_server/heartbeat: nobody watches'
    server.bench.says(text=text)
    wait(server.bench, 0.5)
    assert server.bench.events == [('unwatched', {'heartbeat': '/policy_server/heartbeat'})]
    assert not server.stops()
    server.alive = True
    server.bench.says(text='armed')


def test_heartbeat_zero_ends_the_watch(serve):
    server = serve()
    server.arm()
    server.alive = False
    server.beat(0)
    wait(server.bench, LONG)
    assert (server.stops(), server.bench.events) == ([], [])
    server.bench.says(text='not armed', silent_ms=0)


def test_a_clock_that_stands_still_neither_stops_nor_hinders_the_stop(serve):
    server = serve(use_sim_time=True)
    clock = server.bench.publisher(Clock, '/clock', COMMAND)
    clock.publish(Clock())
    server.arm()
    wait(server.bench, LONG)
    assert server.bench.events == []
    assert server.fall_silent()['reason'] == 'heartbeat_silent'


def test_clear_stop_is_refused_in_silence_and_granted_after_it(serve):
    server = serve()
    server.arm()
    server.fall_silent()
    refused = server.clear()
    assert (refused.success, 'heartbeat_silent: for' in refused.message) == (False, True)
    server.alive = True
    server.bench.says(text='stopped: heartbeat_silent; call clear_stop')
    granted = server.clear()
    assert (granted.success, granted.message) == (True, 'cleared: heartbeat_silent')
    assert server.bench.event('clear_stop')['reason'] == 'heartbeat_silent'
    server.bench.until(lambda: [message.data for message in server.stopped] == [
        False, True, False])
    assert not server.clear().success


def test_it_stops_again_after_a_clear(serve):
    server = serve()
    for stops in (1, 2):
        server.alive = True
        server.arm()
        server.fall_silent()
        server.bench.says(stops=stops)
        server.alive = True
        server.bench.says(text='stopped: heartbeat_silent; call clear_stop')
        assert server.clear().success


def test_who_comes_late_learns_that_it_is_stopped(serve):
    server = serve()
    server.arm()
    server.fall_silent()
    late = server.bench.listen('std_msgs/msg/Bool', 'safety_stop/stopped', LATCHED)
    server.bench.until(lambda: late)
    assert late[0] == Bool(data=True)


def test_its_process_loads_no_learning_and_no_simulator():
    script = ('import sys, robot_rl.nodes.safety_stop\nprint(*({"torch", "mujoco", "mcap", '
              '"rosbags", "safetensors", "matplotlib"} & set(sys.modules)))')
    result = subprocess.run([sys.executable, '-c', script], text=True, capture_output=True,
                            check=True)
    assert result.stdout.strip() == ''
