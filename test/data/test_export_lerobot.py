"""Read back by pyarrow as LeRobot v3.0 does (lerobot/datasets/utils.py, io_utils.py)."""

from __future__ import annotations

import json

from exporting import LENGTHS, recorded
import numpy as np
import pytest
from robot_rl.data.bag import bag_transitions, find_bags
from robot_rl.data.export import export
from robot_rl.data.export_lerobot import features, lerobot_folder
from robot_rl.errors import UserError

pa = pytest.importorskip('pyarrow')
pq = pytest.importorskip('pyarrow.parquet')


@pytest.fixture
def folder(tmp_path, contract):
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out', contract, lerobot_folder)
    return tmp_path / 'out'


def read_rows(folder):
    """Return all rows, from the files in LeRobot's order."""
    return pa.concat_tables(map(pq.read_table, sorted((folder / 'data').glob('*/*.parquet'))))


def read_episodes(folder):
    return pq.read_table(folder / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()


def test_info_counts_and_places_what_there_is(folder):
    info = json.loads((folder / 'meta/info.json').read_text())
    del info['features']
    assert info == {
        'codebase_version': 'v3.0', 'robot_type': None, 'total_episodes': 3,
        'total_frames': sum(LENGTHS), 'total_tasks': 1, 'chunks_size': 1000,
        'data_files_size_in_mb': 100, 'video_files_size_in_mb': 200, 'fps': 20,
        'splits': {'train': '0:3'},
        'data_path': 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
        'video_path': None}
    assert (folder / info['data_path'].format(chunk_index=0, file_index=0)).is_file()


def test_features_have_names_units_and_shapes(folder, contract):
    found = json.loads((folder / 'meta/info.json').read_text())['features']
    assert found == features(contract)
    assert found['observation.state'] == {
        'dtype': 'float32', 'shape': [2], 'names': ['arm.position.j', 'arm.velocity.j'],
        'info': {'units': ['rad', 'rad/s']}}
    assert found['action']['names'] == ['j'] and found['action']['shape'] == [1]
    assert found['index'] == {'dtype': 'int64', 'shape': [1], 'names': None}


def test_columns_have_the_types_that_features_promise(folder, contract):
    schema = read_rows(folder).schema
    kinds = {'float32': pa.float32(), 'int64': pa.int64(), 'bool': pa.bool_()}
    for key, feature in features(contract).items():
        width, kind = feature['shape'][0], kinds[feature['dtype']]
        assert schema.field(key).type == (kind if width == 1 else pa.list_(kind, width)), key
    assert set(schema.names) == set(features(contract))


def test_rows_are_the_transitions_of_the_learner(folder, tmp_path, contract):
    rows = read_rows(folder)
    expected = [bag_transitions(bag, contract) for bag in find_bags(tmp_path / 'bags')]

    def whole(name):
        return np.concatenate([getattr(one, name) for one in expected])
    state = rows['observation.state'].combine_chunks().flatten().to_numpy().reshape(-1, 2)
    assert np.array_equal(state, whole('observation'))
    assert np.array_equal(rows['action'].to_numpy(), whole('action')[:, 0])
    for key, name in (('next.reward', 'reward'), ('next.done', 'terminated'),
                      ('next.truncated', 'truncated'),
                      ('complementary_info.is_intervention', 'human')):
        assert np.array_equal(rows[key].to_numpy().astype(np.float32), whole(name)), key


def test_rows_count_frames_episodes_and_time(folder):
    rows = read_rows(folder).to_pydict()
    assert rows['index'] == list(range(sum(LENGTHS)))
    assert rows['episode_index'] == [0] * 12 + [1] * 7 + [2] * 9
    assert rows['frame_index'] == [*range(12), *range(7), *range(9)]
    assert rows['task_index'] == [0] * sum(LENGTHS)
    assert np.array_equal(np.float32(rows['timestamp'][:12]), np.float32(np.arange(12) / 20))
    assert np.diff(rows['stamp'][:12]).tolist() == [50_000_000] * 11
    assert np.flatnonzero(rows['next.success']).tolist() == [11]


def test_episodes_say_where_their_rows_lie(folder):
    found = read_episodes(folder)
    assert [(one['episode_index'], one['dataset_from_index'], one['dataset_to_index'],
             one['length']) for one in found] == [(0, 0, 12, 12), (1, 12, 19, 7), (2, 19, 28, 9)]
    for one in found:
        assert one['tasks'] == ['tiny']
        assert {one[f'{kind}/{part}_index'] for kind in ('data', 'meta/episodes')
                for part in ('chunk', 'file')} == {0}


def test_episodes_say_how_they_went_and_where_they_come_from(folder):
    assert [(one['success'], one['outcome'], one['label'], one['mode'], one['bag'],
             one['session']) for one in read_episodes(folder)] == [
        (True, 'success', 'success', 'learn', 'episode_000001', 's1'),
        (False, 'truncated', '', 'learn', 'episode_000002', 's1'),
        (False, 'aborted', '', 'learn', 'episode_000003', 's1')]


def test_an_episode_is_a_row_group_of_its_own(folder):
    file = pq.ParquetFile(folder / 'data/chunk-000/file-000.parquet')
    assert [file.metadata.row_group(index).num_rows for index in range(3)] == list(LENGTHS)


def test_statistics_are_those_of_all_rows(folder):
    stats = json.loads((folder / 'meta/stats.json').read_text())
    action = read_rows(folder)['action'].to_numpy().astype(np.float64)
    found = stats['action']
    assert found['count'] == [sum(LENGTHS)]
    assert (found['min'], found['max']) == ([action.min()], [action.max()])
    assert found['mean'] == pytest.approx([action.mean()], rel=1e-12)
    assert found['std'] == pytest.approx([action.std()], rel=1e-12)
    assert len(stats['observation.state']['q01']) == 2
    assert found['min'][0] <= found['q01'][0] <= found['q50'][0] <= found['q99'][0]
    first = action[:LENGTHS[0]]
    assert read_episodes(folder)[0]['stats/action/mean'] == pytest.approx([first.mean()])


def test_the_task_is_the_index_of_a_pandas_table(folder):
    table = pq.read_table(folder / 'meta/tasks.parquet')
    assert table.to_pydict() == {'task_index': [0], 'task': ['tiny']}
    assert json.loads(table.schema.metadata[b'pandas'])['index_columns'] == ['task']


def test_the_contract_goes_with_it(folder, contract):
    found = json.loads((folder / 'meta/robot_rl.json').read_text())
    assert found == {'contract': contract.text, 'contract_hash': contract.hash,
                     'interface': contract.interface}


def test_a_full_file_is_followed_by_another(tmp_path, contract, monkeypatch):
    monkeypatch.setattr('robot_rl.data.export_lerobot.FILE_BYTES', 1)
    monkeypatch.setattr('robot_rl.data.export_lerobot.CHUNK_FILES', 2)
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out', contract, lerobot_folder)
    files = sorted(path.relative_to(tmp_path / 'out' / 'data').as_posix()
                   for path in (tmp_path / 'out' / 'data').glob('*/*'))
    assert files == [f'chunk-00{chunk}/file-00{file}.parquet'
                     for chunk, file in ((0, 0), (0, 1), (1, 0))]
    assert [(one['data/chunk_index'], one['data/file_index'])
            for one in read_episodes(tmp_path / 'out')] == [(0, 0), (0, 1), (1, 0)]
    assert read_rows(tmp_path / 'out')['index'].to_pylist() == list(range(sum(LENGTHS)))


def test_episodes_are_written_in_portions(tmp_path, contract, monkeypatch):
    monkeypatch.setattr('robot_rl.data.export_lerobot.EPISODES_AT_ONCE', 2)
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out', contract, lerobot_folder)
    assert [one['episode_index'] for one in read_episodes(tmp_path / 'out')] == [0, 1, 2]


def test_a_folder_that_exists_is_never_written_into(tmp_path, contract):
    root = recorded(tmp_path / 'bags', contract)
    with pytest.raises(UserError, match='exists already'):
        export([root], root, contract, lerobot_folder)


def test_an_export_that_fails_leaves_no_folder(tmp_path, contract):
    recorded(tmp_path / 'bags', contract)
    with pytest.raises(UserError, match='no episode'):
        export([tmp_path / 'absent'], tmp_path / 'out', contract, lerobot_folder)
    assert [path.name for path in tmp_path.iterdir() if 'out' in path.name] == []


def test_without_pyarrow_the_error_names_the_command(tmp_path, contract, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'pyarrow', None)
    with pytest.raises(UserError, match='pip install pyarrow'):
        export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out', contract,
               lerobot_folder)
