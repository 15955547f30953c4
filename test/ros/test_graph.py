"""The nodes of kind `sim` as processes: what one writes is what the other learns from."""

from __future__ import annotations

from graphs import Graph
import numpy as np
import pytest
from robot_rl.data.bag import bag_transitions, find_bags
from robot_rl.data.episode_message import decode_episode
from robot_rl.data.transitions import COLUMNS
from robot_rl.ros.qos import STREAM
from std_msgs.msg import UInt8MultiArray

SMALL = {'sac_learner': {'width': 8, 'start_transitions': 1_000_000}}
EPISODES = 5        # of at most 50 steps


def started(folder, seed: int = 3) -> Graph:
    graph = Graph(folder, SMALL, seed=seed)
    graph.received = []
    graph.operator.create_subscription(
        UInt8MultiArray, 'transitions', lambda message: graph.received.append(
            decode_episode(bytes(message.data), graph.contract, 'transitions')), STREAM)
    graph.until(lambda: graph.operator.count_publishers('transitions'))
    return graph


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    graph = started(tmp_path_factory.mktemp('graph'))
    graph.episodes(EPISODES)
    graph.until(lambda: len({record.name for record in graph.received}) == EPISODES)
    yield graph
    graph.close()


def columns(folder, contract) -> list[np.ndarray]:
    """Return all transitions of a run's bags in order, one array per column."""
    bags = [bag_transitions(bag, contract) for bag in find_bags(folder)]
    return [np.concatenate([getattr(part, name) for part in bags]) for name in COLUMNS]


def test_what_travels_is_bit_equal_to_what_the_bags_give(graph):
    for record in graph.received:       # some come twice: the learner asks for all at its start
        derived = bag_transitions(graph.bags / record.name, graph.contract)
        for name in COLUMNS:
            assert getattr(record.transitions, name).tobytes() == getattr(derived, name).tobytes()
    assert {record.name for record in graph.received} == {
        bag.name for bag in find_bags(graph.bags)}


def test_no_action_leaves_the_limits(graph):
    actions = columns(graph.bags, graph.contract)[COLUMNS.index('action')]
    action = graph.contract.action
    assert ((action.low <= actions) & (actions <= action.high)).all()


def test_a_restarted_learner_is_refilled_with_the_same_transitions(graph):
    graph.settle()
    before = graph.number('sac_learner', 'transitions_received')
    graph.kill('sac_learner')
    graph.settle()
    assert graph.number('sac_learner', 'transitions_received') == before > 0


def test_the_same_seed_gives_the_same_transitions_in_another_run(graph, tmp_path):
    found = columns(graph.bags, graph.contract)
    graph.close()       # one graph at a time in this domain
    again = started(tmp_path)
    try:
        again.episodes(EPISODES)
        again.settle()
        repeated = columns(again.bags, again.contract)
    finally:
        again.close()
    assert len(found[0]) >= 200
    for name, first, second in zip(COLUMNS, found, repeated, strict=True):
        assert first.tobytes() == second.tobytes(), name
