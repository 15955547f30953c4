from __future__ import annotations

import importlib.util
import time
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.time import Time
from robot_rl.contract import load_contract
from robot_rl.nodes import sim_bridge
from robot_rl.nodes.sim_bridge import SimBridge
from robot_rl.ros.qos import COMMAND, LATCHED, STREAM
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

HAS_TF = importlib.util.find_spec('tf2_msgs') is not None


class Driver:
    """Commands a simulator and keeps what it sends."""

    def __init__(self, bench):
        self.bench = bench
        self.clocks = bench.listen('rosgraph_msgs/msg/Clock', '/clock')
        self.joints = bench.listen('sensor_msgs/msg/JointState', 'joint_states')
        self.tips = bench.listen('geometry_msgs/msg/PointStamped', 'tip')
        self.commands = bench.publisher(Float64MultiArray, 'arm_controller/commands', COMMAND)

    def send(self, *values: float) -> None:
        self.commands.publish(Float64MultiArray(data=list(values)))

    def step(self, *values: float) -> None:
        """Send an action and wait for the step that answers it."""
        before = self.bench.node._steps
        self.send(*values)
        self.bench.until(lambda: self.bench.node._steps > before)

    def reset(self):
        return self.bench.call(Trigger, 'sim_bridge/reset')

    def times(self) -> list[int]:
        return [Time.from_msg(message.clock).nanoseconds for message in self.clocks]


@pytest.fixture
def drive(start):
    def begin(**parameters) -> Driver:
        return Driver(start(SimBridge, **{'lockstep': True, **parameters}))
    return begin


def stamps(messages) -> list[int]:
    return [Time.from_msg(message.header.stamp).nanoseconds for message in messages]


def test_lockstep_makes_one_step_of_one_control_period_per_action(drive):
    driver = drive()
    for _ in range(5):
        driver.step(1.0, 0.0)
    driver.bench.until(lambda: len(driver.joints) >= 5)
    assert driver.bench.node._steps == 5
    assert np.diff(stamps(driver.joints)[-5:]).tolist() == [50_000_000] * 4


def test_the_topics_of_a_step_carry_one_stamp_and_the_clock_shows_it(drive):
    driver = drive()
    driver.step(1.0, 0.0)
    driver.bench.until(lambda: driver.joints and driver.tips and driver.clocks)
    assert stamps(driver.joints)[-1] == stamps(driver.tips)[-1] == driver.times()[-1]


def test_lockstep_repeats_its_step_while_no_action_comes(drive, monkeypatch):
    monkeypatch.setattr(sim_bridge, 'REPEAT_PERIOD', 0.05)
    driver = drive()
    driver.bench.until(lambda: len(driver.tips) >= 3)
    assert len(set(stamps(driver.tips))) == 1
    assert len({tuple(message.position) for message in driver.joints}) == 1
    assert driver.bench.node._steps == 0


def test_free_running_time_goes_on_without_actions_at_its_pace(drive):
    driver = drive(lockstep=False, pace=5.0)
    driver.bench.until(lambda: driver.clocks)
    began, first = time.monotonic(), driver.times()[-1]
    driver.bench.until(lambda: driver.times()[-1] - first >= 2_000_000_000)
    elapsed = time.monotonic() - began
    simulated = (driver.times()[-1] - first) * 1e-9
    assert elapsed >= 0.9 * simulated / 5.0
    assert np.unique(np.diff(driver.times())).tolist() == [50_000_000]


def test_a_free_running_robot_stops_when_its_commander_is_silent(drive):
    driver = drive(lockstep=False, pace=20.0, command_timeout=0.2)
    driver.send(1.0, 1.0)
    driver.bench.until(lambda: driver.bench.node._command.any())
    driver.bench.until(lambda: not driver.bench.node._command.any())


@pytest.mark.parametrize('values', [(1.0,), (1.0, 2.0, 3.0), (float('nan'), 0.0),
                                    (float('inf'), 0.0), ()])
