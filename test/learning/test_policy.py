from __future__ import annotations

import json
import random

import numpy as np
import pytest
from robot_rl.bundle import pack, unpack
from robot_rl.contract import load_contract
from robot_rl.data.steps import Source
from robot_rl.errors import Mismatch, UserError
from robot_rl.learning.artifact import MAX_POLICY_BYTES
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import (decode_policy, encode_gaussian, GaussianPolicy,
                                      HeldRandom, Normalizer, RandomPolicy, RandomTail)
import torch

REACH = load_contract('reach')
N, M, WIDTH = 6, 2, 8


def normalizer() -> Normalizer:
    rng = np.random.default_rng(3)
    return Normalizer(rng.normal(size=N).astype(np.float32),
                      rng.uniform(0.5, 2.0, N).astype(np.float32))


def layers(sizes=(N, WIDTH, 2 * M)):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=size).astype(np.float32), rng.normal(size=size[1]).astype(np.float32))
            for size in zip(sizes, sizes[1:])]


def artifact(**manifest) -> bytes:
    data = encode_gaussian(layers(), normalizer(), REACH, 7, {'learned_stamp': 5})
    arrays, found = unpack(data, 'x')
    return pack(arrays, found | manifest)


def with_arrays(**changed) -> bytes:
    """Return the artifact with arrays changed, added, or left out where None."""
    arrays, manifest = unpack(artifact(), 'x')
    arrays |= {name.replace('__', '.'): array for name, array in changed.items()}
    return pack({name: array for name, array in arrays.items() if array is not None}, manifest)


def learned() -> Learner:
    learner = Learner(REACH, LearnerConfig(seed=1), SacConfig(width=32))
    learner.normalizer = normalizer()
    return learner


def test_the_forward_pass_is_the_learners():
    learner = learned()
    policy = decode_policy(learner.actor(), REACH, 'test')
    rng = np.random.default_rng(2)
    for observation in rng.normal(0.0, 3.0, (200, N)):
        scaled = torch.from_numpy(policy.normalizer(observation))[None]
        mean = learner.method.rule.actor(learner.state.actor.value, scaled)[0, 0, :M]
        expected = 2.5 * torch.tanh(mean).numpy()
        assert np.allclose(policy.act(observation, None), expected, rtol=0.0, atol=1e-5)


def test_samples_are_those_of_the_learners_distribution():
    learner, observation = learned(), np.full(N, 0.3)
    policy = decode_policy(learner.actor(), REACH, 'test')
    for seed in range(100):
        noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(M)).float()[None]
        scaled = torch.from_numpy(policy.normalizer(observation))[None]
        expected, _ = learner.method.rule.sample(learner.state.actor.value, scaled, noise)
        found = policy.act(observation, np.random.default_rng(seed))
        assert np.allclose(found, 2.5 * expected[0].numpy(), rtol=0.0, atol=1e-4)


def test_actions_keep_to_the_contracts_limits():
    policy = decode_policy(artifact(), REACH, 'test')
    rng = np.random.default_rng(0)
    found = np.array([policy.act(row, rng) for row in rng.normal(0.0, 100.0, (500, N))])
    assert (np.abs(found) <= 2.5).all() and np.abs(found).max() > 2.4


def test_an_artifact_survives_the_wire():
    policy = decode_policy(artifact(), REACH, 'test')
    assert isinstance(policy, GaussianPolicy) and policy.version == 7
    assert policy.manifest['provenance'] == {'learned_stamp': 5}
    for found, sent in zip(policy.layers, layers()):
        assert all(np.array_equal(*pair) for pair in zip(found, sent))


def test_a_random_policy_covers_the_range_and_evaluates_to_its_middle():
    rng = np.random.default_rng(0)
    policy = RandomPolicy(np.array([-1.0, 0.0]), np.array([1.0, 4.0]))
    found = np.array([policy.act(np.zeros(1), rng) for _ in range(2000)])
    assert (found >= [-1, 0]).all() and (found <= [1, 4]).all()
    assert np.allclose(found.mean(0), [0, 2], atol=0.2)
    assert policy.act(np.zeros(1), None).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(('version', 'provenance', 'informed'), [
    (0, {}, False), (0, {'started_from': ''}, False), (0, {'started_from': None}, False),
    (0, {'started_from': 'sim_optimal'}, True), (1, {}, True)])
def test_a_policy_knows_more_than_chance_once_updated_or_started_from_another(
        version, provenance, informed):
    data = artifact(version=version, provenance=provenance)
    assert decode_policy(data, REACH, 'x').informed is informed


def test_every_policy_says_who_chooses_its_actions():
    low, high = REACH.action.low, REACH.action.high
    assert decode_policy(artifact(), REACH, 'x').source is Source.POLICY
    assert RandomPolicy(low, high).source is HeldRandom(low, high).source is Source.RANDOM


