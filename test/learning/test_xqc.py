"""XQC: the projection and the update by their definitions, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from robot_rl.learning.config import SacConfig
from robot_rl.learning.sac import Batch, SacState, squashed
from robot_rl.learning.xqc import BINS, MOST, Xqc
import torch

N, M, B = 4, 2, 64
SMALL = SacConfig(width=32, depth=2, learning_rate=1e-3, initial_temperature=0.01,
                  target_rate=0.05)


def xqc(**changes) -> Xqc:
    return Xqc(N, M, replace(SMALL, **changes))


def fresh(rule: Xqc, seed: int = 0) -> SacState:
    return rule.init(torch.Generator().manual_seed(seed))


def batch(seed: int, terminated: float = 1.0) -> Batch:
    """Return transitions whose reward is the first action times 2."""
    g = torch.Generator().manual_seed(seed)
    action = 2.0 * torch.rand(B, M, generator=g) - 1.0
    return Batch(torch.randn(B, N, generator=g), action, 2.0 * action[:, 0],
                 torch.randn(B, N, generator=g), torch.full((B,), terminated))


def after(rule: Xqc, state: SacState, updates: int, terminated: float = 1.0,
          reward: float = 1.0) -> SacState:
    g = torch.Generator().manual_seed(2)
    for seed in range(updates):
        given = batch(seed, terminated)
        given = replace(given, reward=reward * given.reward)
        state, _ = rule.update(state, given, g, seed % 3 == 2)
    return state


def test_what_is_shared_among_bins_keeps_its_mass_and_its_mean():
    rule, g = xqc(), torch.Generator().manual_seed(0)
    values = 9.0 * torch.rand(20, BINS, generator=g) - 4.5
    probability = torch.rand(20, BINS, generator=g).softmax(-1)
    shared = rule.onto_bins(values, probability)
    assert torch.allclose(shared.sum(-1), torch.ones(20), atol=1e-5)
    assert torch.allclose(shared @ rule.bins, (probability * values).sum(-1), atol=1e-4)


@pytest.mark.parametrize('value, expected', [
    (0.5, {55: 1.0}), (0.53, {55: 0.7, 56: 0.3}), (-99.0, {0: 1.0}), (7.0, {BINS - 1: 1.0})])
def test_a_value_goes_to_the_bins_beside_it_or_to_the_last(value, expected):
    rule = xqc()
    probability = torch.zeros(1, BINS)
    probability[0, 3] = 1.0
    values = torch.full((1, BINS), 2.0)
    values[0, 3] = value
    shared = rule.onto_bins(values, probability)[0]
    wanted = torch.zeros(BINS)
    for index, share in expected.items():
        wanted[index] = share
    assert torch.allclose(shared, wanted, atol=1e-4)


def test_values_are_the_means_and_stay_within_the_bins():
    rule = xqc()
    state, given = fresh(rule), batch(0)
    found = rule.values(state.critic.value, given.observation, given.action)
    assert found.shape == (2, B) and found.abs().max() < MOST
    logits = rule.critic(state.critic.value, torch.cat((given.observation, given.action), -1))
    assert torch.allclose(found, (logits.softmax(-1) * rule.bins).sum(-1), atol=1e-5)


def test_critics_learn_what_the_reward_is_and_the_actor_what_raises_it():
    rule = xqc()
    state, given = after(rule, fresh(rule), 800), batch(10_000)
    found = rule.values(state.critic.value, given.observation, given.action)
    assert (found - given.reward).abs().mean() < 0.2
    mode = torch.tanh(rule.distribution(state.actor.value, given.observation)[0])
    assert mode[:, 0].mean() > 0.7


def test_with_the_opposite_reward_it_learns_the_opposite():
    rule = xqc()
    state = after(rule, fresh(rule), 400, reward=-1.0)
    mode = torch.tanh(rule.distribution(state.actor.value, batch(1).observation)[0])
    assert mode[:, 0].mean() < -0.7


def test_what_follows_counts_where_nothing_ended():
    rule = xqc(discount=0.5)
    state, given = after(rule, fresh(rule), 600, terminated=0.0), batch(10_000)
    found = rule.values(state.critic.value, given.observation, given.action)
    after_it = 0.5 * (found - given.reward).mean()      # of the best actions: up to 2 each
    assert 0.4 < after_it < 1.1


def test_the_goal_is_of_the_target_that_expects_least():
    rule, told = xqc(), []
    rule.onto_bins = lambda values, probability: told.append(probability) or probability
    state, given = fresh(rule), batch(0, 0.0)
    for index, top in enumerate((70, 20)):          # bins, of which the second target's is less
        bias = rule.critic.split(state.target)[-1]
        bias[index, 0, top] = 1e3
    rule.step(state, given, torch.zeros(B, M), state.target, None)
    assert torch.allclose(told[0][:, 20], torch.ones(B))


def written_out(rule: Xqc, state: SacState, given: Batch, noise: torch.Tensor) -> float:
    """Return the critics' loss by its definition, value by value."""
    action, log_prob = rule.sample(state.actor.value, given.next_observation, noise)
    both = torch.cat((torch.cat((given.observation, given.action), -1),
                      torch.cat((given.next_observation, action), -1)))
    told = rule.critic.of_batch(state.critic.value, both)[0][:, :B].log_softmax(-1)
    follows = rule.critic.of_batch(state.target, both)[0][:, B:].softmax(-1)
    total = 0.0
    for row in range(B):
        least = min(follows[:, row], key=lambda one: float(one @ rule.bins))
        goal = torch.zeros(BINS)
        for index, bin_value in enumerate(rule.bins):
            value = given.reward[row] + (1.0 - given.terminated[row]) * rule.config.discount * (
                bin_value - state.temperature.value.exp()[0, 0] * log_prob[row])
            place = float((value.clamp(-MOST, MOST) + MOST) * (BINS - 1) / (2.0 * MOST))
            below = min(int(place), BINS - 2)
            goal[below] += least[index] * (below + 1 - place)
            goal[below + 1] += least[index] * (place - below)
        total -= float((goal * told[:, row]).sum()) / B
    return total


