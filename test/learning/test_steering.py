"""The steering update against plain torch modules and the equations, and on a small problem."""

from __future__ import annotations

from dataclasses import replace

from demonstrators import demonstrator
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.learning.config import SteerConfig
from robot_rl.learning.diffusion_policy import decode_demonstrator
from robot_rl.learning.sac import Batch
from robot_rl.learning.steering import Base, OPEN_STD, start_std, Steering, SteerState
import torch
from torch import nn
from torch_networks import flatten, network

REACH = load_contract('reach')
N, M, K, R, B = 6, 2, 3, 2, 32
SMALL = SteerConfig(width=16, learning_rate=1e-3)


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(spread: str = 'diagonal', **config) -> tuple[Steering, SteerState]:
    policy = decode_demonstrator(demonstrator(REACH, K, R, spread=spread), REACH, 'made')
    rule = Steering(N, Base.of(policy, 'made'), replace(SMALL, **config))
    state = rule.init(generator(0))
    moved = state.actor.value + 0.1 * torch.randn(state.actor.value.shape, generator=generator(1))
    return rule, replace(state, actor=replace(state.actor, value=moved))


def make_batch(terminated: float | None = None) -> Batch:
    g = generator(2)
    flags = (torch.rand(B, generator=g) < 0.3).float()
    return Batch(torch.randn(B, N, generator=g), torch.rand(B, R * M, generator=g) * 2 - 1,
                 torch.randn(B, generator=g), torch.randn(B, N, generator=g),
                 flags if terminated is None else torch.full((B,), terminated))


def after_adam(mlp, flat, inputs, goals) -> torch.Tensor:
    """Return each network after a step of torch's Adam towards its goal."""
    found = []
    for member, goal in zip(flat, goals):
        module = network(mlp, member)
        optimizer = torch.optim.Adam(module.parameters(), SMALL.learning_rate)
        nn.functional.mse_loss(module(inputs)[:, 0], goal).backward()
        optimizer.step()
        found.append(flatten(module))
    return torch.stack(found)


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the update draws: the steered noise's chance, and the prior noise."""
    g = generator()
    return torch.randn(B, K * M, generator=g), torch.randn(B, K * M, generator=g)


def goal(rule, state, batch, discount: float) -> torch.Tensor:
    """Return r + discount (1 - terminated) (min Q'(s', pi(s', w')) - temperature log pi(w'))."""
    with torch.no_grad():
        scaled, log_prob = rule.sample(state.actor.value, batch.next_observation, drawn()[0])
        action = rule.base(batch.next_observation, rule.config.noise_bound * scaled)
        inputs = torch.cat([batch.next_observation, action], -1)
        values = torch.stack([network(rule.critic, flat)(inputs)[:, 0] for flat in state.target])
        soft = values.min(0).values - state.temperature.value.exp()[0] * log_prob
        return batch.reward + discount * (1 - batch.terminated) * soft


def critics_after(rule, state, batch, discount: float) -> torch.Tensor:
    wanted = goal(rule, state, batch, discount)
    return after_adam(rule.critic, state.critic.value,
                      torch.cat([batch.observation, batch.action], -1), [wanted, wanted])


def updated(rule, state, batch) -> SteerState:
    return rule.update(state, batch, generator(), with_actor=False)[0]


@pytest.mark.parametrize('spread', ['diagonal', 'latent'])
def test_the_base_is_the_policy_that_the_robot_runs(spread):
    policy = decode_demonstrator(demonstrator(REACH, K, R, spread=spread), REACH, 'made')
    rng = np.random.default_rng(0)
    seen, noise = rng.normal(size=(50, N)), rng.normal(size=(50, policy.latents))
    assert Base.of(policy, 'made').latents == policy.latents == K * M + M * (spread == 'latent')
    expected = policy.denoise(seen, noise)[:, :R].reshape(50, -1)
    found = Base.of(policy, 'made')(torch.from_numpy(policy.normalizer(seen)),
                                    torch.from_numpy(noise.astype(np.float32)))
    low, high = (np.tile(limit, R) for limit in (REACH.action.low, REACH.action.high))
    assert np.allclose(low + 0.5 * (found.numpy() + 1) * (high - low), expected,
                       atol=1e-4 if spread == 'latent' else 1e-5)     # a root of nearly 0
    assert (found.abs() == 1.0).any()       # some are clipped, as there


