"""A reward that somebody publishes: in force in each tick, recorded, and never guessed."""

from __future__ import annotations

from arm import Arm, PERIOD
from geometry_msgs.msg import PointStamped
from graphs import Graph
import numpy as np
import pytest
from rclpy.time import Time
from robot_rl.data import cdr
from robot_rl.data.bag import (bag_steps, bag_transitions, BagWriter, find_bags, read_bag,
                               read_info)
from robot_rl.data.episode_message import decode_episode
from robot_rl.data.ingest import Ingest
from robot_rl.data.steps import Status
from robot_rl.fields import stamp_of
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.paths import contract_path
from robot_rl.ros.qos import DRIVER, STREAM
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float32, UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

FUNCTION = 'reward: robot_rl.tasks.reach:shaped_reward'
TOPIC = 'reward: {topic: score, type: std_msgs/msg/Float32, select: [data], max_age: 0.12}'
STAMPED = ('reward: {topic: score, type: geometry_msgs/msg/PointStamped, select: [point.x], '
           'max_age: 0.12}')
POINT = 'geometry_msgs/msg/PointStamped'


class Scored:
    """A policy server in the time of the test, its robot, and somebody who scores."""

    def __init__(self, start, contract):
        self.bench = start(PolicyServer, contract=str(contract.file), mode='random',
                           use_sim_time=True)
        self.arm = Arm(self.bench, contract, mute=True)
        self._clock = self.bench.publisher(Clock, '/clock', DRIVER)
        self._score = self.bench.publisher(Float32, 'score', DRIVER)
        self.score, self.in_force = None, {}        # the second by the stamp of an observation
        self.bench.until(lambda: self.bench.status.get('text', '').endswith('idle'))

    def run(self):
        return self.bench.call(SetBool, 'policy_server/run', data=True)

    def pass_period(self, score: float | None) -> None:
        """Let a control period pass: an observation, its score where there is one, then time."""
        bench, assembler, arm = self.bench, self.bench.node._assembler, self.arm
        arm.observe()
        bench.until(lambda: assembler.newest == arm.now)
        if score is not None:
            self._score.publish(Float32(data=score))
            bench.until(lambda: assembler._held[-1].values == [score] or assembler.refused)
            self.score = score
        now = arm.now       # a reset in between moves it on
        self.in_force[now] = self.score
        self._clock.publish(Clock(clock=Time(nanoseconds=now).to_msg()))
        bench.until(lambda: bench.node.get_clock().now().nanoseconds == now)
        bench.settle()


@pytest.fixture
def scored(start, make_contract):
    return Scored(start, make_contract(**{FUNCTION: TOPIC}))


def begin(scored) -> None:
    """Start an episode whose first observation was scored 9."""
    scored.pass_period(None)        # time begins
    assert scored.run().success
    while not scored.arm.steps:
        scored.pass_period(9.0)


def test_each_record_holds_the_score_that_was_newest(scored):
    begin(scored)
    steps = scored.arm.steps
    for score in (0.25, 0.5, None, 0.75):
        scored.pass_period(score)
        scored.bench.until(lambda: steps[-1].stamp == scored.arm.now)
    assert [step.reward for step in steps] == [scored.in_force[step.stamp] for step in steps]
    assert [step.reward for step in steps][-5:] == [9.0, 0.25, 0.5, 0.5, 0.75]


def test_a_score_that_falls_silent_stops_the_robot_until_it_is_heard_and_cleared(scored):
    begin(scored)
    while not scored.arm.steps or scored.arm.steps[-1].status is Status.RUNNING:
        scored.pass_period(None)
    last = scored.arm.steps[-1]
    assert last.status is Status.BROKEN and last.reward is None
    assert np.array_equal(last.executed, np.zeros(2))
    reason = scored.bench.event('stop')['reason']
    assert reason == 'reward_stale: reward on score is 0.15 s old, max_age 0.12 s'
    refused = scored.bench.call(Trigger, 'policy_server/clear_stop').message
    assert refused.startswith('still stopped: reward_stale: reward on score is 0.')
    scored.pass_period(1.0)
    assert scored.bench.call(Trigger, 'policy_server/clear_stop').success


