"""What the real nodes tell on /diagnostics: every part, and limits that are met and broken."""

from __future__ import annotations

from pathlib import Path
import re
import socket
import time

from arm import Arm, PERIOD
from diagnostic_msgs.msg import DiagnosticStatus
from episodes import make_record, make_steps
from every_node import folders, node_class, NODES, settings
from geometry_msgs.msg import PointStamped
import pytest
from robot_rl.data.episode_message import encode_episode
from robot_rl.nodes.demo_ingest import DemoIngest
from robot_rl.ros.codecs import bytes_message, step_message
from robot_rl.ros.qos import COMMAND, DRIVER, STEPS, STREAM
from robot_rl.training_process import TrainingState
from robot_rl.vitals.limits import worst
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, UInt64, UInt8MultiArray
from std_srvs.srv import SetBool, Trigger
from test_demo_ingest import write_bag

PAGE = Path(__file__).parents[2] / 'docs' / 'diagnostics.md'
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
PARTS = {'policy_server': ['observations', 'control', 'episodes'],
         'safety_stop': ['heartbeat'], 'data_recorder': ['topics', 'disk'],
         'sac_learner': ['training'], 'sim_bridge': ['simulation', 'train_explorers'],
         'demo_ingest': ['recordings', 'fit']}


def section(node: str) -> str:
    return PAGE.read_text().partition(f'\n## {node}\n')[2].partition('\n## ')[0]


def part_rows(node: str, part: str) -> str:
    """Return the rows of a part: its first one names it, the cell of the others is empty."""
    return re.search(rf'^\| {part} \|.*\n(\| \|.*\n)*', section(node), re.MULTILINE)[0]


class LiveArm(Arm):
    """It lives in our time."""

    def observe(self) -> None:
        self.now = time.time_ns() - PERIOD
        super().observe()


class Watched:
    """A node and what it tells on /diagnostics."""

    def __init__(self, bench):
        self.bench = bench
        self.messages = bench.listen('diagnostic_msgs/msg/DiagnosticArray', '/diagnostics', STREAM)

    def part(self, name: str):
        """Return the newest status of a part, None before there is one."""
        statuses = self.messages[-1].status if self.messages else ()
        return next((status for status in statuses
                     if status.name == f'{self.bench.name}: {name}'), None)

    def figure(self, part: str, key: str) -> float:
        """Return a figure, NaN where it is not known."""
        status = self.part(part)
        values = {pair.key: pair.value for pair in status.values} if status else {}
        return float(values.get(key) or 'nan')

    def becomes(self, part: str, level: bytes, text: str, meanwhile=lambda: None) -> None:
        """Wait until a part has the level and its text matches the pattern as a whole."""
        def there():
            meanwhile()
            status = self.part(part)
            return status and status.level == level and re.fullmatch(text, status.message)
        try:
            self.bench.until(there)
        except AssertionError:
            raise AssertionError(f'last was {self.part(part)}') from None

    def set(self, **limits: float) -> None:
        assert all(result.successful for result in self.bench.set(**limits))


@pytest.fixture
def watch(start, tmp_path):
    def begin(name: str, **parameters) -> Watched:
        return Watched(start(node_class(name), **{**folders(name, tmp_path), **parameters}))
    return begin


@pytest.mark.parametrize('name', NODES)
def test_every_node_tells_its_status_first_and_then_its_parts(watch, name):
    watched = watch(name)
    statuses = watched.bench.until(lambda: watched.messages)[0].status
    assert [status.name for status in statuses] == [
        f'{name}: {part}' for part in ['status', *PARTS[name]]]
    assert {status.hardware_id for status in statuses} == {f'reach@{socket.gethostname()}'}
    assert [status.level for status in statuses[1:]] == [OK] * len(PARTS[name])
    for status in statuses[1:]:
        rows = part_rows(name, status.name.partition(': ')[2])
        if '…' not in rows:
            assert not {key for pair in status.values
                        if f'`{(key := pair.key.partition(" ")[0])}' not in rows}


@pytest.mark.parametrize('name', NODES)
def test_the_page_tells_every_limit_with_its_default(name):
    limits = {f'`{key}` ({item.default:g}' for key, item in settings(name).items()
              if key.startswith(('warn_', 'error_'))}
    told = section(name)
    assert limits and not {limit for limit in limits
                           if f'{limit})' not in told and f'{limit}, never)' not in told}


