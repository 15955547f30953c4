"""The learner with core xqc: what it is built of, that it learns, and that it goes on exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reaching import greedy_success, REACH, transitions, unrewarded
from robot_rl.errors import UserError
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_policy
from robot_rl.learning.training_curves import expectation
from robot_rl.learning.xqc import Xqc
import torch

SMALL = SacConfig(width=16, depth=2, actor_period=3)
FEW = LearnerConfig(core='xqc', start_transitions=20, batch=16)
PAY = 5.0           # of which rewards deviate: no unit of theirs is 1


def fed(**changes) -> Learner:
    found = Learner(REACH, replace(FEW, **changes), SMALL)
    for episode in range(4):
        found.add(f's/{episode}', transitions(10, episode, PAY), episode)
    return found


def test_the_robot_runs_a_plain_network_of_the_same_function():
    found = fed()
    found.train(12)
    policy = decode_policy(found.actor(), REACH, 'x')
    assert policy.version == 12 and len(policy.layers) == 3
    seen = np.random.default_rng(0).normal(size=(20, 6))
    mean, _ = found.method.rule.distribution(found.state.actor.value,
                                             torch.from_numpy(policy.normalizer(seen)))
    acted = np.array([policy.act(row, None) for row in seen])
    assert np.allclose(acted, 2.5 * torch.tanh(mean).numpy(), atol=1e-5)
    assert isinstance(found.method.rule, Xqc)


def test_rewards_are_in_a_unit_that_follows_the_returns(monkeypatch):
    found, told = fed(), []
    update = found.method.rule.update
    monkeypatch.setattr(found.method.rule, 'update', lambda state, batch, *rest: (
        told.append(batch.reward), update(state, batch, *rest))[1])
    found.train(1)
    rewards = found.replays['robot'].rows[:, 8]
    known = found.returns.unit
    assert known > 5.0
    assert set(told[0].tolist()) <= set((rewards / known).tolist())


def test_sac_takes_rewards_as_they_are():
    found = fed(core='sac')
    assert found.returns.unit == 1.0 and not isinstance(found.method.rule, Xqc)


def test_it_goes_on_from_a_checkpoint_to_the_bit(tmp_path):
    first = fed()
    first.train(9)
    first.save(tmp_path, keep=2)
    resumed = Learner(REACH, FEW, SMALL)
    assert 'at 9 updates' in resumed.resume(tmp_path)
    for episode in range(4):
        resumed.add(f's/{episode}', transitions(10, episode, PAY), episode)
    first.train(7)
    resumed.train(7)
    assert resumed.actor() == first.actor()
    for name, value in first.state.tensors().items():
        assert torch.equal(resumed.state.tensors()[name], value), name


def test_a_checkpoint_of_the_other_core_is_refused(tmp_path):
    fed(core='sac').save(tmp_path, keep=2)
    with pytest.raises(UserError, match='core: expected "xqc", found "sac"; give the param'):
        Learner(REACH, FEW, SMALL).resume(tmp_path)


def test_what_a_person_did_counts_once_among_the_returns():
    plain, helped = fed(), Learner(REACH, FEW, SMALL)
    for episode in range(4):
        shown = transitions(10, episode, PAY)
        shown.human[2:5] = 1.0
        helped.add(f's/{episode}', shown, episode)
    assert helped.counts['demos'] == 12 and helped.returns.unit == plain.returns.unit


def test_what_it_tells_of_values_is_in_the_units_of_the_rewards():
    found = fed()
    found.train(3)
    told = expectation(found, transitions(10, pay=PAY))
    rule, seen = found.method.rule, transitions(10, pay=PAY)
    normalised = torch.from_numpy(found.normalizer(seen.observation[:1]))
    values = rule.values(found.state.critic.value, normalised,
                         torch.from_numpy(seen.action[:1] / 2.5))
    assert told['q_first'] == pytest.approx(float(values.mean()) * found.returns.unit, rel=1e-4)
    assert found.train(1)['q_mean'] == pytest.approx(told['q_first'], abs=found.returns.unit)


def test_a_batch_of_one_has_no_moments():
    with pytest.raises(UserError, match='batch: expected at least 2 with core xqc, .* found 1'):
        fed(batch=1)


@pytest.mark.parametrize('changes', [{'method': 'steer'}, {'start_from': 'sim_optimal'},
                                     {'start_from': 'demonstrator'}])
def test_it_starts_from_nothing_only(changes):
    with pytest.raises(UserError, match='core: expected sac with .*, found xqc, which starts'):
        Learner(REACH, replace(FEW, **changes), SMALL)


def reacher(seed: int, contract=REACH) -> Learner:
    return Learner(contract, LearnerConfig(core='xqc', seed=seed, start_transitions=300,
                                           batch=128),
                   SacConfig(width=96, depth=2, discount=0.9, learning_rate=1e-3,
                             target_rate=0.05, actor_period=3, initial_temperature=0.1))


@pytest.mark.parametrize('seed', [0, 1])
def test_it_learns_to_reach_within_1500_steps(seed):
    assert greedy_success(reacher(seed), 1500) >= 0.9


def test_it_does_not_learn_to_reach_without_reward():
    assert greedy_success(reacher(0, unrewarded()), 1500) < 0.5
