from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reaching import greedy_success, REACH, unrewarded
from robot_rl.bundle import pack, unpack
from robot_rl.contract import load_contract
from robot_rl.data.transitions import Transitions
from robot_rl.errors import Mismatch, UserError
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_policy
import torch

SMALL = SacConfig(width=16)
FEW = LearnerConfig(start_transitions=20, batch=32)


def transitions(count: int, seed: int = 0, scale: float = 1.0) -> Transitions:
    rng = np.random.default_rng(seed)
    columns = (rng.normal(3.0, scale, (count, 6)), rng.uniform(-2.5, 2.5, (count, 2)),
               rng.normal(size=count), rng.normal(3.0, scale, (count, 6)),
               rng.random(count) < 0.1, np.zeros(count))
    return Transitions(*(np.asarray(column, np.float32) for column in columns))


def learner(config: LearnerConfig = FEW, sac: SacConfig = SMALL, contract=REACH) -> Learner:
    return Learner(contract, config, sac)


def fed(episodes: int = 4, **config) -> Learner:
    found = learner(replace(FEW, **config))
    for episode in range(episodes):
        found.add(f's/{episode}', transitions(10, episode), episode)
    return found


def test_an_episode_that_comes_twice_counts_once():
    found = learner()
    assert found.add('a', transitions(10), 5)
    assert not found.add('a', transitions(10), 6)
    assert len(found.sources['online']) == 10 and len(found.episodes) == 1
    assert found.newest_stamp == 5


@pytest.mark.parametrize('source', ['online', 'explorers'])
def test_what_a_person_did_is_kept_as_experience_and_as_a_demonstration(source):
    found, human = learner(), np.zeros(10, np.float32)
    human[[3, 4, 8]] = 1.0
    found.add('a', replace(transitions(10), human=human), 5, source)
    assert (len(found.sources[source]), len(found.sources['demos'])) == (10, 3)
    assert found.collected == 10 and found.counts['demos'] == 3
    rows = found.sources[source].rows[[3, 4, 8]]
    assert torch.equal(found.sources['demos'].rows, rows)


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
    assert (len(found.sources['online']), len(found.sources['explorers'])) == (15, 25)
    assert found.collected == found.owed == 40
    assert found.newest_stamp == 2 and len(found.episodes) == 2


def test_a_batch_has_equal_shares_of_the_three_sources(monkeypatch):
    found, drawn = learner(replace(FEW, batch=30)), []
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
    assert all(torch.bincount(reward.long()).tolist() == [0, 10, 10, 10] for reward in drawn)


def test_demos_count_for_the_start_but_owe_no_updates():
    found = learner()
    found.add_demos(transitions(1000))
    assert found.owed == 0
    found.add('a', transitions(3), 1)
    assert found.owed == 3


def test_nothing_is_owed_where_no_source_may_be_sampled():
    found = fed(online_weight=0.0)
    assert found.owed == 0
    found.add_demos(transitions(10))
    assert found.owed == 40
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
    assert torch.allclose(found.sources['online'].rows[:, 6:8],
                          torch.from_numpy(sent.action) / 2.5, atol=1e-6)


def test_the_normalizer_is_that_of_the_first_data_and_then_stays():
    found = learner()
    first = transitions(200, scale=2.0)
    first.observation[:, 5] = 1.0       # does not move
    found.add('a', first, 1)
    found.train(1)
    assert np.allclose(found.normalizer.mean, first.observation.mean(0), atol=1e-5)
    assert np.allclose(found.normalizer.std[:5], first.observation[:, :5].std(0), rtol=1e-4)
    assert found.normalizer.std[5] == 1.0       # it may move yet: in its unit
    fixed = found.normalizer
    found.add('b', transitions(200, scale=50.0), 2)
    found.train(1)
    assert found.normalizer is fixed


def test_the_normalizer_is_taken_of_all_sources_without_a_copy_of_their_whole_rows():
    found = fed()
    found.add_demos(transitions(30, seed=9))
    seen = found._observations()
    rows = torch.cat([source.rows for source in found.sources.values()])
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


