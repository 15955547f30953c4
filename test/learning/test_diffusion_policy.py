from __future__ import annotations

from made_policies import actor, demonstrator, steered
import numpy as np
import pytest
from robot_rl.bundle import pack, unpack
from robot_rl.contract import load_contract
from robot_rl.errors import Mismatch, UserError
from robot_rl.learning.config import SacConfig
from robot_rl.learning.diffusion import Denoiser
from robot_rl.learning.diffusion_policy import (decode_actor, decode_demonstrator,
                                                DiffusionPolicy, encode_diffusion,
                                                encode_steered)
from robot_rl.learning.networks import Mlp
from robot_rl.learning.policy import GaussianPolicy, Normalizer
from robot_rl.learning.sac import Sac
import torch

REACH = load_contract('reach')
N, M, CHUNK, MEMBERS, WIDTH = 6, 2, 4, 3, 12
SIZE = CHUNK * M
OBSERVATIONS = np.random.default_rng(1).normal(0.0, 2.0, (50, N))
PLAN = np.array([[0.1, -0.1], [0.2, -0.2], [0.3, -0.3]])


def normalizer(size: int, low: float, high: float) -> Normalizer:
    rng = np.random.default_rng(size)
    return Normalizer(rng.normal(size=size).astype(np.float32),
                      rng.uniform(low, high, size).astype(np.float32))


def parts(mlp: Mlp, members: int) -> tuple[torch.Tensor, list]:
    """Return flat parameters and the same as (weight, bias) of each layer."""
    flat = mlp.init(members, torch.Generator().manual_seed(members))
    arrays = [part.numpy() for part in mlp.split(flat)]
    return flat, list(zip(arrays[::2], arrays[1::2]))


DENOISER = Denoiser(SIZE, N, WIDTH, 2)
FLAT, LAYERS = parts(DENOISER.mlp, 1)
LAYERS = [(weight[0], bias[0, 0]) for weight, bias in LAYERS]
MEMBER = Mlp((N, WIDTH, SIZE))
MEMBER_FLAT, MEMBER_LAYERS = parts(MEMBER, MEMBERS)
SEEN, CHUNKS = normalizer(N, 0.5, 2.0), normalizer(SIZE, 0.1, 0.3)
SAC = Sac(N, SIZE, SacConfig(width=WIDTH))
ACTOR_FLAT, ACTOR_LAYERS = parts(SAC.actor, 1)
ACTOR_LAYERS = [(weight[0], bias[0, 0]) for weight, bias in ACTOR_LAYERS]


def artifact(alpha: float = 0.75, steps: int = 5, spread: str = 'diagonal', **manifest) -> bytes:
    data = encode_diffusion(LAYERS, MEMBER_LAYERS, SEEN, CHUNKS.mean, CHUNKS.std, REACH,
                            version=2, chunk=CHUNK, replan=2, sampling_steps=steps, alpha=alpha,
                            spread=spread, provenance={'fit': {'seed': 1}})
    arrays, found = unpack(data, 'x')
    return pack(arrays, found | manifest)


def policy(**values) -> DiffusionPolicy:
    return decode_demonstrator(artifact(**values), REACH, 'test')


def steered_artifact(version: int = 9, bound: float = 1.5, **manifest) -> bytes:
    data = encode_steered(policy(), ACTOR_LAYERS, bound, REACH, version, {'learned_stamp': 5})
    arrays, found = unpack(data, 'x')
    return pack(arrays, found | manifest)


def sampled(noise: np.ndarray, observation: np.ndarray, steps: int) -> np.ndarray:
    """Return what learning/diffusion.py makes of noise, as actions."""
    chunks = DENOISER.sample(FLAT, torch.from_numpy(SEEN(observation)),
                             torch.from_numpy(noise.astype(np.float32)), steps).numpy()
    return np.clip(CHUNKS.restore(chunks).reshape(-1, CHUNK, M), -2.5, 2.5)


@pytest.mark.parametrize('steps', [1, 5, 8])
def test_a_plan_is_what_the_torch_sampler_makes_of_the_same_noise(steps):
    noise = np.random.default_rng(0).standard_normal((50, SIZE))
    found = policy(steps=steps).denoise(OBSERVATIONS, noise)
    expected = sampled(noise, OBSERVATIONS, steps)
    assert np.abs(found - expected).max() < 1e-5 and np.abs(expected).max() > 0.5


