from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.bag import find_bags, read_info
from robot_rl.data.ingest import Ingest
from robot_rl.data.pusht import import_pusht, read_pusht
from robot_rl.data.transitions import COLUMNS
from robot_rl.errors import InvalidFile, UserError

CONTRACT = load_contract('push_t')
REAL = os.environ.get('ROBOT_RL_PUSHT', '')


def arrays(lengths=(9, 12)) -> dict[str, np.ndarray]:
    """Return made-up demonstrations: a pusher on a line, a T that turns."""
    count = sum(lengths)
    state = np.stack((np.linspace(50, 450, count), np.full(count, 100.0),
                      np.full(count, 300.0), np.full(count, 200.0),
                      np.linspace(0, 6, count)), axis=1).astype(np.float32)
    return {'state': state, 'action': state[:, :2] + 8, 'episode_ends': np.cumsum(lengths)}


@pytest.fixture
def write(tmp_path):
    def write(**changed):
        np.savez(tmp_path / 'demos.npz', **{**arrays(), **changed})
        return tmp_path / 'demos.npz'
    return write


@pytest.fixture
def imported(write, tmp_path):
    assert import_pusht(write(), tmp_path / 'bags') == 2
    return tmp_path / 'bags'


def test_each_episode_becomes_a_bag_that_demo_ingest_reads(imported):
    found = list(Ingest([imported], CONTRACT))
    assert [len(one.transitions) for one in found] == [8, 11]
    assert [info.custom_data['outcome'] for info in map(read_info, find_bags(imported))] == [
        'truncated', 'truncated']


def test_pixels_become_metres_and_the_angle_two_points(imported):
    first = next(iter(Ingest([imported], CONTRACT))).transitions
    assert first.observation[0] == pytest.approx([0.05, 0.1, 0.3, 0.2, 0.3, 0.32])
    assert first.action[0] == pytest.approx([0.058, 0.108])


def test_the_raw_topics_align_to_the_step_records(imported, monkeypatch):
    recorded = list(Ingest([imported], CONTRACT))
    monkeypatch.setattr('robot_rl.data.ingest._recorded', lambda *arguments: iter(()))
    aligned = list(Ingest([imported], CONTRACT))
    for one, other in zip(recorded, aligned, strict=True):
        for column in COLUMNS:
            assert np.array_equal(getattr(one.transitions, column),
                                  getattr(other.transitions, column)), column


def test_a_folder_that_exists_is_never_written_into(write, tmp_path):
    with pytest.raises(UserError, match='exists already'):
        import_pusht(write(), tmp_path)


def test_what_an_interrupted_import_left_is_made_again(write, tmp_path):
    (tmp_path / '.bags.unfinished' / 'episode_000001').mkdir(parents=True)
    assert import_pusht(write(), tmp_path / 'bags') == 2


@pytest.mark.parametrize('changed, key', [
    ({'state': np.zeros((21, 4))}, 'state'), ({'action': np.zeros((21, 2), int)}, 'action'),
    ({'action': np.zeros((20, 2))}, 'episode_ends'),
    ({'state': np.full((21, 5), np.nan)}, 'finite'),
    ({'episode_ends': np.array([9, 9, 21])}, 'episode_ends'),
    ({'episode_ends': np.array([], int)}, 'episode_ends'),
    ({'episode_ends': np.array([9, 2**40])}, 'episode_ends'),
    ({'state': np.array([{'a': 1}], object)}, 'file')])
def test_arrays_that_are_not_demonstrations_are_refused_by_key(write, changed, key):
    with pytest.raises(InvalidFile, match=key):
        list(read_pusht(write(**changed)))


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04', b'text' * 100])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    (tmp_path / 'demos.npz').write_bytes(content)
    with pytest.raises(InvalidFile, match='demos.npz'):
        import_pusht(tmp_path / 'demos.npz', tmp_path / 'bags')
    assert not (tmp_path / 'bags').exists()


def test_an_array_that_would_fill_the_memory_is_refused_before_it_is_read(write, monkeypatch):
    monkeypatch.setattr('robot_rl.data.pusht.MAX_BYTES', 100)
    with pytest.raises(InvalidFile, match='at most 100 bytes'):
        list(read_pusht(write()))


@pytest.mark.skipif(not REAL, reason='ROBOT_RL_PUSHT names no file')
def test_the_real_file_has_all_its_episodes():
    episodes = list(read_pusht(Path(REAL)))
    assert len(episodes) == 206 and sum(len(state) for state, _ in episodes) == 25_650
