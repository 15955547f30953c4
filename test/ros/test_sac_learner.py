from __future__ import annotations

from dataclasses import fields, replace
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from episodes import make_record, make_steps, SESSION
from geometry_msgs.msg import PointStamped
from made_policies import demonstrator, explorers
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rclpy.time import Time
from robot_rl.bundle import unpack
from robot_rl.contract import load_contract
from robot_rl.curves import read_curves
from robot_rl.data.bag import BagWriter
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.steps import Mode, STEPS_TYPE
from robot_rl.errors import UserError
from robot_rl.learning import imitation
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.diffusion_policy import decode_actor
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_explorers, decode_policy
from robot_rl.nodes import sac_learner
from robot_rl.nodes.sac_learner import SacLearner
from robot_rl.ros.codecs import bytes_message, status_message, step_message
from robot_rl.ros.qos import LATCHED, STREAM
from robot_rl.ros.settings.sac_learner import Settings
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header, UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

SMALL = {'width': 8, 'batch': 8, 'start_transitions': 10}


class Recorder:
    """The probe as the recorder: sends episodes, and all of them again when asked."""

    def __init__(self, bench, contract, sent=()):
        self.bench, self.contract, self.asked = bench, contract, 0
        self.sent = list(sent)              # what a request sends
        self.actors = bench.listen('std_msgs/msg/UInt8MultiArray', 'actor', LATCHED)
        self.transitions = bench.publisher(UInt8MultiArray, 'transitions', STREAM)
        self.levels = bench.listen('diagnostic_msgs/msg/DiagnosticArray', 'sac_learner/status',
                                   LATCHED)
        bench.probe.create_service(Trigger, 'data_recorder/republish', self._on_republish)

    def _on_republish(self, request, response):
        self.asked += 1
        for record in self.sent:
            self.send(record)
        response.success = True
        return response

    def send(self, record) -> None:
        self.transitions.publish(bytes_message(encode_episode(record, self.contract)))

    def say(self, **values) -> None:
        """Publish a status, as the recorder does once a second."""
        self.status = self.bench.probe.create_publisher(
            DiagnosticArray, 'data_recorder/status', LATCHED)
        self.status.publish(status_message(Time(), 'data_recorder: status', 'well', values))

    def latch(self, topic: str, data: bytes):
        """Publish an artifact as sim_bridge does: latched, whoever listens."""
        publisher = self.bench.probe.create_publisher(UInt8MultiArray, topic, LATCHED)
        publisher.publish(bytes_message(data))
        return publisher

    def warns(self, text: str) -> dict[str, str]:
        """Wait until the status says that, at level WARN; return its figures."""
        self.bench.until(lambda: self.levels and text in self.levels[-1].status[0].message)
        assert self.levels[-1].status[0].level == DiagnosticStatus.WARN
        self.bench.until(lambda: text in self.bench.status.get('text', ''))
        return self.bench.status

    @property
    def progress(self):
        return self.bench.node._trainer.progress

    def until(self, **values):
        """Wait until the trainer says these figures of itself."""
        self.bench.until(lambda: all(getattr(self.progress, name) == value
                                     for name, value in values.items()))


@pytest.fixture
def learn(start, make_contract, tmp_path, monkeypatch):
    monkeypatch.setattr(sac_learner, 'ASK_AGAIN', 0.1)

    def begin(sent=(), **parameters) -> Recorder:
        contract = make_contract()
        bench = start(SacLearner, contract=str(contract.file), **{
            **SMALL, 'checkpoint_dir': str(tmp_path / 'checkpoints'), **parameters})
        return Recorder(bench, contract, [make_record(contract, *item) for item in sent])
    return begin


def sim_optimal(contract, width: int = 8) -> bytes:
    return Learner(contract, LearnerConfig(seed=5), SacConfig(width=width)).actor()


def versions(recorder) -> list[int]:
    return [decode_policy(bytes(message.data), recorder.contract, 'actor').version
            for message in recorder.actors]


def test_an_untrained_actor_is_latched_from_the_start(learn):
    recorder = learn()
    recorder.bench.until(lambda: recorder.actors)
    assert versions(recorder) == [0]


def test_what_it_says_of_itself_leaves_nothing_behind(learn):
    node = learn().bench.node
    for _ in range(20):
        node._describe()
    before = sys.getallocatedblocks()       # with those that CPython keeps for later
    for _ in range(300):
        node._describe()
    assert sys.getallocatedblocks() - before < 100      # 300 with a tuple kept of each