def test_a_slow_tick_warns_with_figure_and_limit_and_is_well_again(watch, make_contract):
    contract = make_contract(**{'max_age: 0.15': 'max_age: 10.0'})
    watched = watch('policy_server', mode='random', contract=str(contract.file))
    bench = watched.bench
    bench.probe.create_timer(0.02, LiveArm(bench, contract, mute=True).observe)
    bench.until(lambda: bench.status.get('text', '').endswith('idle'))
    watched.set(warn_tick=1e-9, error_tick=0.0, run_episodes=3)
    bench.call(SetBool, 'policy_server/run', data=True)
    watched.becomes('control', WARN, r'tick p99: [\d.]+ ms, at most 5e-08 expected.*')
    bench.until(lambda: re.match('.*control: tick p99: ', bench.status['limits']))
    watched.set(warn_tick=0.0, warn_late=0.0, error_late=0.0)
    watched.becomes('control', OK, 'within limits')
    watched.set(error_tick=1e-9)
    watched.becomes('control', ERROR, r'tick p99: .*')
    assert 0.0 < watched.figure('control', 'tick_p50_ms') <= watched.figure(
        'control', 'tick_p99_ms')
    assert watched.figure('control', 'period_ms') == 50.0


def test_the_outcomes_of_the_last_episodes_are_told_by_mode(watch, make_contract):
    watched = watch('policy_server', mode='random', lockstep=True)
    bench = watched.bench
    Arm(bench, make_contract())
    bench.until(lambda: bench.status.get('text', '').endswith('idle'))
    watched.set(run_episodes=2)
    bench.call(SetBool, 'policy_server/run', data=True)
    bench.until(lambda: watched.figure('episodes', 'episodes random') == 2)
    assert watched.figure('episodes', 'success_rate random') in (0.0, 0.5, 1.0)
    bench.call(Trigger, 'policy_server/stop')
    bench.says(stop_reason='operator')
    bench.call(Trigger, 'policy_server/clear_stop')
    bench.says(stop_reason='')


def test_an_observation_that_comes_too_seldom_is_named_with_what_is_expected(watch):
    watched = watch('policy_server', mode='random')
    bench = watched.bench
    joints = bench.publisher(JointState, 'joint_states', DRIVER)
    sent = [0.0]

    def send() -> None:         # some 4 Hz; two in max_age 0.15 s are needed
        if time.monotonic() - sent[0] > 0.25:
            sent[0] = time.monotonic()
            joints.publish(JointState(name=['shoulder', 'elbow'], position=[0.0, 0.0],
                                      velocity=[0.0, 0.0]))

    watched.becomes('observations', ERROR, r'observation arm: [234]\.?\d* Hz, at least 6\.67 '
                    'expected', send)
    watched.set(error_rate=0.0)
    watched.becomes('observations', WARN, r'observation arm: [234]\.?\d* Hz, at least 12 '
                    'expected.*', send)
    watched.set(warn_rate=0.0)
    watched.becomes('observations', OK, 'within limits', send)
    assert 0.2 < watched.figure('observations', 'longest_gap_s arm') < 5.0


def test_a_disk_that_lasts_too_short_is_told_by_the_recorder(watch, make_contract):
    watched = watch('data_recorder', warn_hours=1e9)
    joints = watched.bench.publisher(JointState, 'joint_states', DRIVER)
    send = lambda: joints.publish(JointState(name=['shoulder'] * 100))  # noqa: E731
    watched.becomes('disk', WARN, r'room on the disk at this rate: [\d.]+ h, at least 1000000000 '
                    'expected', send)
    assert watched.figure('disk', 'bytes_per_second') > 1000.0
    watched.set(warn_hours=0.0)
    watched.becomes('disk', OK, 'within limits')