def test_a_random_tail_says_who_chose_the_last_action():
    rng, action = np.random.default_rng(0), REACH.action
    policy = RandomTail(decode_policy(artifact(), REACH, 'x'),
                        HeldRandom(action.low, action.high), 5, rng)
    policy.left, sources = 2, []
    for _ in range(4):
        policy.act(np.zeros(N), rng)
        sources.append(policy.source)
    assert sources == [Source.POLICY, Source.POLICY, Source.RANDOM, Source.RANDOM]


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(('arrays', 'reason'), [
    ({'actor__0__weight': zeros(N + 1, WIDTH)}, 'actor.0: expected 6 inputs'),
    ({'actor__0__weight': zeros(N)}, 'actor.0'), ({'actor__0__bias': zeros(WIDTH + 1)}, 'actor.0'),
    ({'actor__0__bias': zeros(1, WIDTH)}, 'actor.0'),
    ({'actor__1__weight': zeros(WIDTH + 1, 2 * M)}, 'actor.1: expected 8 inputs'),
    ({'actor__1__weight': zeros(WIDTH, 3), 'actor__1__bias': zeros(3)}, 'expected 4 outputs'),
    ({'actor__1__bias': None}, "'actor.1.bias' is missing"),
    ({'normalizer__mean': zeros(N + 1)}, 'normalizer'),
    ({'normalizer__std': zeros(N)}, 'positive deviations'),
    ({'normalizer__std': np.full(N, -1, np.float32)}, 'positive deviations'),
    ({'actor__0__bias': np.full(WIDTH, np.nan, np.float32)}, 'actor.0.bias: expected finite'),
    ({'actor__0__bias': np.full(WIDTH, np.inf, np.float32)}, 'actor.0.bias: expected finite'),
    ({'actor__0__bias': zeros(WIDTH, dtype=np.float64)}, 'actor.0.bias: expected finite float32'),
    ({'actor__0__bias': zeros()}, 'actor.0'),
])
def test_arrays_that_cannot_act_are_refused(arrays, reason):
    with pytest.raises(UserError, match=reason):
        decode_policy(with_arrays(**arrays), REACH, 'x')


@pytest.mark.parametrize(('manifest', 'reason'), [
    ({'kind': 'diffusion'}, "kind: expected gaussian, found 'diffusion'"),
    ({'layers': 0}, 'layers'), ({'layers': 10 ** 9}, 'layers'), ({'layers': '2'}, 'layers'),
    ({'version': None}, 'version'), ({'version': 1.5}, 'version'),
    ({'provenance': None}, 'provenance'), ({'provenance': {'learned_stamp': 'x'}}, 'learned_stamp')
])
def test_a_manifest_that_cannot_be_used_is_refused(manifest, reason):
    with pytest.raises(UserError, match=f'x: .*{reason}'):
        decode_policy(artifact(**manifest), REACH, 'x')


@pytest.mark.parametrize('interface', [
    None, [], REACH.interface | {'action.low': [-9.0, -9.0]},
    load_contract('puck_push').interface])
def test_a_policy_of_another_contract_is_refused(interface):
    with pytest.raises(Mismatch, match='made under another contract'):
        decode_policy(artifact(interface=interface), REACH, 'x')


def test_a_huge_policy_is_refused_unread():
    with pytest.raises(UserError, match=f'at most {MAX_POLICY_BYTES}'):
        decode_policy(bytes(MAX_POLICY_BYTES + 1), REACH, 'x')


def decodes_or_refuses(data: bytes) -> bool:
    """Return whether the bytes are a policy; anything but UserError propagates."""
    try:
        policy = decode_policy(data, REACH, 'x')
    except UserError as error:
        assert str(error).startswith('x: ')
        return False
    assert policy.act(np.zeros(N), None).shape == (M,)
    return True


def test_a_truncated_policy_is_refused_at_every_length():
    data = artifact()
    assert not any(decodes_or_refuses(data[:length]) for length in range(len(data)))
    assert not decodes_or_refuses(data + b'x')


def test_garbage_is_refused():
    rng = random.Random(0)
    for _ in range(2000):
        body = rng.randbytes(rng.randrange(200))
        assert not decodes_or_refuses(body)
        assert not decodes_or_refuses(len(body).to_bytes(8, 'little') + body)


@pytest.mark.filterwarnings('ignore:overflow', 'ignore:invalid value')
def test_a_policy_with_flipped_bytes_is_refused_or_can_act():
    rng, data = random.Random(1), artifact()
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        decodes_or_refuses(bytes(damaged))


VALUES = [None, True, -1, 0, 2 ** 63, 2 ** 64, 1e400, 'x', '', [], [0], [2 ** 62, 4], {}, 'F32',
          'BF16', 'F8_E4M3', 'BOOL', 'I64', [-1], [[1]], [0, 0], [0, 2 ** 63], [0, 2 ** 62]]


def test_a_policy_with_a_forged_header_is_refused_or_can_act():
    rng, data = random.Random(2), artifact()
    size = int.from_bytes(data[:8], 'little')
    for _ in range(4000):
        header = json.loads(data[8:8 + size])
        part = header
        while rng.random() < 0.7:
            below = [value for value in part.values() if isinstance(value, dict)]
            if not below:
                break
            part = rng.choice(below)
        key = rng.choice(list(part))
        part[key] = rng.choice(VALUES)
        if rng.random() < 0.3:
            part[rng.choice(['shape', 'dtype', 'data_offsets', 'x'])] = rng.choice(VALUES)
        forged = json.dumps(header).encode()
        decodes_or_refuses(len(forged).to_bytes(8, 'little') + forged + data[8 + size:])


def test_a_policy_with_a_forged_manifest_is_refused_or_can_act():
    rng, data = random.Random(3), artifact()
    arrays, manifest = unpack(data, 'x')
    for _ in range(2000):
        forged = json.loads(json.dumps(manifest))
        part = rng.choice([forged, forged['interface'], forged['provenance']])
        part[rng.choice(list(part))] = rng.choice(VALUES)
        decodes_or_refuses(pack(arrays, forged))