def test_it_asks_once_for_what_was_recorded_before_it_was_there(learn):
    recorder = learn([(1, 2), (2, 2)])
    recorder.until(episodes_received=2, transitions_received=12, missing=0)
    assert recorder.asked == 1


def test_it_trains_only_when_told_and_as_much_as_the_ratio_allows(learn):
    recorder = learn(utd_ratio=0.5)
    for number in (1, 2):
        recorder.send(make_record(recorder.contract, number, number))
    recorder.until(episodes_received=2, owed=6, updates=0)
    assert recorder.bench.call(SetBool, 'sac_learner/train', data=True).message == 'training'
    recorder.until(updates=6, owed=0)
    recorder.bench.until(lambda: versions(recorder)[-1] == 6)
    assert recorder.bench.call(SetBool, 'sac_learner/train', data=False).message == 'paused'


def test_the_actor_says_up_to_where_it_has_learned(learn):
    recorder = learn(autotrain=True)
    record = make_record(recorder.contract, 1, 1, 12)
    recorder.send(record)
    recorder.until(updates=12, owed=0)
    recorder.bench.until(lambda: unpack(bytes(recorder.actors[-1].data), 'actor')[1][
        'provenance']['learned_stamp'] == record.stamp)


def test_an_episode_that_comes_twice_counts_once(learn):
    recorder = learn()
    for _ in range(2):
        recorder.send(make_record(recorder.contract, 1, 1))
    recorder.send(make_record(recorder.contract, 2, 2))
    recorder.until(episodes_received=2, transitions_received=12, transitions_trained_on=12)


@pytest.mark.parametrize('mode', [Mode.EVALUATE, Mode.TRANSFER])
def test_an_evaluation_is_received_but_not_learned_from(learn, mode):
    recorder = learn()
    recorder.send(make_record(recorder.contract, 1, 1, mode=mode))
    recorder.until(episodes_received=1, transitions_received=6, transitions_trained_on=0)


def test_episodes_of_explorers_are_a_source_of_their_own(learn):
    recorder = learn()
    for number, mode in enumerate((Mode.EXPLORE, Mode.LEARN, Mode.EXPLORE), start=1):
        recorder.send(make_record(recorder.contract, number, number, mode=mode))
    recorder.until(transitions_trained_on=18, transitions_explorers=12, owed=18)


def test_bags_of_demonstrations_are_a_source_of_their_own(learn, tmp_path):
    contract = load_contract('reach')
    folder = tmp_path / 'demos'
    topic = Topic('/policy_server/steps', STEPS_TYPE)
    recording = EpisodeRecorder(folder, contract, [topic], RecorderSettings(settle=0.0),
                                topic.name, lambda episode: None, lambda kind, values: None)
    for step in make_steps(contract, 1, 7):
        recording.put(0, serialize_message(step_message(step)), step.stamp, time.time_ns())
    recording.close()
    recorder = learn(demo_bags=[str(folder)])
    recorder.until(transitions_demos=7, transitions_trained_on=0, owed=0)
    recorder.send(make_record(recorder.contract, 1, 1))
    recorder.until(transitions_demos=7, transitions_trained_on=6, owed=6)


def record_raw(contract, folder, count: int = 8) -> None:
    """Write what `ros2 bag record` leaves of an episode: the topics of the contract."""
    writer = BagWriter(folder, {})
    topics = {entry.topic: entry.type for entry in contract.observations}
    topics[contract.action.topic] = contract.action.type
    ids = {topic: writer.add_topic(f'/{topic}', kind) for topic, kind in topics.items()}
    for tick in range(count):
        stamp = 1_700_000_000_000_000_000 + tick * 50_000_000
        header = Header(stamp=Time(nanoseconds=stamp).to_msg())
        for topic, message in {
                'joint_states': JointState(header=header, name=['shoulder', 'elbow'],
                                           position=[0.1 * tick, 0.2], velocity=[0.1, 0.0],
                                           effort=[0.0, 0.0]),
                'tip': PointStamped(header=header),
                contract.action.topic: Float64MultiArray(data=[0.5, -0.5])}.items():
            writer.write(ids[topic], serialize_message(message), stamp, stamp)
    writer.close({})