def test_a_base_of_uneven_layers_is_refused():
    policy = decode_demonstrator(demonstrator(REACH, K, R), REACH, 'made')
    (weight, bias), (second, _), last = policy.denoiser
    uneven = replace(policy, denoiser=((weight, bias), (second[:, :5], bias[:5]),
                                       (last[0][:5], last[1])))
    with pytest.raises(UserError, match=r'^x: denoiser: expected .* one width, found \(8, 5\)'):
        Base.of(uneven, 'x')


def test_a_decision_is_discounted_by_all_its_steps():
    rule, state = make(discount=0.5)
    batch = make_batch()
    found = updated(rule, state, batch)
    assert torch.allclose(found.critic.value, critics_after(rule, state, batch, 0.5 ** R),
                          rtol=0.0, atol=1e-5)
    assert not torch.allclose(found.critic.value, critics_after(rule, state, batch, 0.5),
                              rtol=0.0, atol=1e-4)
    assert torch.allclose(found.target, 0.995 * state.target + 0.005 * found.critic.value,
                          atol=1e-6)
    assert torch.equal(found.actor.value, state.actor.value)


def test_termination_stops_the_bootstrap_and_truncation_does_not():
    rule, state = make()
    for terminated, same in ((1.0, True), (0.0, False)):
        batch = make_batch(terminated)
        elsewhere = replace(batch, next_observation=batch.next_observation + 3.0)
        critics = [updated(rule, state, one).critic.value for one in (batch, elsewhere)]
        assert torch.allclose(*critics, rtol=0.0, atol=1e-5) == same


def test_each_noise_critic_learns_what_its_own_critic_says_of_the_denoised_noise():
    rule, state = make()
    batch, bound = make_batch(), SMALL.noise_bound
    found = updated(rule, state, batch)
    prior = drawn()[1].clamp(-bound, bound)
    with torch.no_grad():
        inputs = torch.cat([batch.observation, rule.base(batch.observation, prior)], -1)
        known = [network(rule.critic, flat)(inputs)[:, 0] for flat in found.critic.value]
    inputs = torch.cat([batch.observation, prior / bound], -1)
    for order, same in ((known, True), (known[::-1], False)):
        expected = after_adam(rule.noise_critic, state.noise_critic.value, inputs, order)
        assert torch.allclose(found.noise_critic.value, expected, rtol=0.0, atol=1e-5) == same


def test_the_actor_raises_the_value_of_noise_and_leaves_the_critics():
    rule, state = make()
    batch = make_batch()
    actor = network(rule.actor, state.actor.value[0])
    optimizer = torch.optim.Adam(actor.parameters(), SMALL.learning_rate)
    mean, spread = actor(batch.observation).chunk(2, -1)
    std = torch.exp(-5.0 + 3.5 * (torch.tanh(spread) + 1.0))
    chance = drawn()[0]
    raw = mean + std * chance
    scaled = torch.tanh(raw)
    log_prob = (torch.distributions.Normal(mean, std).log_prob(raw)
                - torch.log(1 - scaled ** 2)).sum(-1)
    inputs = torch.cat([batch.observation, scaled], -1)
    value = torch.stack([network(rule.noise_critic, flat)(inputs)[:, 0]
                         for flat in state.noise_critic.value]).mean(0)
    (0.2 / (K * M) * log_prob - value).mean().backward()
    optimizer.step()
    found, metrics = rule.step_actor(state, batch, rule.noise(batch, generator()))
    expected = torch.cat([(part.data.T if part.dim() == 2 else part.data).flatten()
                          for part in actor.parameters()])
    assert torch.allclose(found.actor.value[0], expected, atol=1e-5)
    for name in ('critic', 'noise_critic'):
        assert torch.equal(getattr(found, name).value, getattr(state, name).value)
    assert metrics['entropy'] == pytest.approx(-log_prob.mean().item(), abs=1e-3)


@pytest.mark.parametrize('bound', [0.5, 1.5, 3.0])
def test_a_fresh_actor_makes_the_noise_of_the_base_policy(bound):
    rule, _ = make(noise_bound=bound)
    state = rule.init(generator(3))
    chance = torch.randn(20_000, K * M, generator=generator(4))
    seen = torch.randn(20_000, N, generator=generator(5))
    noise = bound * rule.sample(state.actor.value, seen, chance)[0]
    clipped = chance.clamp(-bound, bound)
    assert torch.allclose(noise, bound * torch.tanh(start_std(bound) * chance), atol=1e-4)
    assert abs(noise.std() / clipped.std() - 1.0) < 0.02
    assert (noise - clipped).abs().mean() < 0.12 * bound


