from __future__ import annotations

import hashlib
import json

from made_policies import actor, demonstrator, explorers, steered
import numpy as np
import pytest
from robot_rl.bundle import pack
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.learning.artifact_summary import Array, KINDS, Network, read_artifact
from robot_rl.learning.checkpoint import save_checkpoint

REACH, PUCK_PUSH = load_contract('reach'), load_contract('puck_push')
PLAN = np.zeros((2, 2))
MADE = {'gaussian': actor(REACH), 'explorers': explorers(REACH, (0.5, 0.5), (0.0, 0.1)),
        'diffusion': demonstrator(REACH, PLAN), 'steered': steered(REACH, PLAN)}


@pytest.fixture
def written(tmp_path):
    """Write the bytes of an artifact; return its file."""
    def write(data: bytes):
        path = tmp_path / 'made.safetensors'
        path.write_bytes(data)
        return path
    return write


@pytest.mark.parametrize('kind', MADE)
def test_each_kind_of_policy_is_known_and_fits_its_contract(written, kind):
    path = written(MADE[kind])
    found = read_artifact(path, REACH)
    assert (found.kind, found.misfit) == (kind, '') and kind in KINDS
    assert found.bytes == len(MADE[kind])
    assert found.digest == hashlib.sha256(MADE[kind]).hexdigest()
    assert found.manifest['contract_hash'] == REACH.hash
    assert read_artifact(path).misfit is None


@pytest.mark.parametrize('kind', MADE)
def test_a_policy_of_another_contract_does_not_fit(written, kind):
    misfit = read_artifact(written(MADE[kind]), PUCK_PUSH).misfit
    assert 'task: expected "puck_push", found "reach"' in misfit


def test_what_no_node_would_run_does_not_fit_though_its_vectors_do(written):
    data = pack({}, {'kind': 'gaussian', 'version': 1, 'layers': 1, 'provenance': {},
                     'interface': REACH.interface})
    assert "'actor.0.weight' is missing" in read_artifact(written(data), REACH).misfit


def test_the_networks_of_a_demonstrator(written):
    found = read_artifact(written(MADE['diffusion']))
    assert found.networks == (Network('denoiser', 1, (18, 4, 4), 18 * 4 + 4 + 4 * 4 + 4),
                              Network('member', 2, (6, 4), 2 * (6 * 4 + 4)))
    assert found.arrays[0] == Array('action.mean', 'float32', (4,))
    assert [array.name for array in found.arrays] == [
        'action.mean', 'action.std', 'normalizer.mean', 'normalizer.std']


def test_explorers_that_are_alike_are_counted(written):
    assert read_artifact(written(MADE['explorers'])).networks == (
        Network('explorer', 2, (6, 4), 2 * (6 * 4 + 4)),)


def test_a_checkpoint_is_known_by_its_arrays(tmp_path):
    path = save_checkpoint(tmp_path, {'actor.value': np.zeros((1, 5), np.float32)},
                           {'updates': 3, 'learner': {'seed': 1}}, REACH, 1)
    found = read_artifact(path, REACH)
    assert (found.kind, found.misfit, found.networks) == ('checkpoint', '', ())
    assert found.arrays == (Array('actor.value', 'float32', (1, 5)),)
    assert found.manifest['learner'] == {'seed': 1}
    assert 'made under another contract' in read_artifact(path, PUCK_PUSH).misfit


@pytest.mark.parametrize('arrays', [
    {'a.0.weight': np.zeros((2, 3))}, {'a.0.weight': np.zeros(3), 'a.0.bias': np.zeros(3)},
    {'a.0.bias': np.zeros(3)}, {'a.weight': np.zeros((2, 3)), 'a.bias': np.zeros(3)},
    {'a.0.weight': np.float32(1), 'a.0.bias': np.float32(1)}])
def test_arrays_that_only_look_like_layers_are_arrays(written, arrays):
    found = read_artifact(written(pack(arrays, {})))
    assert found.networks == () and {array.name for array in found.arrays} == set(arrays)


@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: data[:100], lambda data: data[:-1],
    lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b'\xff' * 64])
def test_a_damaged_file_is_refused_by_name(written, damage):
    path = written(damage(MADE['gaussian']))
    with pytest.raises(UserError, match=f'{path}: not a file of this package'):
        read_artifact(path)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    for path in (tmp_path / 'absent', tmp_path):
        with pytest.raises(UserError, match=f'{path}: cannot be read'):
            read_artifact(path)


def test_a_manifest_that_is_nested_too_deeply_is_refused(written):
    manifest = json.loads('{"a":' * 40 + '1' + '}' * 40)
    with pytest.raises(UserError, match='manifest: expected at most 32 levels'):
        read_artifact(written(pack({}, manifest)))


def test_a_manifest_may_say_anything(written):
    found = read_artifact(written(pack({}, {'kind': ['x'], 'interface': 7, 'version': None})),
                          REACH)
    assert found.kind == "['x']" and 'task: expected "reach", found null' in found.misfit
