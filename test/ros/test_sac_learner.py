"""The learner as a node: it latches an actor, trains when told, and says how it is."""

from __future__ import annotations

from dataclasses import fields
import sys

from episodes import make_record
import pytest
from recorder_probe import versions
from robot_rl.bundle import unpack
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.ros.settings.sac_learner import Settings
from std_srvs.srv import SetBool


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


def test_a_dead_trainer_refuses_to_train_and_says_why(learn, monkeypatch):
    recorder = learn(autotrain=True)

    def fail(count):
        raise FloatingPointError('loss is not finite')

    monkeypatch.setattr(recorder.bench.node._trainer._learner, 'train', fail)
    recorder.send(make_record(recorder.contract, 1, 1, 12))
    recorder.bench.until(lambda: not recorder.bench.node._trainer.alive)
    answer = recorder.bench.call(SetBool, 'sac_learner/train', data=True)
    assert (answer.success, answer.message) == (False, 'FloatingPointError: loss is not finite')


@pytest.mark.parametrize('config', [LearnerConfig(), SacConfig()])
def test_the_node_learns_as_the_learner_does_where_no_parameter_is_set(config):
    assert {item.name: getattr(Settings(), item.name) for item in fields(config)} == vars(config)
