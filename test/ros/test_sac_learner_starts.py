"""What the learner starts from, and what it says of explorers."""

from __future__ import annotations

from dataclasses import replace

from episodes import make_record, record_raw
from made_policies import demonstrator, explorers
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from recorder_probe import versions
from robot_rl.bundle import unpack
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode
from robot_rl.errors import UserError
from robot_rl.learning import imitation
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.diffusion_policy import decode_actor
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_explorers, decode_policy
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import LATCHED
from std_msgs.msg import UInt8MultiArray

PLAN = [[0.5, -0.5]] * 3        # what the demonstrator does, rad/s
STEER = {'method': 'steer', 'autotrain': True, 'utd_ratio': 1.0}


def sim_optimal(contract, width: int = 8) -> bytes:
    return Learner(contract, LearnerConfig(seed=5), SacConfig(width=width)).actor()


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