def test_a_bad_action_is_counted_and_moves_nothing(drive, values):
    driver = drive()
    driver.send(*values)
    driver.bench.until(lambda: driver.bench.node._bad_actions == 1)
    assert driver.bench.node._steps == 0
    driver.step(0.5, 0.5)
    driver.bench.says(bad_actions=1, steps=1)


def test_reset_puts_the_world_back_and_time_goes_on(drive):
    driver = drive()
    for _ in range(10):
        driver.step(2.0, 2.0)
    answer = driver.reset()
    assert (answer.success, answer.message) == (True, 'reset 2')
    driver.step(0.0, 0.0)
    for _ in range(2):
        driver.reset()
    driver.bench.until(lambda: len(driver.times()) >= 14)
    assert (np.diff(driver.times()) > 0).all()


def test_the_clock_never_goes_back_over_resets_of_a_free_running_world(drive):
    driver = drive(lockstep=False, pace=20.0)
    for _ in range(5):
        driver.reset()
    count = len(driver.times())
    driver.bench.until(lambda: len(driver.times()) > count + 5)
    assert (np.diff(driver.times()) > 0).all()


def test_a_world_that_takes_the_place_of_another_begins_long_before_that_one(drive):
    driver = drive()
    driver.bench.until(lambda: driver.times())
    first = min(driver.times())
    driver = drive()
    driver.bench.until(lambda: driver.times())
    assert 0 < max(driver.times()) < first - 1_000_000_000      # more than one that is overtaken


def test_a_diverged_world_is_reported_once_and_reset_recovers_it(drive):
    driver = drive()
    bench = driver.bench
    bench.node._twin.data.qvel[:] = np.nan
    driver.send(1.0, 1.0)
    assert 'not finite' in bench.event('diverged')['reason']
    driver.send(1.0, 1.0)
    bench.until(lambda: bench.status.get('text', '').startswith('diverged'))
    assert bench.node._steps == 0
    assert len([kind for kind, _ in bench.events if kind == 'diverged']) == 1
    assert driver.reset().success
    driver.step(1.0, 1.0)
    bench.says(text='lockstep')


@pytest.mark.parametrize('contract', ['reach', 'puck_push'])
def test_every_geom_is_a_marker_that_rviz_shows(start, contract, monkeypatch):
    monkeypatch.setattr(sim_bridge, 'REPEAT_PERIOD', 0.05)
    bench = start(SimBridge, contract=contract, lockstep=True)
    arrays = bench.listen('visualization_msgs/msg/MarkerArray', 'sim_bridge/markers', LATCHED)
    bench.until(lambda: arrays)
    markers = arrays[-1].markers
    assert len(markers) == len(bench.node._twin.geoms()) > 3
    assert len({(marker.ns, marker.id) for marker in markers}) == len(markers)
    for marker in markers:
        rotation, scale = marker.pose.orientation, marker.scale
        norm = np.linalg.norm([rotation.x, rotation.y, rotation.z, rotation.w])
        assert marker.header.frame_id == 'world'
        assert marker.action == Marker.ADD
        assert min(scale.x, scale.y, scale.z) > 0.0
        assert abs(norm - 1.0) < 1e-6
        assert marker.color.a > 0.0


def test_the_geoms_of_the_robot_make_room_for_the_model_that_rviz_has_of_it(start, monkeypatch):
    monkeypatch.setattr(sim_bridge, 'REPEAT_PERIOD', 0.05)
    bench = start(SimBridge, lockstep=True)
    arrays = bench.listen('visualization_msgs/msg/MarkerArray', 'sim_bridge/markers', LATCHED)
    bench.until(lambda: arrays)
    bench.probe.create_publisher(String, 'robot_description', LATCHED)
    bench.until(lambda: {(marker.ns, marker.action) for marker in arrays[-1].markers} == {
        ('static', Marker.ADD), ('robot', Marker.DELETE)})
    assert {(marker.ns, marker.action) for marker in arrays[0].markers} == {
        ('static', Marker.ADD), ('robot', Marker.ADD)}


