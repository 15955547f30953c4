"""What a learner saves, and which checkpoints it goes on from."""

from __future__ import annotations

import numpy as np
import pytest
from reaching import REACH
from robot_rl.contract import load_contract
from robot_rl.errors import Mismatch, UserError
from robot_rl.learning.config import SacConfig
from robot_rl.learning.learner import Learner
from small_learners import fed, FEW, learner, rewrite, transitions
import torch


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


@pytest.mark.parametrize('updates', [0, 1])
def test_the_normalizer_of_an_older_checkpoint_stays_for_its_actor_learned_with_it(
        updates, tmp_path):
    first, followed = fed(), []
    first.train(updates)
    path = first.save(tmp_path, keep=2)
    rewrite(path, lambda arrays, manifest: followed.append(manifest.pop('normalizer_follows')))
    assert followed == [True]
    resumed = learner()
    for _ in range(2):                      # and of those that go on from it
        resumed.resume(tmp_path)
        resumed.add('s/later', transitions(100, 9, scale=50.0), 9)
        resumed.train(1)
        assert np.array_equal(resumed.normalizer.std, first.normalizer.std) == bool(updates)
        resumed.save(tmp_path, keep=2)
        resumed = learner()


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
    rewrite(path, change)
    found = learner()
    before = found.actor()
    with pytest.raises(UserError, match=str(path)):
        found.resume(tmp_path)
    assert found.actor() == before