def test_anybodys_recordings_are_demonstrations_and_a_bad_one_only_warns(learn, tmp_path):
    folder = tmp_path / 'demos'
    record_raw(load_contract('reach'), folder / 'good')
    record_raw(load_contract('reach'), folder / 'torn')
    torn = next((folder / 'torn').glob('*.mcap'))
    torn.write_bytes(b'no recording')
    recorder = learn(demo_bags=[str(folder)])
    status = recorder.warns(f'demo_bags: 1 not read whole, such as {folder / "torn"}')
    assert int(status['transitions_demos']) >= 6


def test_demo_bags_that_hold_nothing_are_refused_with_what_was_found(learn, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='demo_bags: .*empty'):
        learn(demo_bags=[str(tmp_path / 'empty')])
    with pytest.raises(UserError, match='demo_bags: .*nowhere'):
        learn(demo_bags=[str(tmp_path / 'nowhere')])


PLAN = [[0.5, -0.5]] * 3        # what the demonstrator does, rad/s
STEER = {'method': 'steer', 'autotrain': True, 'utd_ratio': 1.0}


def test_it_waits_for_a_demonstrator_and_steers_it(learn):
    recorder = learn(**STEER, critic_warmup=4)
    recorder.send(make_record(recorder.contract, 1, 1, 12))
    recorder.until(episodes_received=1)
    recorder.bench.says(text='waiting for demonstrator', updates=0, owed=0, method='steer')
    assert not recorder.actors
    recorder.latch('demonstrator', demonstrator(recorder.contract, PLAN))
    recorder.until(updates=16, started_from='demonstrator')
    recorder.bench.until(lambda: recorder.actors and decode_actor(
        bytes(recorder.actors[-1].data), recorder.contract, 'actor').version == 16)
    found = decode_actor(bytes(recorder.actors[-1].data), recorder.contract, 'actor')
    assert found.manifest['kind'] == 'steered' and (found.chunk, found.replan) == (3, 2)


def test_the_base_is_published_before_it_is_steered_and_its_success_is_told(learn):
    recorder = learn(**STEER)
    recorder.latch('demonstrator', demonstrator(recorder.contract, PLAN))
    recorder.bench.until(lambda: recorder.actors)
    first = decode_actor(bytes(recorder.actors[0].data), recorder.contract, 'actor')
    assert (first.version, first.manifest['kind'], first.informed) == (0, 'steered', True)
    for number, outcome in enumerate(('success', 'truncated', 'aborted'), start=1):
        recorder.send(replace(make_record(recorder.contract, number, number), outcome=outcome))
    recorder.bench.says(base_success='0.5', base_episodes=2, base_success_low='0.09453',
                        base_success_high='0.9055', warning='')


def test_a_base_that_never_succeeds_warns_with_advice(learn):
    recorder = learn(**STEER)
    recorder.latch('demonstrator', demonstrator(recorder.contract, PLAN))
    recorder.send(make_record(recorder.contract, 1, 1))
    recorder.bench.says(base_success='0', base_episodes=1, warning='')
    recorder.send(make_record(recorder.contract, 2, 2))
    recorder.warns('the demonstrator succeeded in none of 2 episodes: there is nothing to steer')


def test_another_demonstrator_is_refused_on_the_status_and_steering_goes_on(learn):
    recorder = learn(**STEER)
    recorder.latch('demonstrator', demonstrator(recorder.contract, PLAN))
    recorder.until(started_from='demonstrator')
    recorder.latch('demonstrator', demonstrator(recorder.contract, PLAN, version=9))
    recorder.warns('topic demonstrator: expected the demonstrator that this learner steers')
    recorder.send(make_record(recorder.contract, 1, 1, 12))
    recorder.until(updates=12)


def test_an_actor_is_fitted_to_the_demonstrator_in_the_states_of_demo_bags(
        learn, tmp_path, monkeypatch):
    monkeypatch.setattr(imitation, 'UPDATES', 20)
    record_raw(load_contract('reach'), tmp_path / 'demos' / 'one')
    recorder = learn(start_from='demonstrator', demo_bags=[str(tmp_path / 'demos')])
    assert recorder.progress.text in ('starting', 'waiting for demonstrator')
    recorder.latch('demonstrator', demonstrator(recorder.contract, PLAN))
    recorder.until(started_from='demonstrator')
    recorder.bench.until(lambda: recorder.actors)
    found = decode_actor(bytes(recorder.actors[0].data), recorder.contract, 'actor')
    assert (found.manifest['kind'], found.version, found.informed) == ('gaussian', 0, True)