def test_the_loss_of_the_critics_is_that_of_its_definition():
    rule, g = xqc(initial_temperature=0.5), torch.Generator().manual_seed(3)
    state, noise = after(rule, fresh(rule), 4), torch.randn(B, M, generator=g)
    state = replace(state, target=fresh(rule, 5).target)
    given = replace(batch(7), terminated=(torch.rand(B, generator=g) < 0.3).float())
    _, metrics = rule.step(state, given, noise, state.target, None)
    assert float(metrics['critic_loss']) == pytest.approx(written_out(rule, state, given, noise),
                                                          rel=1e-4)


def test_the_actor_raises_the_least_critic_by_running_moments():
    rule, noise = xqc(), torch.randn(B, M, generator=torch.Generator().manual_seed(3))
    state, given = after(rule, fresh(rule), 4), batch(7)
    found = rule.actor.of_batch(state.actor.value, given.observation)[0][0]
    action, log_prob = squashed(found, noise)
    values = rule.values(state.critic.value, given.observation, action)
    assert (values[0] < values[1]).any() and (values[0] > values[1]).any()
    expected = state.temperature.value.exp()[0, 0] * log_prob - values.amin(0)
    _, metrics = rule.step_actor(state, given, noise)
    assert float(metrics['actor_loss']) == pytest.approx(float(expected.mean()), rel=1e-4)


def test_weights_stay_of_unit_norm_and_moments_follow_every_batch():
    rule = xqc()
    start = fresh(rule)
    one, _ = rule.update(start, batch(0), torch.Generator().manual_seed(0), False)
    state = after(rule, start, 6)
    for name in ('actor', 'critic'):
        mlp = getattr(rule, name)
        first, then, last = (mlp.split(getattr(one, name).value) for one in (start, one, state))
        assert all(torch.allclose(weight.norm(dim=1), torch.ones(()), atol=1e-5)
                   for weight in last[1:-1:2])
        for before, after_one in zip(first[:-1:2], then[:-1:2]):
            assert not torch.equal(before[:, 2], after_one[:, 2])
    assert torch.equal(rule.actor.split(one.actor.value)[1], rule.actor.split(
        start.actor.value)[1])                      # an update of the critics alone


def test_the_same_seed_gives_the_same_bits():
    one, again = (after(xqc(), fresh(xqc()), 5) for _ in range(2))
    assert all(torch.equal(tensor, again.tensors()[name])
               for name, tensor in one.tensors().items())
