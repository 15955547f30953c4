"""A learner: what it owes, what it draws and normalises, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reaching import greedy_success, REACH, unrewarded
from robot_rl.errors import UserError
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_policy
from small_learners import fed, FEW, learner, SMALL, transitions
import torch


def test_an_episode_that_comes_twice_counts_once():
    found = learner()
    assert found.add('a', transitions(10), 5)
    assert not found.add('a', transitions(10), 6)
    assert len(found.replays['robot']) == 10 and len(found.episodes) == 1
    assert found.newest_stamp == 5


@pytest.mark.parametrize('source', ['online', 'explorers'])
def test_what_a_person_did_is_kept_as_experience_and_as_a_demonstration(source):
    found, human = learner(), np.zeros(10, np.float32)
    human[[3, 4, 8]] = 1.0
    found.add('a', replace(transitions(10), human=human), 5, source)
    assert (len(found.replays['robot']), len(found.replays['demos'])) == (10, 3)
    assert found.collected == 10 and found.counts['demos'] == 3
    rows = found.replays['robot'].rows[[3, 4, 8]]
    assert torch.equal(found.replays['demos'].rows, rows)


def test_nothing_is_owed_until_enough_is_collected():
    found = learner()
    found.add('a', transitions(19), 1)
    assert found.owed == 0
    found.add('b', transitions(1), 2)
    assert found.owed == 20


@pytest.mark.parametrize(('ratio', 'owed'), [(0.5, 20), (1.0, 40), (4.0, 160)])
def test_updates_are_owed_per_online_transition_and_paid_by_training(ratio, owed):
    found = fed(utd_ratio=ratio)
    assert found.owed == owed
    found.train(5)
    assert found.owed == owed - 5 and found.updates == 5
    found.add('new', transitions(10), 9)
    assert found.owed == owed - 5 + 10 * ratio


def test_explorers_owe_updates_as_the_learners_own_episodes_do():
    found = learner()
    found.add('a', transitions(15), 1)
    found.add('b', transitions(25), 2, 'explorers')
    assert len(found.replays['robot']) == 40
    assert found.counts == {'online': 15, 'explorers': 25, 'demos': 0}
    assert found.collected == found.owed == 40
    assert found.newest_stamp == 2 and len(found.episodes) == 2


@pytest.mark.parametrize(('weight', 'share'), [(1.0, 0.5), (3.0, 0.75), (0.0, 0.0)])
def test_demos_have_their_share_and_the_robots_transitions_are_drawn_alike(
        monkeypatch, weight, share):
    found, drawn = learner(replace(FEW, batch=3000, demo_weight=weight)), []
    for source, reward in (('online', 1.0), ('explorers', 2.0), ('demos', 3.0)):
        sent = transitions(10 * int(reward))
        sent.reward[:] = reward
        if source == 'demos':
            found.add_demos(sent)
        else:
            found.add(source, sent, 1, source)
    update = found.method.rule.update

    def look(state, batch, *rest):
        drawn.append(batch.reward)
        return update(state, batch, *rest)
    monkeypatch.setattr(found.method.rule, 'update', look)
    found.train(3)
    assert all((reward == 3.0).sum() == share * 3000 for reward in drawn)
    # 10 of the learner's own and 20 of the explorers'; the deviation of the mean is below 0.01.
    own = torch.cat([reward[reward < 3.0] for reward in drawn]) == 1.0
    assert abs(own.double().mean() - 1 / 3) < 0.05


def test_demos_count_for_the_start_but_owe_no_updates():
    found = learner()
    found.add_demos(transitions(1000))
    assert found.owed == 0
    found.add('a', transitions(3), 1)
    assert found.owed == 3


def test_nothing_is_owed_where_nothing_may_be_drawn():
    found = learner(replace(FEW, demo_weight=0.0, critic_warmup=5))
    found.add_demos(transitions(30))
    assert found.owed == 0
    found.add('a', transitions(10), 1)
    assert found.owed == 15
    found.train(1)


def test_a_subset_larger_than_the_ensemble_is_refused():
    with pytest.raises(UserError, match='critic_subset: expected at most critics = 2, found 3'):
        learner(sac=replace(SMALL, critic_subset=3))


def test_training_nothing_changes_nothing():
    found = learner()
    before = found.actor()
    assert found.train(0) == {} and found.actor() == before
    decode_policy(before, REACH, 'test')


def test_actions_are_learned_in_units_of_their_range():
    found, sent = learner(), transitions(10)
    found.add('a', sent, 1)
    assert torch.allclose(found.replays['robot'].rows[:, 6:8],
                          torch.from_numpy(sent.action) / 2.5, atol=1e-6)


def test_the_normalizer_follows_what_is_seen_from_all_sources():
    found = learner()
    first, demo, wider = transitions(200, scale=2.0), transitions(50, 1), transitions(200, 2, 50.0)
    first.observation[:, 5] = demo.observation[:, 5] = 1.0      # does not move
    found.add('a', first, 1)
    found.add_demos(demo)
    for seen in ([first, demo], [first, demo, wider]):
        found.train(1)
        seen = np.concatenate([each.observation for each in seen])
        assert np.allclose(found.normalizer.mean, seen.mean(0), rtol=1e-4)
        assert np.allclose(found.normalizer.std[:5], seen[:, :5].std(0), rtol=1e-4)
        # One that has not moved may move yet: until then it is in its unit.
        assert found.normalizer.std[5] == (1.0 if len(seen) == 250 else
                                           pytest.approx(seen[:, 5].std(), rel=1e-4))
        found.add('b', wider, 2)


def test_an_actor_acts_with_the_normalizer_that_it_was_trained_with():
    found = fed()
    found.train(1)
    before = decode_policy(found.actor(), REACH, 'test').normalizer
    found.add('later', transitions(100, 9, scale=50.0), 9)
    after = decode_policy(found.actor(), REACH, 'test').normalizer
    assert np.array_equal(after.mean, before.mean) and np.array_equal(after.std, before.std)


def test_states_are_imitated_in_without_a_copy_of_their_whole_rows():
    found = fed()
    found.add_demos(transitions(30, seed=9))
    seen = found._observations()
    rows = torch.cat([source.rows for source in found.replays.values()])
    assert np.array_equal(seen, rows[:, :6].numpy()) and len(seen) == 70
    assert seen.flags.c_contiguous      # else they are the beginnings of a copy's rows


def test_the_actor_is_updated_once_per_period():
    found = learner(sac=replace(SMALL, actor_period=3))
    found.add('a', transitions(50), 1)
    found.train(10)
    assert found.state.updates == 10 and found.state.actor_updates == 3


def test_metrics_are_those_of_critic_and_actor():
    assert fed().train(4).keys() == {'critic_loss', 'q_mean', 'actor_loss', 'entropy',
                                     'temperature'}


def test_an_actor_tells_where_it_comes_from():
    found = fed()
    found.train(6)
    found.learned_stamp = 3
    manifest = decode_policy(found.actor(), REACH, 'test').manifest
    assert manifest['version'] == 6
    assert {key: manifest['provenance'][key] for key in (
        'seed', 'updates', 'episodes', 'transitions', 'learned_stamp')} == {
            'seed': 0, 'updates': 6, 'episodes': 4, 'transitions': 40, 'learned_stamp': 3}


def test_the_same_seed_and_data_give_the_same_bits():
    runs = [fed(seed=seed) for seed in (1, 1, 2)]
    for run in runs:
        run.train(10)
    assert runs[0].actor() == runs[1].actor() != runs[2].actor()


def test_training_in_portions_is_training_at_once():
    portions, at_once = fed(), fed()
    for count in (1, 2, 7):
        portions.train(count)
    at_once.train(10)
    assert portions.actor() == at_once.actor()


def reacher(seed: int, contract=REACH, **config) -> Learner:
    return Learner(contract, LearnerConfig(seed=seed, start_transitions=300, **config),
                   SacConfig(width=128))


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_it_learns_to_reach_within_2000_steps(seed):
    assert greedy_success(reacher(seed), 2000) >= 0.9


def test_it_learns_as_much_where_products_are_rounded():
    assert greedy_success(reacher(0, bfloat16=True), 2000) >= 0.9


def test_it_does_not_learn_to_reach_without_reward():
    assert greedy_success(reacher(0, unrewarded()), 1500) < 0.5