def test_it_waits_for_the_policy_to_start_from(learn):
    recorder = learn(start_from='sim_optimal', autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 12))
    recorder.until(episodes_received=1)
    recorder.bench.says(text='waiting for sim_optimal', updates=0, owed=0)
    assert not recorder.actors
    data = sim_optimal(recorder.contract)
    recorder.latch('sim_optimal', data)
    recorder.until(updates=12)
    recorder.bench.until(lambda: recorder.actors and versions(recorder)[-1] == 12)
    for message in recorder.actors:
        provenance = unpack(bytes(message.data), 'actor')[1]['provenance']
        assert provenance['started_from'] == 'sim_optimal'
    first, given = (decode_policy(found, recorder.contract, 'x') for found in (
        bytes(recorder.actors[0].data), data))
    assert np.array_equal(first.normalizer.mean, given.normalizer.mean)
    recorder.bench.says(started_from='sim_optimal')


def test_a_late_learner_takes_the_latched_policy_and_explorers(learn, make_contract):
    contract, context = make_contract(), Context()
    rclpy.init(context=context)
    neighbour = Node('neighbour', context=context, use_global_arguments=False)
    try:
        artifacts = {'sim_optimal': sim_optimal(contract),
                     'explorers': explorers(contract, (0.5, -0.5))}
        for topic, data in artifacts.items():
            neighbour.create_publisher(UInt8MultiArray, topic, LATCHED).publish(
                bytes_message(data))
        recorder = learn(start_from='sim_optimal')
        recorder.until(started_from='sim_optimal')
        recorder.bench.until(lambda: recorder.progress.coverage)
    finally:
        neighbour.destroy_node()
        context.shutdown()


def test_a_policy_of_another_width_is_told_on_the_status_and_it_waits(learn):
    recorder = learn(start_from='sim_optimal', autotrain=True)
    recorder.latch('sim_optimal', sim_optimal(recorder.contract, width=16))
    status = recorder.warns('expected width 8 and depth 2, found width 16 and depth 2')
    assert status['text'].startswith('waiting for sim_optimal; refused: topic sim_optimal')
    recorder.send(make_record(recorder.contract, 1, 1, 12))
    recorder.until(episodes_received=1, updates=0, owed=0)


def test_an_unknown_start_is_refused_with_those_that_there_are(learn):
    with pytest.raises(UserError, match="start_from: expected one of '', sim_optimal, "
                                        "demonstrator, found 'x'"):
        learn(start_from='x')


def test_coverage_stands_on_the_status_beside_the_simulators(learn):
    recorder = learn()
    recorder.send(make_record(recorder.contract, 1, 1, mode=Mode.EXPLORE))
    recorder.until(episodes_received=1)
    data = explorers(recorder.contract, (0.5, -0.5))
    simulator = decode_explorers(data, recorder.contract, 'x')[1]
    recorder.latch('explorers', data)
    recorder.send(make_record(recorder.contract, 2, 2))
    status = recorder.bench.says(
        coverage_simulator_observations=simulator.count,
        coverage_simulator_cells=len(simulator.cells),
        coverage_simulator_lambda_min=f'{simulator.lambda_min:.4g}',
        coverage_explorers_observations=6, coverage_robot_observations=12, warning='')
    for name in ('cells', 'fraction', 'lambda_min', 'log_det'):
        assert float(status[f'coverage_robot_{name}']) == pytest.approx(
            dict(recorder.progress.coverage)[f'coverage_robot_{name}'], rel=1e-3)


def test_a_robot_that_covers_far_less_warns_with_advice(learn):
    recorder = learn()
    recorder.latch('explorers', explorers(recorder.contract, (0.5, -0.5)))
    for number in range(1, 11):
        record = make_record(recorder.contract, number, number, mode=Mode.EXPLORE)
        record.transitions.next_observation[:] = 0.0
        recorder.send(record)
    status = recorder.warns('explorers cover far less on the robot')
    assert 'same units and frames' in status['warning'] and 'lambda_min' in status['warning']


