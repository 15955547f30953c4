from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
from robot_rl.bundle import pack, unpack
from robot_rl.contract import load_contract
from robot_rl.errors import Mismatch, UserError
from robot_rl.learning.config import ExplorerConfig, SacConfig
from robot_rl.learning.coverage import Coverage, FeatureMap
from robot_rl.learning.explorers import ExplorerBatch, Explorers, ExplorerState
from robot_rl.learning.networks import Slot
from robot_rl.learning.policy import (decode_explorers, decode_policy, encode_explorers,
                                      HeldRandom, Normalizer, RandomPolicy, RandomTail)
from robot_rl.learning.sac import Batch
import torch

REACH, PUCK = load_contract('reach'), load_contract('puck_push')
N, M, D, Z, B = 6, 2, 2, 4, 12
RULE = Explorers(N, M, D, ExplorerConfig(latents=Z - 1, width=16), SacConfig(width=16))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(weight: float = 0.0, size: int = B, own: float = 1.0) -> ExplorerBatch:
    rng = generator(5)
    transitions = Batch(torch.randn(size, N, generator=rng), torch.rand(size, M, generator=rng),
                        torch.randn(size, generator=rng), torch.randn(size, N, generator=rng),
                        torch.zeros(size))
    return ExplorerBatch(transitions, torch.arange(size) % Z,
                         torch.randn(size, D, generator=rng), torch.full((size,), weight),
                         torch.full((size,), own))


def same(one: ExplorerState, other: ExplorerState) -> bool:
    return all(torch.equal(*pair) for pair in zip(one.tensors().values(),
                                                  other.tensors().values()))


def test_a_state_survives_being_taken_apart():
    state, _ = RULE.update(RULE.init(generator()), batch(1.0), generator(1), True)
    assert same(ExplorerState.from_tensors(dict(reversed(state.tensors().items()))), state)


def test_an_update_is_a_function_of_its_arguments():
    state = RULE.init(generator())
    before = {name: value.clone() for name, value in state.tensors().items()}
    one, other = (RULE.update(state, batch(1.0), generator(1), True)[0] for _ in range(2))
    assert same(one, other) and not same(one, state)
    assert all(torch.equal(value, before[name]) for name, value in state.tensors().items())


@pytest.mark.parametrize('latent', range(Z))
def test_a_latent_folds_into_a_policy_of_the_observation_alone(latent):
    actor = RULE.init(generator()).sac.actor.value
    observation = torch.randn(20, N, generator=generator(3))
    hidden = observation
    for index, (weight, bias) in enumerate(RULE.fold(actor, latent)):
        hidden = (torch.relu(hidden) if index else hidden) @ weight + bias
    whole = RULE.conditioned(observation, torch.full((20,), latent))
    assert torch.allclose(hidden, RULE.sac.actor(actor, whole)[0], atol=1e-6)


def test_latents_act_differently():
    actor, observation = RULE.init(generator()).sac.actor.value, torch.ones(Z, N)
    action = RULE.act(actor, observation, torch.arange(Z), torch.zeros(Z, M))
    assert len({tuple(row) for row in action.tolist()}) == Z


def test_the_bonus_is_zero_for_a_guess_and_log_z_for_certainty():
    flat = RULE.init(generator()).discriminator.value
    guess = torch.zeros_like(flat)
    assert torch.allclose(RULE.bonus(guess, torch.randn(Z, D), torch.arange(Z)), torch.zeros(Z))
    sure = guess.clone()
    RULE.discriminator.split(sure)[-1][0, 0, 2] = 50.0      # bias of the answer z = 2
    found = RULE.bonus(sure, torch.zeros(2, D), torch.tensor([2, 0]))
    assert found.tolist() == pytest.approx([log(Z), log(Z) - 50.0])


def test_where_the_gate_is_closed_the_update_is_plain_sac_on_the_conditioned_observation():
    state, given = RULE.init(generator()), batch(0.0)
    plain = given.transitions
    expected, _ = RULE.sac.update(state.sac, replace(
        plain, observation=RULE.conditioned(plain.observation, given.latent),
        next_observation=RULE.conditioned(plain.next_observation, given.latent)),
        generator(1), True)
    found, metrics = RULE.update(state, given, generator(1), True)
    assert metrics['bonus'] == 0
    assert all(torch.equal(value, expected.tensors()[name])
               for name, value in found.sac.tensors().items())


def test_where_the_gate_is_open_the_reward_grows_by_the_weighted_bonus():
    state, open_gate = RULE.init(generator()), batch(0.7)
    bonus = RULE.bonus(state.discriminator.value, open_gate.features, open_gate.latent)
    plain = open_gate.transitions
    by_hand = replace(batch(0.0), transitions=replace(plain, reward=plain.reward + 0.7 * bonus))
    found, _ = RULE.update(state, open_gate, generator(1), True)
    assert same(found, RULE.update(state, by_hand, generator(1), True)[0])