def test_a_topic_that_falls_silent_while_recording_is_told_and_no_longer_after_it(
        watch, make_contract):
    contract = make_contract()
    watched = watch('data_recorder', error_rate=0.0, warn_rate=0.0)
    bench = watched.bench
    tip = bench.publisher(PointStamped, 'tip', DRIVER)
    steps = bench.publisher(Float64MultiArray, 'policy_server/steps', STEPS)
    episode = make_steps(contract, 1)
    tip.publish(PointStamped())
    steps.publish(step_message(episode[0]))
    watched.becomes('topics', WARN, r'longest gap of topic /tip: [\d.]+ s, at most 0\.15 expected')
    watched.set(warn_gap=1000.0)
    watched.becomes('topics', OK, 'within limits')
    watched.set(warn_gap=1.0)
    watched.becomes('topics', WARN, 'longest gap of topic /tip.*')
    for step in episode[1:]:
        steps.publish(step_message(step))
    watched.becomes('topics', OK, 'within limits')


def test_experience_that_gets_old_is_told_by_the_learner(watch, make_contract):
    contract = make_contract()
    watched = watch('sac_learner', contract=str(contract.file), width=8,
                    warn_transition_age=1e-6)
    transitions = watched.bench.publisher(UInt8MultiArray, 'transitions', STREAM)
    watched.becomes('training', OK, 'within limits')
    transitions.publish(bytes_message(encode_episode(make_record(contract, 1, 1), contract)))
    watched.becomes('training', WARN, r'age of the newest transition: [\d.e-]+ s, at most 1e-06 '
                    'expected')
    watched.set(warn_transition_age=1000.0)
    watched.becomes('training', OK, 'within limits')


def test_a_simulator_that_cannot_keep_its_pace_is_told(watch):
    watched = watch('sim_bridge', warn_pace=100.0, error_pace=0.0)
    watched.becomes('simulation', WARN, r'real-time factor: [\d.]+, at least 100 expected')
    assert 0.1 < watched.figure('simulation', 'real_time_factor') < 2.0
    watched.set(warn_pace=0.01)
    watched.becomes('simulation', OK, 'within limits')


def test_a_training_that_makes_no_progress_is_told(watch):
    training = watch('sim_bridge').bench.node._training
    assert worst(training.part(1e-9).findings).reason == ''     # nobody asked for one
    training.state = TrainingState('training')
    reason = worst(training.part(1e-9).findings).reason
    assert re.fullmatch(r'train_explorers makes no progress for: [\d.e-]+ s, at most 1e-09 '
                        'expected', reason)
    assert worst(training.part(1000.0).findings).reason == ''
    training.state = TrainingState()


def test_in_lockstep_no_pace_is_too_slow(watch):
    watched = watch('sim_bridge', warn_pace=100.0, lockstep=True)
    commands = watched.bench.publisher(Float64MultiArray, 'arm_controller/commands', COMMAND)
    send = lambda: commands.publish(Float64MultiArray(data=[0.0, 0.0]))  # noqa: E731
    watched.bench.until(lambda: send() or watched.figure('simulation', 'real_time_factor') > 0.0)
    assert watched.part('simulation').level == OK


def test_a_heartbeat_that_stutters_is_told_before_it_is_a_stop(watch):
    watched = watch('safety_stop', timeout=60.0, warn_gap=1e-6)
    heart = watched.bench.publisher(UInt64, 'policy_server/heartbeat', COMMAND)
    heart.publish(UInt64(data=1))
    watched.becomes('heartbeat', WARN, r'longest silence of the heartbeat: [\d.]+ s, at most '
                    '6e-05 expected')
    watched.set(warn_gap=0.8)
    watched.becomes('heartbeat', OK, 'within limits')
    watched.set(warn_gap=1e-6)
    watched.becomes('heartbeat', WARN, 'longest silence.*')
    heart.publish(UInt64(data=0))       # an orderly end: none is due any more
    watched.becomes('heartbeat', OK, 'within limits')


def test_a_scan_that_took_too_little_is_told(watch, make_contract, tmp_path):
    for number, outcome in enumerate(('success', 'failure')):
        write_bag(tmp_path / 'bags' / f'episode_{number}', make_contract(), number + 1,
                  outcome=outcome)
    watched = watch('demo_ingest', bags=[str(tmp_path / 'bags')], outcomes='successes',
                    warn_dropped=0.4)
    assert isinstance(watched.bench.node, DemoIngest)
    assert watched.bench.call(Trigger, 'demo_ingest/scan').success
    watched.becomes('recordings', WARN, r'share of the episodes that were not taken: 0\.5, at '
                    r'most 0\.4 expected')
    watched.set(warn_dropped=0.5)
    watched.becomes('recordings', OK, 'within limits')