@pytest.mark.parametrize('topic', ['explorers', 'sim_optimal'])
def test_garbage_in_place_of_an_artifact_is_told_and_learning_goes_on(learn, topic):
    recorder = learn(start_from='sim_optimal')
    recorder.latch(topic, b'\x00garbage' * 99)
    recorder.bench.until(lambda: f'refused: topic {topic}: not a file of this package'
                         in recorder.bench.status.get('warning', ''))
    recorder.latch('sim_optimal', sim_optimal(recorder.contract))
    recorder.until(started_from='sim_optimal')
    assert recorder.bench.node._trainer.alive


def test_a_gap_in_the_totals_makes_it_ask_for_all_again(learn):
    recorder = learn()
    recorder.bench.until(lambda: recorder.asked == 1)
    recorder.sent = [make_record(recorder.contract, number, 3) for number in (1, 2, 3)]
    recorder.send(recorder.sent[2])
    recorder.until(episodes_received=3, missing=0, transitions_received=18)
    assert recorder.asked >= 2


def test_a_gap_that_no_episode_tells_of_is_in_the_words_of_the_recorder(learn):
    recorder = learn()
    recorder.bench.until(lambda: recorder.asked == 1)
    recorder.sent = [make_record(recorder.contract, number, 3) for number in (1, 2, 3)]
    recorder.say(session=SESSION, published=3)
    recorder.until(episodes_received=3, missing=0, transitions_received=18)
    assert recorder.asked >= 2


@pytest.mark.parametrize('words', [{}, {'session': SESSION}, {'session': '', 'published': 3},
                                   {'session': SESSION, 'published': 'x'}], ids=str)
def test_a_recorder_that_does_not_say_how_many_is_not_asked(learn, words):
    recorder = learn()
    recorder.bench.until(lambda: recorder.asked == 1)
    recorder.say(**words)
    recorder.send(make_record(recorder.contract, 1, 1))
    recorder.until(episodes_received=1, missing=0)
    assert recorder.asked == 1


def test_what_was_sent_twice_is_in_the_buffer_once(learn):
    recorder = learn([(number, 3) for number in (1, 2, 3)])
    recorder.until(episodes_received=3)
    for record in recorder.sent * 2:
        recorder.send(record)
    recorder.send(make_record(recorder.contract, 4, 4))         # comes after all of these
    recorder.until(episodes_received=4, transitions_received=24, transitions_trained_on=24)
    assert len(recorder.bench.node._trainer._learner.sources['online']) == 24


def test_a_gap_that_nobody_fills_shows_in_the_status(learn):
    recorder = learn()
    recorder.send(make_record(recorder.contract, 3, 3))
    recorder.bench.says(missing=2, episodes_received=1)


@pytest.mark.parametrize('data', [b'', b'\x00garbage' * 99, b'\xff' * 64],
                         ids=['nothing', 'text', 'huge header'])
def test_garbage_on_transitions_is_counted_and_learning_goes_on(learn, data):
    recorder = learn()
    recorder.transitions.publish(bytes_message(data))
    recorder.until(refused=1)
    recorder.send(make_record(recorder.contract, 1, 1))
    recorder.until(episodes_received=1)
    recorder.bench.says(refused=1, episodes_received=1)
    assert recorder.bench.node._trainer.alive


def test_an_episode_of_another_contract_is_refused(learn, make_contract):
    recorder = learn()
    other = make_contract(**{'control_rate: 20.0': 'control_rate: 10.0'})
    recorder.transitions.publish(bytes_message(encode_episode(make_record(other, 1, 1), other)))
    recorder.until(refused=1, episodes_received=0)


def test_a_checkpoint_is_written_when_asked_and_taken_up_by_the_next_learner(learn, tmp_path):
    recorder = learn(autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 15))
    recorder.until(updates=15)
    assert recorder.bench.call(Trigger, 'sac_learner/save_checkpoint').success
    path = tmp_path / 'checkpoints' / 'checkpoint_000000015.safetensors'
    recorder.bench.until(path.is_file)
    recorder = learn()
    recorder.until(updates=15, episodes_received=0)
    recorder.bench.until(lambda: versions(recorder) == [15])


def test_a_learner_that_came_back_paused_says_so_until_somebody_decides(learn):
    recorder = learn(autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 15))
    recorder.until(updates=15)
    recorder.bench.node.close()
    recorder = learn()
    recorder.warns('paused after a restart at 15 updates: call sac_learner/train true')
    recorder.bench.call(SetBool, 'sac_learner/train', data=False)
    recorder.bench.says(text='paused')
    recorder.bench.until(
        lambda: recorder.levels[-1].status[0].level == DiagnosticStatus.OK)
    recorder = learn(autotrain=True)
    recorder.bench.says(updates=15)
    assert 'restart' not in recorder.bench.status['text']