def test_no_episode_begins_without_a_score_and_the_status_says_why(scored):
    scored.pass_period(None)
    scored.run()
    for _ in range(3):
        scored.pass_period(None)
    scored.bench.until(lambda: scored.bench.status['text'].endswith(
        'waiting for fresh observations: reward_stale: reward never arrived on score'))
    assert not scored.arm.actions


def test_a_score_that_is_not_finite_is_refused_with_its_reason(scored):
    scored.pass_period(None)
    scored.pass_period(float('nan'))
    scored.bench.until(lambda: scored.bench.status.get('refused_reward') == (
        'std_msgs/msg/Float32: data is not finite'))


def score(stamp: int) -> float:
    """Return what the observation of a stamp in ns is worth; a multiple of 1/8 below 128."""
    return stamp // PERIOD % 1024 / 8


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    """Run two episodes of the simulated graph; the operator scores every observation."""
    folder = tmp_path_factory.mktemp('scored')
    text = contract_path('reach').read_text()
    (folder / 'contract.yaml').write_text(text.replace(FUNCTION, STAMPED))
    graph = Graph(folder, {'sac_learner': {'width': 8, 'start_transitions': 1_000_000}},
                  str(folder / 'contract.yaml'), seed=3)
    graph.records = []
    scores = graph.operator.create_publisher(PointStamped, 'score', DRIVER)

    def judge(message) -> None:
        scored = PointStamped(header=message.header)
        scored.point.x = score(stamp_of(message))
        scores.publish(scored)

    graph.operator.create_subscription(PointStamped, 'tip', judge, DRIVER)
    graph.operator.create_subscription(
        UInt8MultiArray, 'transitions', lambda message: graph.records.append(
            decode_episode(bytes(message.data), graph.contract, 'transitions')), STREAM)
    graph.until(lambda: scores.get_subscription_count() == 2)       # policy server and recorder
    graph.until(lambda: graph.operator.count_publishers('transitions'))
    graph.episodes(2)
    graph.until(lambda: len({record.name for record in graph.records}) == 2)
    graph.settle()
    yield graph
    graph.close()


def test_the_transitions_carry_exactly_what_was_published_for_where_they_led(graph):
    assert len(find_bags(graph.bags)) == 2
    for bag in find_bags(graph.bags):
        stamps = [step.stamp for step in bag_steps(bag, graph.contract)]
        expected = [score(stamp) for stamp in stamps[1:]]
        assert len(expected) > 5
        assert bag_transitions(bag, graph.contract).reward.tolist() == expected
        sent, = {record.transitions.reward.tobytes() for record in graph.records
                 if record.name == bag.name}
        assert sent == np.array(expected, np.float32).tobytes()


def test_the_reward_topic_is_in_the_bag_as_it_was_published(graph):
    for bag in find_bags(graph.bags):
        found = [cdr.decode(POINT, message.data) for message in read_bag(bag, ['/score'])]
        assert found and all(message.point.x == score(stamp_of(message)) for message in found)


def test_the_raw_topics_of_the_bags_give_the_same_rewards_by_alignment(graph, tmp_path):
    raw = Ingest([raw_copy(graph.bags, tmp_path / 'raw')], graph.contract)
    aligned = {step.stamp: step.reward for found in raw for step in found.steps}
    for bag in find_bags(graph.bags):
        recorded = {step.stamp: step.reward for step in bag_steps(bag, graph.contract)}
        both = recorded.keys() & aligned.keys()
        assert len(both) > 5        # a slow recorder opens the first bag after some observations
        assert [aligned[stamp] for stamp in both] == [recorded[stamp] for stamp in both]


def raw_copy(bags, folder):
    """Write what others would have of all episodes: in wall time, no records, no events.

    One recording of all: beside a recorder that lags, what an episode observed is in the bag of
    the one before.
    """
    found = find_bags(bags)
    topics = {name: topic.type for bag in found for name, topic in read_info(bag).topics.items()
              if name.rpartition('/')[2] not in ('steps', 'events')}
    writer = BagWriter(folder, {})
    ids = {name: writer.add_topic(name, kind) for name, kind in topics.items()}
    messages = [message for bag in found for message in read_bag(bag, topics)]
    for message in sorted(messages, key=lambda message: message.publish_time):
        writer.write(ids[message.topic], message.data, *[message.publish_time] * 2)
    writer.close({})
    return folder