def test_a_plan_draws_its_noise_from_the_rng():
    found = policy().plan(OBSERVATIONS[0], np.random.default_rng(3))
    noise = np.random.default_rng(3).standard_normal((1, SIZE))
    assert found.shape == (CHUNK, M)
    assert np.array_equal(found, policy().denoise(OBSERVATIONS[:1], noise)[0])


def test_without_an_rng_the_noise_is_zero():
    found = policy().plan(OBSERVATIONS[0], None)
    assert np.array_equal(found, policy().denoise(OBSERVATIONS[:1], np.zeros((1, SIZE)))[0])


def test_a_fan_is_several_different_plans_of_one_observation():
    found = policy().fan(OBSERVATIONS[0], np.random.default_rng(3), 16)
    noise = np.random.default_rng(3).standard_normal((16, SIZE))
    expected = sampled(noise, np.tile(OBSERVATIONS[0], (16, 1)), 5)
    assert np.abs(found - expected).max() < 1e-5
    assert len(np.unique(found.reshape(16, -1), axis=0)) == 16


def test_members_have_the_opinions_of_the_ensemble():
    found = policy()
    for observation in OBSERVATIONS[:10]:
        seen = torch.from_numpy(SEEN(observation))[None]
        chunks = CHUNKS.restore(MEMBER(MEMBER_FLAT, seen)[:, 0].numpy())
        expected = np.clip(chunks.reshape(MEMBERS, CHUNK, M), -2.5, 2.5)
        assert np.abs(found.opinions(observation) - expected).max() < 1e-5


def test_actions_keep_to_the_contracts_limits():
    made = decode_demonstrator(demonstrator(REACH, PLAN, spread=100.0), REACH, 'test')
    found = made.fan(OBSERVATIONS[0], np.random.default_rng(0), 100)
    assert np.abs(found).max() == 2.5


def test_an_artifact_tells_its_version_chunk_and_provenance():
    found = policy()
    assert (found.version, found.chunk, found.replan, found.learned_stamp) == (2, CHUNK, 2, 0)
    assert found.informed and found.manifest['provenance'] == {'fit': {'seed': 1}}


def test_steered_noise_is_that_of_the_tanh_gaussian_actor_times_its_bound():
    found, seed = decode_actor(steered_artifact(), REACH, 'test'), 4
    drawn = np.random.default_rng(seed).standard_normal((len(OBSERVATIONS), SIZE))
    expected, _ = SAC.sample(ACTOR_FLAT, torch.from_numpy(SEEN(OBSERVATIONS)),
                             torch.from_numpy(drawn).float())
    noise = found.noise(OBSERVATIONS, np.random.default_rng(seed))
    assert np.abs(noise - 1.5 * expected.numpy()).max() < 1e-4
    assert found.learned_stamp == 5


def test_the_mode_of_a_steered_policy_is_the_mode_of_its_actor():
    found = decode_actor(steered_artifact(), REACH, 'test')
    mean = SAC.actor(ACTOR_FLAT, torch.from_numpy(SEEN(OBSERVATIONS)))[0, :, :SIZE]
    noise = 1.5 * np.tanh(mean.numpy())
    assert np.abs(found.noise(OBSERVATIONS, None) - noise).max() < 1e-5
    assert np.abs(found.plan(OBSERVATIONS[0], None)
                  - sampled(noise[:1], OBSERVATIONS[:1], 5)[0]).max() < 1e-5


def test_before_its_first_update_a_steered_policy_is_its_base_with_clipped_noise():
    found = decode_actor(steered_artifact(version=0, bound=0.8), REACH, 'test')
    noise = found.noise(OBSERVATIONS, np.random.default_rng(4))
    drawn = np.random.default_rng(4).standard_normal((len(OBSERVATIONS), SIZE))
    assert np.array_equal(noise, np.clip(drawn, -0.8, 0.8))
    assert np.array_equal(found.plan(OBSERVATIONS[0], None), policy().plan(OBSERVATIONS[0], None))