def test_a_checkpoint_folder_that_cannot_be_written_is_refused_at_start(learn, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file/below: Not a directory; name a folder that can be'):
        learn(checkpoint_dir=str(tmp_path / 'file' / 'below'))


def test_a_damaged_checkpoint_is_told_on_status_and_events_and_the_one_before_taken(
        learn, tmp_path):
    recorder = learn(autotrain=True, checkpoint_period=10)
    for number in (1, 2):
        recorder.send(make_record(recorder.contract, number, number, 15))
        recorder.until(updates=15 * number)
    recorder.bench.node.close()
    path = tmp_path / 'checkpoints' / 'checkpoint_000000030.safetensors'
    path.write_bytes(path.read_bytes()[:-9])
    recorder = learn()
    recorder.until(updates=15)
    moved = path.parent / 'refused' / path.name
    values = recorder.bench.event('checkpoint_refused')
    assert (values['file'], values['moved_to']) == (str(path), str(moved))
    assert 'damaged' in values['reason'] or 'not a file of this package' in values['reason']
    recorder.warns(f'skipped {path}: ')
    assert moved.is_file() and not path.exists()


def test_a_checkpoint_that_cannot_be_written_is_told_and_training_goes_on(learn, tmp_path):
    recorder = learn(autotrain=True)
    folder = tmp_path / 'checkpoints'
    folder.rename(tmp_path / 'moved')
    folder.write_text('a file in the way')
    assert recorder.bench.call(Trigger, 'sac_learner/save_checkpoint').success
    assert 'File exists' in recorder.bench.event('checkpoint_failed')['reason']
    recorder.bench.until(lambda: recorder.levels
                         and recorder.levels[-1].status[0].level == DiagnosticStatus.ERROR)
    recorder.send(make_record(recorder.contract, 1, 1, 12))
    recorder.until(updates=12)


def test_deterministic_it_learns_in_the_recorders_order(learn, monkeypatch):
    recorder = learn(deterministic=True, autotrain=True)
    learner, order = recorder.bench.node._trainer._learner, []
    add = learner.add
    monkeypatch.setattr(learner, 'add', lambda key, *rest: order.append(key) or add(key, *rest))
    recorder.send(make_record(recorder.contract, 2, 2, 12))
    recorder.until(episodes_received=1, missing=1)
    assert recorder.progress.updates == 0
    recorder.send(make_record(recorder.contract, 1, 2, 12))
    recorder.until(updates=24)
    assert [key.rpartition('/')[2] for key in order] == ['episode_000001', 'episode_000002']


def test_closing_writes_a_last_checkpoint(learn, tmp_path):
    recorder = learn(autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 11))
    recorder.until(updates=11)
    recorder.bench.node.close()
    assert (tmp_path / 'checkpoints' / 'checkpoint_000000011.safetensors').is_file()


def test_a_dead_trainer_refuses_to_train_and_says_why(learn, monkeypatch):
    recorder = learn(autotrain=True)

    def fail(count):
        raise FloatingPointError('loss is not finite')

    monkeypatch.setattr(recorder.bench.node._trainer._learner, 'train', fail)
    recorder.send(make_record(recorder.contract, 1, 1, 12))
    recorder.bench.until(lambda: not recorder.bench.node._trainer.alive)
    answer = recorder.bench.call(SetBool, 'sac_learner/train', data=True)
    assert (answer.success, answer.message) == (False, 'FloatingPointError: loss is not finite')


def test_curves_of_the_training_are_left_beside_the_checkpoints(learn, tmp_path):
    recorder = learn(autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 11))
    recorder.until(updates=11)
    recorder.bench.node.close()
    found = read_curves(tmp_path / 'checkpoints' / 'curves')
    assert found['learner/critic_loss'].steps[-1] == found['progress/owed'].steps[-1] == 11
    assert found['episode/length'].values == [11.0]


@pytest.mark.parametrize('config', [LearnerConfig(), SacConfig()])
def test_the_node_learns_as_the_learner_does_where_no_parameter_is_set(config):
    assert {item.name: getattr(Settings(), item.name) for item in fields(config)} == vars(config)