def test_a_fresh_actor_leaves_the_latents_of_the_spread_nearly_at_rest():
    rule, _ = make('latent')
    state = rule.init(generator(3))
    chance = torch.randn(20_000, K * M + M, generator=generator(4))
    scaled = rule.sample(state.actor.value, torch.randn(20_000, N, generator=generator(5)),
                         chance)[0]
    assert scaled[:, K * M:].std() == pytest.approx(OPEN_STD, rel=0.1)
    assert scaled[:, :K * M].std() > 3 * OPEN_STD


def test_an_update_steers_the_latents_of_the_spread_as_well():
    rule, state = make('latent')
    found, _ = rule.update(state, make_batch(), generator(), with_actor=True)
    weight = rule.actor.split(found.actor.value)[-2] - rule.actor.split(state.actor.value)[-2]
    assert (weight[..., K * M:K * M + M] != 0).any()        # the means of these latents


def test_lowered_critics_say_so_much_less_of_everything():
    rule, state = make()
    low = rule.lower(state, -50.0)
    batch, noise = make_batch(), torch.rand((B, K * M), generator=generator(3))
    for critic in ('critic', 'noise_critic'):
        values = rule.values if critic == 'critic' else rule.noise_values
        inputs = batch.observation, batch.action if critic == 'critic' else noise
        before, after = (values(getattr(found, critic).value, *inputs) for found in (state, low))
        assert torch.allclose(after, before - 50.0, atol=1e-4)
    assert torch.equal(low.target, low.critic.value) and not torch.equal(low.target, state.target)


def test_a_state_survives_taking_apart():
    rule, state = make()
    state, _ = rule.update(state, make_batch(), generator(), with_actor=True)
    named = state.tensors()
    again = SteerState.from_tensors(named).tensors()
    assert again.keys() == named.keys() and 'noise_critic.square' in named
    assert all(torch.equal(again[name], value) for name, value in named.items())


def test_an_update_leaves_the_state_it_started_from_unchanged():
    rule, state = make()
    before = {name: value.clone() for name, value in state.tensors().items()}
    rule.update(state, make_batch(), generator(), with_actor=True)
    assert all(torch.equal(before[name], value) for name, value in state.tensors().items())


class TwoWays:
    """A made denoiser of one action: noise above 0.5 (30 %) goes right, the rest left."""

    chunk_size = 1

    def sample(self, parameters, observation, noise, steps):
        return torch.tanh(20.0 * (noise - 0.5)) * (1.0 - 0.2 * torch.cos(5.0 * noise))


def share_of_successes(seed: int, updates: int, distils: bool = True) -> tuple[float, float]:
    """Return success before and after steering: only going right, within a band, pays."""
    base = Base(TwoWays(), torch.zeros(1, 1), torch.ones(1), torch.zeros(1), 1, 1)
    config = SteerConfig(width=32, learning_rate=1e-3, target_entropy=-1.0)
    rule, g = Steering(2, base, config), generator(seed)
    state, rows = rule.init(g), []
    if not distils:
        rule.distil = lambda state, *rest: (state, {})

    def act(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        seen = torch.randn(count, 2, generator=g)
        scaled, _ = rule.sample(state.actor.value, seen, torch.randn(count, 1, generator=g))
        action = base(seen, config.noise_bound * scaled)
        return seen, action, (action[:, 0] > 0.0).float()

    before = act(2000)[2].mean().item()
    for step in range(updates):
        if step % 10 == 0:
            rows.append(act(1))
        if len(rows) > 10:
            seen, action, won = (torch.cat(column) for column in zip(*rows))
            drawn = torch.randint(len(won), (64,), generator=g)
            batch = Batch(seen[drawn], action[drawn], won[drawn] - 1.0, seen[drawn],
                          torch.ones(64))
            state, _ = rule.update(state, batch, g, with_actor=step % 2 == 1)
    return before, act(2000)[2].mean().item()


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_steering_takes_a_base_of_30_percent_to_90(seed):
    before, after = share_of_successes(seed, 1000)
    assert 0.2 < before < 0.4 and after >= 0.9


def test_without_distillation_nothing_steers():
    assert share_of_successes(0, 1000, distils=False)[1] < 0.6