def test_a_steered_policy_is_as_unsure_as_what_it_steers():
    found = decode_actor(steered_artifact(), REACH, 'test')
    seen = OBSERVATIONS[0]
    assert np.array_equal(found.opinions(seen), policy().opinions(seen))


def test_latents_of_the_spread_move_what_the_denoiser_plans():
    from robot_rl.learning.ensemble import moved, roots
    found, rest = policy(spread='latent', alpha=0.02), policy(spread='diagonal')
    assert (found.latents, rest.latents) == (SIZE + M, SIZE)
    rng = np.random.default_rng(0)
    noise, latent = rng.standard_normal((50, SIZE)), rng.standard_normal((50, M))
    seen = torch.from_numpy(SEEN(OBSERVATIONS).astype(np.float32))
    opinions = MEMBER(MEMBER_FLAT, seen)
    deviations = (opinions - opinions.mean(0)).transpose(0, 1)
    expected = CHUNKS.std * 0.02 * moved(roots(deviations, M),
                                         torch.from_numpy(latent.astype(np.float32))).numpy()
    plans = [found.denoise(OBSERVATIONS, np.concatenate((noise, part), 1)).reshape(50, -1)
             for part in (latent, 0 * latent)]
    inside = (np.abs(plans).max(0) < 1.0 - 1e-9)        # not clipped
    assert inside.mean() > 0.3
    assert np.abs((plans[0] - plans[1]) - expected)[inside].max() < 1e-4
    assert np.array_equal(plans[1], rest.denoise(OBSERVATIONS, noise).reshape(50, -1))


def test_latents_of_the_spread_rest_while_the_demonstrator_acts():
    found, rest = policy(spread='latent'), policy(spread='diagonal')
    for seed in (None, 3):
        acts = [one.plans(OBSERVATIONS, seed and np.random.default_rng(seed))
                for one in (found, rest)]
        assert np.array_equal(*acts)
    fans = [one.fan(OBSERVATIONS[0], np.random.default_rng(3), 100).std(0)
            for one in (found, rest)]
    assert fans[0].mean() > 1.05 * fans[1].mean()       # which shows what is possible


def test_an_actor_moves_the_latents_of_the_spread_too():
    base, size = policy(spread='latent'), SIZE + M
    bias = np.concatenate((np.zeros(SIZE), np.full(M, 0.5), np.zeros(size))).astype(np.float32)
    layers = [(np.zeros((N, 2 * size), np.float32), bias)]
    data = encode_steered(base, layers, 1.5, REACH, 3, {'learned_stamp': 5})
    found = decode_actor(data, REACH, 'test')
    latent = np.concatenate((np.zeros(SIZE), np.full(M, 1.5 * np.tanh(0.5))))
    expected = base.denoise(OBSERVATIONS, np.tile(latent, (50, 1)))
    assert np.abs(found.plans(OBSERVATIONS, None) - expected).max() < 1e-5
    waits = decode_actor(encode_steered(base, layers, 1.5, REACH, 0, {'learned_stamp': 5}),
                         REACH, 'test')
    assert np.array_equal(waits.plans(OBSERVATIONS, None), base.plans(OBSERVATIONS, None))


def test_a_learners_artifact_may_be_gaussian_or_steered():
    assert isinstance(decode_actor(actor(REACH), REACH, 'x'), GaussianPolicy)
    assert isinstance(decode_actor(steered(REACH, PLAN), REACH, 'x'), DiffusionPolicy)


@pytest.mark.parametrize(('decode', 'data', 'expected'), [
    (decode_actor, artifact(), "gaussian or steered, found 'diffusion'"),
    (decode_demonstrator, steered_artifact(), "diffusion, found 'steered'"),
    (decode_demonstrator, actor(REACH), "diffusion, found 'gaussian'")])
