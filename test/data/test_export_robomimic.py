from __future__ import annotations

import json

from exporting import LENGTHS, recorded, torn_steps, write_bag
import numpy as np
import pytest
from recording import episode_steps
from robot_rl.data.export import export
from robot_rl.data.export_robomimic import robomimic_file, scaled, unscaled
from robot_rl.errors import UserError

h5py = pytest.importorskip('h5py')


@pytest.fixture
def exported(tmp_path, contract):
    """Return the opened export of three episodes."""
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
           robomimic_file)
    with h5py.File(tmp_path / 'out.hdf5', 'r', swmr=True, libver='latest') as file:
        yield file


def test_robomimic_reads_it_as_its_own(exported):
    """The reads are those of SequenceDataset.load_demo_info and load_dataset_in_memory."""
    demos = sorted(exported['data'], key=lambda name: int(name[5:]))
    assert demos == ['demo_0', 'demo_1', 'demo_2']
    for demo, length in zip(demos, LENGTHS):
        assert exported[f'data/{demo}'].attrs['num_samples'] == length
        for group in ('obs', 'next_obs'):
            values = exported[f'data/{demo}/{group}/arm'][()]
            assert values.shape == (length, 2) and values.dtype == np.float64
        for key, shape in (('actions', (length, 1)), ('rewards', (length,)),
                           ('dones', (length,))):
            assert exported[f'data/{demo}/{key}'][()].astype('float32').shape == shape
    assert exported['data'].attrs['total'] == sum(LENGTHS)
    assert json.loads(exported['data'].attrs['env_args']) == {
        'env_name': 'tiny', 'type': 2, 'env_kwargs': {}}
    assert [name.decode() for name in exported['mask/success'][:]] == ['demo_0']


def test_actions_are_within_one_as_robomimic_demands(exported):
    for demo in exported['data'].values():
        assert np.abs(demo['actions'][()]).max() <= 1.0


def test_every_column_has_its_name_and_unit(exported, contract):
    demo = exported['data/demo_0']
    for key in ('obs/arm', 'next_obs/arm'):
        assert list(demo[key].attrs['names']) == ['arm.position.j', 'arm.velocity.j']
        assert list(demo[key].attrs['units']) == ['rad', 'rad/s']
    assert list(demo['executed'].attrs['names']) == ['j']
    assert list(demo['executed'].attrs['units']) == list(contract.action.layout.units)
    assert list(exported['data'].attrs['observation_units']) == ['rad', 'rad/s']


def test_the_contract_goes_with_it(exported, contract):
    attributes = exported['data'].attrs
    assert attributes['contract'] == contract.text
    assert attributes['contract_hash'] == contract.hash
    assert json.loads(exported['robot_rl/interface'][()]) == contract.interface
    assert exported['robot_rl/contract'][()].decode() == contract.text


def test_each_demo_names_its_bag_session_outcome_and_label(exported):
    found = exported['data/demo_0'].attrs
    assert [found[key] for key in ('bag', 'session', 'outcome', 'label', 'task')] == [
        'episode_000001', 's1', 'success', 'success', 'tiny']


def test_next_obs_is_what_obs_has_next(exported):
    demo = exported['data/demo_1']
    assert np.array_equal(demo['next_obs/arm'][:-1], demo['obs/arm'][1:])


def test_done_is_the_end_of_the_task_and_truncated_that_of_the_recording(exported):
    assert [demo['dones'][-1] for demo in exported['data'].values()] == [1, 0, 0]
    assert [demo['truncated'][-1] for demo in exported['data'].values()] == [0, 1, 1]


def test_numbers_keep_all_their_bits(exported):
    assert exported['data/demo_0/obs/arm'][0, 0] == 1 / 3
    assert exported['data/demo_0/executed'][3, 0] == 0.25 + 3 / 7


def test_the_parts_of_a_torn_episode_are_demos_of_their_own(tmp_path, contract):
    write_bag(tmp_path / 'bags' / 'torn', contract, torn_steps(20, 8))
    export([tmp_path / 'bags'], tmp_path / 'out.hdf5', contract, robomimic_file)
    with h5py.File(tmp_path / 'out.hdf5') as file:
        assert [demo.attrs['num_samples'] for demo in file['data'].values()] == [7, 11]
        assert 'mask' not in file


def test_a_file_that_exists_is_never_overwritten(tmp_path, contract):
    (tmp_path / 'out.hdf5').write_text('precious')
    with pytest.raises(UserError, match='exists already'):
        export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
               robomimic_file)
    assert (tmp_path / 'out.hdf5').read_text() == 'precious'


def test_an_export_that_fails_leaves_no_file(tmp_path, contract):
    write_bag(tmp_path / 'bags' / 'gone', contract, episode_steps(5), outcome='discarded')
    with pytest.raises(UserError, match='no episode'):
        export([tmp_path / 'bags'], tmp_path / 'out.hdf5', contract, robomimic_file)
    assert not [path for path in tmp_path.iterdir() if 'out.hdf5' in path.name]


def test_without_h5py_the_error_names_the_command(tmp_path, contract, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'h5py', None)
    with pytest.raises(UserError, match='pip install h5py'):
        export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
               robomimic_file)


def test_a_contract_longer_than_an_attribute_may_be_fits(tmp_path, make_contract):
    contract = make_contract(**{'task: tiny': 'task: tiny\n' + '# a long comment\n' * 20_000})
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
           robomimic_file)
    with h5py.File(tmp_path / 'out.hdf5') as file:
        assert file['data'].attrs['contract'] == contract.text


def test_scaling_takes_the_limits_to_one_and_back(contract):
    action = np.array([[-1.0], [-0.5], [1.0]])
    assert np.array_equal(unscaled(scaled(action, contract), contract), action)
    assert scaled(np.array([7.0]), contract) == [1.0]
