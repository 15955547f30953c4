"""The SAC update against plain torch modules, optimisers and distributions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from robot_rl.learning.config import SacConfig
from robot_rl.learning.sac import Batch, Sac, SacState
import torch
from torch import nn
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform
from torch_networks import flatten, network

N, M, B = 4, 2, 32
SMALL = SacConfig(width=16, learning_rate=1e-3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(**config) -> tuple[Sac, SacState]:
    sac = Sac(N, M, replace(SMALL, **config))
    return sac, sac.init(generator())


def make_batch(seed: int = 1, terminated: float | None = None) -> Batch:
    g = generator(seed)
    flags = (torch.rand(B, generator=g) < 0.3).float()
    return Batch(torch.randn(B, N, generator=g), torch.rand(B, M, generator=g) * 2 - 1,
                 torch.randn(B, generator=g), torch.randn(B, N, generator=g),
                 flags if terminated is None else torch.full((B,), terminated))


def squashed(actor: nn.Module, observation: torch.Tensor):
    """Return the policy's distribution before tanh, from the definition."""
    mean, spread = actor(observation).chunk(2, -1)
    return Normal(mean, torch.exp(-5.0 + 3.5 * (torch.tanh(spread) + 1.0)))


def goals(sac, state, batch, noise, members) -> torch.Tensor:
    """Return the regression target of soft policy evaluation, written out."""
    with torch.no_grad():
        normal = squashed(network(sac.actor, state.actor.value[0]), batch.next_observation)
        raw = normal.mean + normal.stddev * noise
        action = torch.tanh(raw)
        log_prob = (normal.log_prob(raw) - torch.log(1 - action ** 2)).sum(-1)
        inputs = torch.cat([batch.next_observation, action], -1)
        values = [network(sac.critic, state.target[member])(inputs)[:, 0] for member in members]
        soft = torch.stack(values).min(0).values - state.temperature.value.exp() * log_prob
        return (batch.reward + sac.config.discount * (1 - batch.terminated) * soft)[0]


def critics_after(sac, state, batch, goal) -> torch.Tensor:
    """Return every critic after one step of torch's Adam towards the goal."""
    after = []
    for flat in state.critic.value:
        critic = network(sac.critic, flat)
        optimizer = torch.optim.Adam(critic.parameters(), sac.config.learning_rate)
        prediction = critic(torch.cat([batch.observation, batch.action], -1))[:, 0]
        nn.functional.mse_loss(prediction, goal).backward()
        optimizer.step()
        after.append(flatten(critic))
    return torch.stack(after)


def one_update(sac, state, batch) -> SacState:
    return sac.update(state, batch, generator(7), with_actor=False)[0]


def noise() -> torch.Tensor:
    return torch.randn(B, M, generator=generator(7))


def test_log_probability_is_that_of_the_squashed_normal():
    sac, state = make()
    observation = make_batch().observation
    action, log_prob = sac.sample(state.actor.value, observation, noise())
    normal = squashed(network(sac.actor, state.actor.value[0]), observation)
    distribution = TransformedDistribution(normal, TanhTransform())
    assert torch.allclose(log_prob, distribution.log_prob(action).sum(-1), atol=1e-3)
    exact = squashed(network(sac.actor, state.actor.value[0]).double(), observation.double())
    raw = exact.mean + exact.stddev * noise().double()
    reference = TransformedDistribution(exact, TanhTransform()).log_prob(torch.tanh(raw)).sum(-1)
    assert torch.allclose(log_prob.double(), reference, rtol=1e-4, atol=1e-4)


def test_log_probability_stays_finite_where_tanh_saturates():
    sac, state = make()
    _, log_prob = sac.sample(state.actor.value, make_batch().observation,
                             torch.full((B, M), 50.0))
    assert torch.isfinite(log_prob).all()


@pytest.mark.parametrize('layer_norm', [True, False])
def test_a_critic_update_is_one_adam_step_on_the_bellman_error(layer_norm):
    sac, state = make(layer_norm=layer_norm)
    batch = make_batch()
    expected = critics_after(sac, state, batch, goals(sac, state, batch, noise(), (0, 1)))
    found = one_update(sac, state, batch)
    assert torch.allclose(found.critic.value, expected, rtol=0.0, atol=1e-5)
    assert not torch.allclose(state.critic.value, expected, atol=5e-4)
    assert torch.allclose(found.target, 0.995 * state.target + 0.005 * expected, atol=1e-6)
    assert found.updates == 1 and torch.equal(found.actor.value, state.actor.value)