def test_the_discriminator_learns_to_tell_latents_apart():
    slot = RULE.init(generator()).discriminator
    latent = torch.arange(200) % Z
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    features = corners[latent] + 0.1 * torch.randn(200, D, generator=generator(2))
    given = replace(batch(size=200), features=features)
    losses = []
    for count in range(1, 1500):
        slot, loss = RULE.update_discriminator(slot, given, torch.tensor(float(count)))
        losses.append(float(loss))
    assert losses[0] == pytest.approx(log(Z), abs=0.3) and losses[-1] < 0.2
    assert (RULE.bonus(slot.value, features, latent) > 0.5).all()


def test_the_discriminator_learns_from_those_who_acted_only():
    slot = RULE.init(generator()).discriminator
    _, loss = RULE.update_discriminator(slot, batch(own=0.0), torch.ones(()))
    assert loss == 0
    half = replace(batch(), own=(torch.arange(B) < 6).float())
    first = replace(batch(), latent=batch().latent[:6], features=batch().features[:6],
                    own=torch.ones(6))
    found, expected = (RULE.update_discriminator(slot, given, torch.ones(()))
                       for given in (half, first))
    assert torch.allclose(found[0].value, expected[0].value, atol=1e-6)
    assert isinstance(found[0], Slot) and torch.isclose(found[1], expected[1])


def layers(seed: int, n: int = N, m: int = M):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=size).astype(np.float32), rng.normal(size=size[1]).astype(np.float32))
            for size in ((n, 8), (8, 2 * m))]


def artifact(count: int = 3, **manifest) -> bytes:
    observations = np.random.default_rng(0).normal(size=(50, N))
    coverage = Coverage.empty(FeatureMap.fit(REACH, observations)).add(observations)
    normalizer = Normalizer(np.zeros(N, np.float32), np.full(N, 2.0, np.float32))
    data = encode_explorers([layers(seed) for seed in range(count)], normalizer, REACH, 70,
                            {'seed': 5}, coverage)
    arrays, found = unpack(data, 'x')
    return pack(arrays, found | manifest)


def test_explorers_survive_the_wire_with_their_certificate():
    policies, coverage = decode_explorers(artifact(), REACH, 'x')
    assert [policy.version for policy in policies] == [0, 1, 2]
    assert coverage.count == 50 and policies[0].manifest['provenance'] == {'seed': 5}
    for seed, policy in enumerate(policies):
        for found, sent in zip(policy.layers, layers(seed)):
            assert all(np.array_equal(*pair) for pair in zip(found, sent))
        assert policy.act(np.zeros(N), np.random.default_rng(0)).shape == (M,)


@pytest.mark.parametrize('manifest', [
    {'kind': 'gaussian'}, {'explorers': 0}, {'explorers': 65}, {'explorers': True},
    {'explorers': 4}, {'layers': 3}, {'layers': None}, {'version': 'x'}, {'provenance': 0},
    {'coverage': None}, {'coverage': {}}])
def test_explorers_that_are_not_whole_are_refused_naming_the_source(manifest):
    with pytest.raises(UserError, match='^x: '):
        decode_explorers(artifact(**manifest), REACH, 'x')


def test_explorers_of_another_contract_are_refused():
    with pytest.raises(Mismatch, match='made under another contract'):
        decode_explorers(artifact(), PUCK, 'x')


def test_explorers_are_not_one_policy_nor_the_reverse():
    with pytest.raises(UserError, match="kind: expected gaussian, found 'explorers'"):
        decode_policy(artifact(), REACH, 'x')


LOW, HIGH = REACH.action.low, REACH.action.high


class Still:
    """Always the same action, out of reach of a random policy."""

    version = 3

    def act(self, observation, rng):
        return np.full(M, 9.0)


def tail(seed: int, horizon: int = 10) -> list[bool]:
    """Return for each step of an episode whether the policy acted."""
    rng = np.random.default_rng(seed)
    acting = RandomTail(Still(), RandomPolicy(LOW, HIGH), horizon, rng)
    assert acting.version == 3
    return [acting.act(np.zeros(N), rng)[0] == 9.0 for _ in range(horizon)]


def test_a_tail_follows_the_policy_at_first_and_never_again_once_it_left_it():
    for seed in range(50):
        acted = tail(seed)
        assert acted[0] and acted == sorted(acted, reverse=True)


def test_the_step_at_which_a_tail_begins_is_uniform():
    lengths = np.bincount([sum(tail(seed)) for seed in range(2000)], minlength=11)[1:]
    assert len(lengths) == 10 and lengths.min() > 150 and lengths.max() < 250


def test_held_actions_cover_the_range_and_are_held():
    rng = np.random.default_rng(0)
    policy = HeldRandom(LOW, HIGH)
    actions = np.array([policy.act(np.zeros(N), rng) for _ in range(5000)])
    renewed = (np.diff(actions, axis=0) != 0).any(axis=1).mean()
    assert 0.08 < renewed < 0.12
    assert actions.min() < -2.4 and actions.max() > 2.4 and (np.abs(actions) <= 2.5).all()


def test_held_actions_renewed_at_every_step_are_the_uniform_ones_of_the_theory():
    rng = np.random.default_rng(0)
    policy = HeldRandom(LOW, HIGH, renewal=1.0)
    actions = [tuple(policy.act(np.zeros(N), rng)) for _ in range(100)]
    assert len(set(actions)) == 100
    assert policy.act(np.zeros(N), None).tolist() == [0.0, 0.0]