def test_a_resumed_learner_goes_on_exactly_as_one_that_never_stopped(tmp_path):
    first = fed()
    first.train(15)
    first.save(tmp_path, keep=2)
    resumed = learner()
    found = resumed.resume(tmp_path)
    assert found.endswith(
        'checkpoint_000000015.safetensors at 15 updates, as many as 15 transitions allow; goes on '
        'when more are here: data_recorder sends those of its bags again')
    assert resumed.owed == 0        # until the recorder has sent the experience again
    for episode in range(4):
        resumed.add(f's/{episode}', transitions(10, episode), episode)
    assert resumed.owed == first.owed == 25
    first.train(11)
    resumed.train(11)
    assert resumed.actor() == first.actor()
    for name, value in first.state.tensors().items():
        assert torch.equal(resumed.state.tensors()[name], value), name


def test_without_a_checkpoint_a_learner_starts_fresh(tmp_path):
    found = learner()
    assert 'starting fresh' in found.resume(tmp_path) and found.updates == 0


def test_a_damaged_checkpoint_is_skipped_and_named(tmp_path):
    found = fed()
    found.train(4)
    found.save(tmp_path, keep=3)
    found.train(4)
    path = found.save(tmp_path, keep=3)
    path.write_bytes(path.read_bytes()[:-100])
    resumed = learner()
    notes = resumed.resume(tmp_path)
    assert resumed.updates == 4 and f'skipped {path}' in notes
    assert [refused.path for refused in resumed.refused] == [path]


def test_a_checkpoint_of_another_learner_is_skipped_for_one_of_this(tmp_path):
    first = fed()
    first.train(4)
    first.save(tmp_path, keep=3)
    other = Learner(REACH, FEW, SacConfig(width=32))
    other.updates = 9
    path = other.save(tmp_path, keep=3)
    resumed = learner()
    assert f'skipped {path}: width: expected 16, found 32; give' in resumed.resume(tmp_path)
    assert resumed.updates == 4
    assert (tmp_path / 'refused' / path.name).is_file() and not path.exists()


def test_a_checkpoint_of_another_contract_is_refused(tmp_path):
    found = fed()
    found.save(tmp_path, keep=2)
    with pytest.raises(Mismatch):
        learner(contract=load_contract('puck_push')).resume(tmp_path)


def test_a_checkpoint_of_other_parameters_is_refused_with_those_that_differ(tmp_path):
    fed().save(tmp_path, keep=2)
    with pytest.raises(UserError, match='safetensors: width: expected 32, found 16; give the par'):
        learner(sac=SacConfig(width=32)).resume(tmp_path)


@pytest.mark.parametrize('change', [
    lambda arrays, manifest: arrays.pop('generator'),
    lambda arrays, manifest: arrays.update(generator=0 * arrays['generator'] + 255),
    lambda arrays, manifest: arrays.update(target=np.zeros((2, 3), np.float32)),
    lambda arrays, manifest: arrays.update({'actor.value': arrays['actor.value'].astype(float)}),
    lambda arrays, manifest: manifest.pop('updates'),
    lambda arrays, manifest: manifest.update(started_from=3),
    lambda arrays, manifest: manifest.pop('sac')])
def test_a_checkpoint_that_is_not_this_learners_is_refused_before_anything_changes(
        tmp_path, change):
    path = fed().save(tmp_path, keep=2)
    arrays, manifest = unpack(path.read_bytes(), 'x')
    arrays = dict(arrays)
    change(arrays, manifest)
    path.write_bytes(pack(arrays, manifest))
    found = learner()
    before = found.actor()
    with pytest.raises(UserError, match=str(path)):
        found.resume(tmp_path)
    assert found.actor() == before


def trained(**sac) -> bytes:
    """Return an actor as the simulator would give it: learned, with a normaliser of its own."""
    found = learner(replace(FEW, seed=9), replace(SMALL, **sac))
    found.add('sim', transitions(60, 5, scale=4.0), 1)
    found.train(8)
    return found.actor()


WARM = replace(FEW, start_from='sim_optimal')


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
    arrays, manifest = unpack(path.read_bytes(), 'x')
    del manifest['started_from']
    path.write_bytes(pack(arrays, manifest))
    resumed = learner(WARM)
    assert 'start_from has no effect' in resumed.resume(tmp_path)
    assert (resumed.updates, resumed.started_from, resumed.waiting) == (4, '', False)


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