def test_an_artifact_of_another_kind_is_refused(decode, data, expected):
    with pytest.raises(UserError, match=f'x: kind: expected {expected}'):
        decode(data, REACH, 'x')


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(('name', 'array', 'reason'), [
    ('denoiser.0.weight', zeros(SIZE + N, WIDTH), 'denoiser.0: expected 22 inputs'),
    ('denoiser.0.bias', zeros(1, WIDTH), 'denoiser.0'),
    ('denoiser.1.weight', None, "'denoiser.1.weight' is missing"),
    ('denoiser.2.weight', zeros(WIDTH), 'denoiser.2'),
    ('member.0.weight', zeros(), 'members: expected 2 to 100, found 0'),
    ('member.0.weight', zeros(1, N, WIDTH), 'members: expected 2 to 100, found 1'),
    ('member.0.weight', zeros(MEMBERS, N + 1, WIDTH), 'member.0: expected 6 inputs'),
    ('member.0.weight', zeros(MEMBERS + 1, N, WIDTH), 'member.0'),
    ('member.0.bias', zeros(MEMBERS, WIDTH), 'member.0'),
    ('member.1.bias', zeros(MEMBERS + 1, 1, SIZE), 'member.1'),
    ('member.0.weight', None, "'member.0.weight' is missing"),
    ('normalizer.mean', zeros(N + 1), 'normalizer: expected 6 means'),
    ('action.std', zeros(SIZE), 'action: expected 8 means and positive deviations'),
    ('action.mean', zeros(M), 'action: expected 8 means'),
    ('action.mean', None, "'action.mean' is missing"),
    ('denoiser.0.bias', np.full(WIDTH, np.nan, np.float32), 'expected finite'),
    ('denoiser.0.bias', np.zeros(WIDTH), 'expected finite float32')])
def test_arrays_that_cannot_act_are_refused(name, array, reason):
    arrays, manifest = unpack(artifact(), 'x')
    arrays[name] = array
    data = pack({key: value for key, value in arrays.items() if value is not None}, manifest)
    with pytest.raises(UserError, match=f'x: .*{reason}'):
        decode_demonstrator(data, REACH, 'x')


@pytest.mark.parametrize(('manifest', 'reason'), [
    ({'chunk': 0}, 'chunk: expected 1 to 64'), ({'chunk': True}, 'chunk'),
    ({'chunk': 3}, 'denoiser.0'), ({'chunk': 10 ** 30}, 'chunk'), ({'chunk': None}, 'chunk'),
    ({'replan': 0}, 'replan: expected 1 to 4'), ({'replan': 5}, 'replan'),
    ({'spread': 'wide'}, "spread: expected one of .*, found 'wide'"),
    ({'sampling_steps': 65}, 'sampling_steps'), ({'sampling_steps': 2.0}, 'sampling_steps'),
    ({'alpha': -0.1}, 'alpha: expected 0 to 100'), ({'alpha': float('nan')}, 'alpha'),
    ({'alpha': float('inf')}, 'alpha'), ({'alpha': '1'}, 'alpha'),
    ({'layers': 1}, 'layers: expected 2 to 16'), ({'layers': 10 ** 9}, 'layers'),
    ({'member_layers': 0}, 'member_layers'), ({'version': None}, 'version'),
    ({'provenance': None}, 'provenance'),
    ({'provenance': {'learned_stamp': 'x'}}, 'learned_stamp')])
def test_a_manifest_that_cannot_be_used_is_refused(manifest, reason):
    with pytest.raises(UserError, match=f'x: {reason}|x: .*{reason}'):
        decode_demonstrator(artifact(**manifest), REACH, 'x')


@pytest.mark.parametrize(('manifest', 'reason'), [
    ({'noise_bound': 0.0}, 'noise_bound: expected 0.001 to 100'), ({'noise_bound': -1}, 'bound'),
    ({'noise_bound': float('nan')}, 'noise_bound'), ({'actor_layers': 0}, 'actor_layers'),
    ({'actor_layers': 1}, 'actor: expected 16 outputs')])
def test_a_steered_manifest_that_cannot_be_used_is_refused(manifest, reason):
    with pytest.raises(UserError, match=f'x: .*{reason}'):
        decode_actor(steered_artifact(**manifest), REACH, 'x')


def test_a_demonstrator_of_another_contract_is_refused():
    with pytest.raises(Mismatch, match='made under another contract'):
        decode_demonstrator(artifact(), load_contract('puck_push'), 'x')