def test_the_target_is_the_minimum_not_the_mean_nor_one_critic():
    sac, state = make()
    batch = make_batch()
    found = one_update(sac, state, batch).critic.value
    for members in ((0,), (1,)):
        other = critics_after(sac, state, batch, goals(sac, state, batch, noise(), members))
        assert not torch.allclose(found, other, rtol=0.0, atol=1e-5)


def test_the_target_uses_a_random_subset_of_the_critics():
    sac, state = make(critics=5, critic_subset=2)
    batch, g = make_batch(), generator(7)
    torch.randn(B, M, generator=g)
    chosen = torch.randperm(5, generator=g)[:2].tolist()
    expected = critics_after(sac, state, batch, goals(sac, state, batch, noise(), chosen))
    assert torch.allclose(one_update(sac, state, batch).critic.value, expected, atol=1e-5)


def test_termination_stops_the_bootstrap():
    sac, state = make()
    ended = make_batch(terminated=1.0)
    elsewhere = replace(ended, next_observation=ended.next_observation + 3.0)
    assert torch.equal(one_update(sac, state, ended).critic.value,
                       one_update(sac, state, elsewhere).critic.value)
    assert torch.allclose(one_update(sac, state, ended).critic.value,
                          critics_after(sac, state, ended, ended.reward), atol=1e-5)


def test_truncation_does_not_stop_the_bootstrap():
    sac, state = make()
    cut = make_batch(terminated=0.0)
    elsewhere = replace(cut, next_observation=cut.next_observation + 3.0)
    assert not torch.allclose(one_update(sac, state, cut).critic.value,
                              one_update(sac, state, elsewhere).critic.value, atol=1e-5)


def test_an_actor_update_is_one_adam_step_on_value_and_entropy():
    sac, state = make()
    batch = make_batch()
    actor = network(sac.actor, state.actor.value[0])
    optimizer = torch.optim.Adam(actor.parameters(), sac.config.learning_rate)
    normal = squashed(actor, batch.observation)
    raw = normal.mean + normal.stddev * noise()
    action = torch.tanh(raw)
    log_prob = (normal.log_prob(raw) - torch.log(1 - action ** 2)).sum(-1)
    value = torch.stack([network(sac.critic, flat)(torch.cat([batch.observation, action], -1))
                         for flat in state.critic.value]).mean(0)[:, 0]
    (0.2 * log_prob - value).mean().backward()
    optimizer.step()
    found, metrics = sac.step_actor(state, batch, sac.noise(batch, generator(7)))
    assert torch.allclose(found.actor.value[0], flatten(actor), atol=1e-5)
    assert metrics['entropy'] == pytest.approx(-log_prob.mean().item(), abs=1e-4)
    assert found.actor_updates == 1 and torch.equal(found.critic.value, state.critic.value)


@pytest.mark.parametrize(('target', 'sign'), [(-20.0, -1), (20.0, 1)])
def test_the_temperature_falls_above_the_target_entropy_and_rises_below(target, sign):
    sac, state = make(target_entropy=target)
    found, _ = sac.step_actor(state, make_batch(), sac.noise(make_batch(), generator()))
    change = found.temperature.value - state.temperature.value
    assert change.item() == pytest.approx(sign * SMALL.learning_rate, rel=1e-3)


def test_an_update_leaves_the_state_it_started_from_unchanged():
    sac, state = make()
    before = {name: value.clone() for name, value in state.tensors().items()}
    sac.update(state, make_batch(), generator(), with_actor=True)
    assert all(torch.equal(before[name], value) for name, value in state.tensors().items())


def test_a_state_survives_taking_apart():
    sac, state = make()
    state, _ = sac.update(state, make_batch(), generator(), with_actor=True)
    named = state.tensors()
    again = SacState.from_tensors(dict(reversed(named.items()))).tensors()
    assert again.keys() == named.keys() and len(named) == 12
    assert all(torch.equal(again[name], value) for name, value in named.items())