def test_a_closing_simulator_takes_its_scene_out_of_rviz(start, monkeypatch):
    bench = start(SimBridge, lockstep=True)
    arrays = bench.listen('visualization_msgs/msg/MarkerArray', 'sim_bridge/markers', LATCHED)
    bench.node.close()
    bench.until(lambda: [array for array in arrays
                         if array.markers[0].action == Marker.DELETEALL])


def test_status_says_whether_tf_is_published(drive):
    driver = drive()
    expected = 'on' if HAS_TF else 'off, tf2_msgs is not installed'
    driver.bench.says(tf=expected)
    assert driver.bench.probe.count_publishers('/tf') + driver.bench.probe.count_publishers(
        'tf') >= HAS_TF
    assert HAS_TF or not driver.bench.node._tf


def test_frames_become_transforms_between_named_bodies(drive, monkeypatch):
    driver = drive()
    monkeypatch.setattr(sim_bridge, 'TFMessage', lambda: SimpleNamespace(transforms=[]))
    frames = driver.bench.node._twin.frames()
    transforms = sim_bridge._transforms(frames, Time(seconds=3)).transforms
    assert [(item.header.frame_id, item.child_frame_id) for item in transforms] == [
        frame[:2] for frame in frames]
    assert transforms[0].header.stamp.sec == 3
    turn = transforms[0].transform.rotation
    assert abs(np.linalg.norm([turn.x, turn.y, turn.z, turn.w]) - 1.0) < 1e-9


def test_late_subscribers_get_status(start):
    bench = start(SimBridge, lockstep=True)
    bench.says(text='lockstep')
    late = bench.listen('diagnostic_msgs/msg/DiagnosticArray', 'sim_bridge/status', LATCHED)
    bench.until(lambda: late)
    diagnostics = bench.listen('diagnostic_msgs/msg/DiagnosticArray', '/diagnostics', STREAM)
    bench.until(lambda: diagnostics)
    assert diagnostics[0].status[0].name == 'sim_bridge: status'


@pytest.mark.parametrize('found, said', [
    ('nowhere.xml', 'nowhere.xml'), ('other.xml', 'shoulder')])
def test_a_model_that_cannot_be_used_leaves_the_node_up_until_a_reset_finds_it_mended(
        start, make_contract, tmp_path, found, said):
    own = load_contract('reach').simulation.model
    (tmp_path / 'other.xml').write_text('<mujoco><worldbody/></mujoco>')
    contract = make_contract(**{'robot_rl.tasks:reach.xml': found})
    driver = Driver(start(SimBridge, lockstep=True, contract=str(contract.file)))
    driver.bench.until(lambda: 'no twin' in driver.bench.status.get('text', ''))
    assert said in driver.bench.status['text'] and said in driver.bench.event('no_twin')['reason']
    driver.send(1.0, 0.0)
    for service in ('reset', 'train_explorers'):
        answer = driver.bench.call(Trigger, f'sim_bridge/{service}')
        assert not answer.success and said in answer.message
    (tmp_path / found).write_bytes(own.read_bytes())
    assert driver.reset().success
    driver.step(1.0, 0.0)


def test_beside_a_real_robot_it_says_nothing_in_its_place(start):
    bench = start(SimBridge, twin=False)
    bench.says(training='idle')
    own = {name for name, _ in bench.node.get_publisher_names_and_types_by_node('sim_bridge', '/')}
    assert own.isdisjoint({'/joint_states', '/tip', '/clock'}) and '/explorers' in own


def test_a_robot_without_a_simulator_is_told_so_when_it_asks_to_train(start, make_contract):
    text = load_contract('reach').text
    contract = make_contract(**{text[text.index('simulation:'):]: ''})
    bench = start(SimBridge, twin=False, contract=str(contract.file))
    answer = bench.call(Trigger, 'sim_bridge/train_explorers')
    assert not answer.success and 'simulation' in answer.message
    assert bench.says(training='idle')
