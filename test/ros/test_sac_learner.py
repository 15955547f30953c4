from __future__ import annotations

from episodes import make_record
import pytest
from robot_rl.bundle import unpack
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.steps import Mode
from robot_rl.learning.policy import decode_policy
from robot_rl.nodes import sac_learner
from robot_rl.nodes.sac_learner import SacLearner
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import LATCHED, STREAM
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

SMALL = {'width': 8, 'batch': 8, 'start_transitions': 10}


class Recorder:
    """The probe as the recorder: sends episodes, and all of them again when asked."""

    def __init__(self, bench, contract, sent=()):
        self.bench, self.contract, self.asked = bench, contract, 0
        self.sent = list(sent)              # what a request sends
        self.actors = bench.listen('std_msgs/msg/UInt8MultiArray', 'actor', LATCHED)
        self.transitions = bench.publisher(UInt8MultiArray, 'transitions', STREAM)
        bench.probe.create_service(Trigger, 'data_recorder/republish', self._on_republish)

    def _on_republish(self, request, response):
        self.asked += 1
        for record in self.sent:
            self.send(record)
        response.success = True
        return response

    def send(self, record) -> None:
        self.transitions.publish(bytes_message(encode_episode(record, self.contract)))

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


def versions(recorder) -> list[int]:
    return [decode_policy(bytes(message.data), recorder.contract, 'actor').version
            for message in recorder.actors]


def test_an_untrained_actor_is_latched_from_the_start(learn):
    recorder = learn()
    recorder.bench.until(lambda: recorder.actors)
    assert versions(recorder) == [0]


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


def test_an_evaluation_is_received_but_not_learned_from(learn):
    recorder = learn()
    recorder.send(make_record(recorder.contract, 1, 1, mode=Mode.EVALUATE))
    recorder.until(episodes_received=1, transitions_received=6, transitions_trained_on=0)


def test_a_gap_in_the_totals_makes_it_ask_for_all_again(learn):
    recorder = learn()
    recorder.bench.until(lambda: recorder.asked == 1)
    recorder.sent = [make_record(recorder.contract, number, 3) for number in (1, 2, 3)]
    recorder.send(recorder.sent[2])
    recorder.until(episodes_received=3, missing=0, transitions_received=18)
    assert recorder.asked >= 2


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
