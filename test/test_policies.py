from __future__ import annotations

from made_policies import actor, demonstrator, explorers, steered
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import Mismatch, UserError
from robot_rl.policies import PolicyShelf, TOPICS

REACH, PUCK = load_contract('reach'), load_contract('puck_push')


def test_nothing_is_there_at_first():
    shelf = PolicyShelf(REACH)
    assert (shelf.version, shelf.newest, shelf.informed) == (-1, (-1, 0), False)
    assert (shelf.explorers, shelf.sim_optimal, shelf.demonstrator) == ((), None, None)
    assert shelf.swaps == 0


def test_each_topic_fills_its_own_place():
    shelf = PolicyShelf(REACH)
    shelf.offer(actor(REACH, 4, learned_stamp=9), 'actor')
    shelf.offer(actor(REACH, 800), 'sim_optimal')
    shelf.offer(explorers(REACH, (0.1, 0.1), (0.2, 0.2)), 'explorers')
    shelf.offer(demonstrator(REACH, np.zeros((4, 2)), version=2), 'demonstrator')
    assert shelf.newest == (4, 9)
    assert shelf.sim_optimal.policy.version == 800
    assert (shelf.demonstrator.policy.version, shelf.demonstrator.policy.chunk) == (2, 4)
    assert [policy.version for policy in shelf.explorers] == [0, 1]


def test_an_artifact_keeps_the_bytes_that_it_came_as():
    shelf, data = PolicyShelf(REACH), actor(REACH, 4)
    shelf.offer(data, 'sim_optimal')
    assert shelf.sim_optimal.data == data


def test_the_actor_in_use_changes_with_a_swap_only():
    shelf = PolicyShelf(REACH)
    shelf.offer(actor(REACH, 4), 'actor')
    assert (shelf.version, shelf.swaps) == (-1, 0)
    shelf.swap()
    shelf.swap()
    assert (shelf.version, shelf.swaps) == (4, 1)


@pytest.mark.parametrize(('version', 'started_from', 'informed'), [
    (0, '', False), (1, '', True), (0, 'sim_optimal', True)])
def test_an_actor_knows_more_than_chance_once_updated_or_started_from_a_policy(
        version, started_from, informed):
    shelf = PolicyShelf(REACH)
    shelf.offer(actor(REACH, version, started_from=started_from), 'actor')
    assert shelf.informed is informed


@pytest.mark.parametrize('topic', TOPICS)
def test_a_bad_artifact_is_refused_by_its_topic_and_the_last_good_one_stays(topic):
    def make(contract):
        action = (0.1,) * len(contract.action.layout)
        if topic == 'demonstrator':
            return demonstrator(contract, [action, action])
        return explorers(contract, action) if topic == 'explorers' else actor(contract, 3, action)

    shelf = PolicyShelf(REACH)
    shelf.offer(make(REACH), topic)
    before = getattr(shelf, topic)
    with pytest.raises(Mismatch, match=f'topic {topic}'):
        shelf.offer(make(PUCK), topic)
    with pytest.raises(UserError, match=f'topic {topic}'):
        shelf.offer(b'garbage', topic)
    assert getattr(shelf, topic) is before


def test_an_actor_may_be_a_steered_demonstrator():
    shelf = PolicyShelf(REACH)
    shelf.offer(steered(REACH, np.zeros((4, 2)), version=0, learned_stamp=6), 'actor')
    assert (shelf.newest, shelf.informed) == ((0, 6), True)


@pytest.mark.parametrize(('topic', 'kind'), [
    ('actor', 'gaussian or steered'), ('sim_optimal', 'gaussian'), ('explorers', 'explorers'),
    ('demonstrator', 'diffusion')])
def test_an_artifact_of_another_kind_is_refused(topic, kind):
    wrong = actor(REACH) if topic == 'explorers' else explorers(REACH, (0.1, 0.1))
    with pytest.raises(UserError, match=f'topic {topic}: kind: expected {kind}'):
        PolicyShelf(REACH).offer(wrong, topic)
