"""A learner that starts from a policy of the simulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reaching import REACH
from robot_rl.errors import UserError
from robot_rl.learning.policy import decode_policy
from small_learners import fed, FEW, learner, rewrite, SMALL, transitions
import torch

WARM = replace(FEW, start_from='sim_optimal')


def trained(**sac) -> bytes:
    """Return an actor as the simulator would give it: learned, with a normaliser of its own."""
    found = learner(replace(FEW, seed=9), replace(SMALL, **sac))
    found.add('sim', transitions(60, 5, scale=4.0), 1)
    found.train(8)
    return found.actor()


def test_a_learner_that_starts_from_a_policy_owes_nothing_until_it_comes():
    found = learner(WARM)
    found.add('a', transitions(40), 1)
    assert (found.waiting, found.owed) == (True, 0)
    found.start_from(trained(), 'x')
    assert (found.waiting, found.owed) == (False, 40)


def test_it_starts_with_the_policys_actor_and_normalizer_bit_for_bit():
    found, data = learner(WARM), trained()
    fresh = found.state
    found.start_from(data, 'x')
    mine, given = (decode_policy(one, REACH, 'x') for one in (found.actor(), data))
    for (weight, bias), (expected_weight, expected_bias) in zip(mine.layers, given.layers,
                                                                strict=True):
        assert np.array_equal(weight, expected_weight) and np.array_equal(bias, expected_bias)
    assert np.array_equal(mine.normalizer.mean, given.normalizer.mean)
    assert np.array_equal(mine.normalizer.std, given.normalizer.std)
    assert not found.state.actor.mean.any() and not found.state.actor.square.any()
    assert found.state.critic is fresh.critic and mine.version == 0


def test_the_policys_normalizer_stays_when_training_begins():
    found, data = learner(WARM), trained()
    found.start_from(data, 'x')
    found.add('a', transitions(40, scale=50.0), 1)
    found.train(1)
    assert np.array_equal(found.normalizer.mean, decode_policy(data, REACH, 'x').normalizer.mean)


def test_an_actor_keeps_to_the_policy_until_its_first_actor_update():
    found, data = learner(WARM, replace(SMALL, actor_period=20)), trained()
    found.start_from(data, 'x')
    found.add('a', transitions(40), 1)
    start = found.state.actor.value
    found.train(19)
    assert found.state.actor.value is start
    found.train(1)
    assert not torch.equal(found.state.actor.value, start)


@pytest.mark.parametrize(('sac', 'said'), [
    ({'width': 24}, 'expected width 16 and depth 2, found width 24 and depth 2; set width'),
    ({'depth': 3}, 'expected width 16 and depth 2, found width 16 and depth 3; set width')])
def test_a_policy_of_other_sizes_is_refused_and_the_learner_waits_on(sac, said):
    found = learner(WARM)
    before = found.actor()
    with pytest.raises(UserError, match=f'^topic x: {said}'):
        found.start_from(trained(**sac), 'topic x')
    assert found.waiting and found.actor() == before


def test_what_an_actor_started_from_is_told_and_outlives_a_restart(tmp_path):
    first = learner(WARM)
    first.start_from(trained(), 'x')
    first.add('a', transitions(40), 1)
    first.train(7)
    first.save(tmp_path, keep=2)
    for config in (WARM, FEW):
        resumed = learner(config)
        resumed.resume(tmp_path)
        assert not resumed.waiting
        assert decode_policy(resumed.actor(), REACH, 'x').manifest['provenance'][
            'started_from'] == 'sim_optimal'
        resumed.add('a', transitions(40), 1)
        resumed.train(3)
    first.train(3)
    assert resumed.state.actor.value.equal(first.state.actor.value)


def test_a_start_that_was_saved_before_the_first_update_is_not_lost(tmp_path):
    first, data = learner(WARM), trained()
    first.start_from(data, 'x')
    first.save(tmp_path, keep=2)
    resumed = learner(WARM)
    resumed.resume(tmp_path)
    assert not resumed.waiting and resumed.actor() == first.actor()
    resumed.add('a', transitions(40), 1)
    resumed.train(1)
    assert np.array_equal(resumed.normalizer.mean, first.normalizer.mean)


def test_an_actor_that_started_from_nothing_says_so():
    assert decode_policy(fed().actor(), REACH, 'x').manifest['provenance']['started_from'] == ''


def test_a_checkpoint_from_before_there_were_starts_is_taken_up(tmp_path):
    found = fed()
    found.train(4)
    path = found.save(tmp_path, keep=2)
    rewrite(path, lambda arrays, manifest: manifest.pop('started_from'))
    resumed = learner(WARM)
    assert 'start_from has no effect' in resumed.resume(tmp_path)
    assert (resumed.updates, resumed.started_from, resumed.waiting) == (4, '', False)
