"""Modes scripted and demonstrate in the whole graph: what the recorder writes of them."""

from __future__ import annotations

from graphs import Graph
from made_policies import demonstrator
import numpy as np
import pytest
from robot_rl.casting import Casting, Schedule
from robot_rl.data.bag import bag_steps, find_bags, read_info
from robot_rl.data.ingest import Ingest
from robot_rl.data.steps import Mode, Source
from robot_rl.policies import PolicyShelf
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import LATCHED
from std_msgs.msg import UInt8MultiArray

SMALL = {'sac_learner': {'width': 8, 'start_transitions': 1_000_000}}
SEED = 3
PLAN = np.tile([0.2, 0.1, -0.1], (4, 1))        # rad/s


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    """Two episodes of the scripted person, then one of a demonstrator."""
    graph = Graph(tmp_path_factory.mktemp('graph'), SMALL, contract='puck_push', seed=SEED)
    graph.episodes(2, 'scripted')
    publisher = graph.operator.create_publisher(UInt8MultiArray, 'demonstrator', LATCHED)
    publisher.publish(bytes_message(demonstrator(graph.contract, PLAN, version=4)))
    graph.until(lambda: graph.number('policy_server', 'demonstrator') == 4)
    graph.episodes(1, 'demonstrate')
    graph.until(lambda: len(find_bags(graph.bags)) == 3 and all(
        read_info(bag).complete for bag in find_bags(graph.bags)))
    yield graph
    graph.close()


@pytest.fixture(scope='module')
def bags(graph):
    """Return the bags by mode, and the steps of each."""
    found = {'scripted': [], 'demonstrate': []}
    for bag in find_bags(graph.bags):
        found[read_info(bag).custom_data['mode']].append(bag_steps(bag, graph.contract))
    return found


def test_a_scripted_episode_is_recorded_as_a_humans(bags):
    assert len(bags['scripted']) == 2
    for steps in bags['scripted']:
        assert {(step.mode, step.policy_version) for step in steps} == {(Mode.SCRIPTED, -1)}
        assert {step.source for step in steps[:-1]} == {Source.HUMAN}
        assert len(steps) > 20


def test_the_recorded_person_is_the_contracts_with_the_numbers_of_the_episode(graph, bags):
    casting = Casting(graph.contract, PolicyShelf(graph.contract))
    for number, steps in enumerate(bags['scripted'], start=1):
        _, person = casting.cast('scripted', Schedule(0.0, 0.0, 1), False, SEED, number)
        for step in steps[:-1]:
            assert np.array_equal(person.act(step.observation, None), step.requested)


def test_a_scripted_episode_is_read_as_a_demonstration_like_any_other(graph):
    taken = [found for found in Ingest([graph.bags], graph.contract) if found.steps]
    assert len(taken) == 3
    assert sum(found.steps[0].mode is Mode.SCRIPTED for found in taken) == 2


def test_an_episode_of_the_demonstrator_is_recorded_with_its_version(bags):
    [steps] = bags['demonstrate']
    assert {(step.mode, step.policy_version) for step in steps} == {(Mode.DEMONSTRATE, 4)}
    assert {step.source for step in steps[:-1]} == {Source.POLICY}
    off = np.array([step.requested for step in steps[:-1]]) - PLAN[0]
    assert 0.0 < np.abs(off).max() < 0.05


def test_the_learner_takes_the_robots_own_experience_and_not_the_scripted_persons(graph, bags):
    [steps] = bags['demonstrate']
    graph.until(lambda: graph.number('sac_learner', 'transitions_received') >= sum(
        len(steps) - 1 for found in bags.values() for steps in found))
    graph.until(lambda: graph.number('sac_learner', 'transitions_trained_on') == len(steps) - 1)
