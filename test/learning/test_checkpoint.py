from __future__ import annotations

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import Mismatch, UserError
from robot_rl.learning.checkpoint import load_checkpoint, newest_checkpoint, save_checkpoint

REACH = load_contract('reach')


def save(folder, updates: int, keep: int = 3, contract=REACH):
    return save_checkpoint(folder, {'a': np.full(100, updates, np.float32)},
                           {'updates': updates, 'kind': 'anything'}, contract, keep)


def newest(folder):
    found, refused = newest_checkpoint(folder, REACH)
    return found and found[2]['updates'], refused


def names(folder) -> list[int]:
    return sorted(int(path.stem.partition('_')[2]) for path in folder.glob('*.safetensors'))


def test_a_checkpoint_reads_back(tmp_path):
    arrays, manifest = load_checkpoint(save(tmp_path / 'new' / 'folder', 70), REACH)
    assert (arrays['a'] == 70).all() and manifest['updates'] == 70
    assert manifest['contract_hash'] == REACH.hash


def test_the_newest_is_taken_by_its_updates_not_by_its_time(tmp_path):
    for updates in (500, 2000, 1000):
        save(tmp_path, updates)
    assert newest(tmp_path) == (2000, [])


def test_only_the_newest_are_kept(tmp_path):
    for updates in (1, 20, 300, 4000):
        save(tmp_path, updates, keep=2)
    assert names(tmp_path) == [300, 4000]


def test_an_empty_or_missing_folder_has_none(tmp_path):
    assert newest(tmp_path) == newest(tmp_path / 'absent') == (None, [])


def test_what_a_kill_while_writing_left_behind_is_not_a_checkpoint(tmp_path):
    path = save(tmp_path, 100)
    half = path.with_name('checkpoint_000000150.safetensors.tmp')
    half.write_bytes(path.read_bytes()[:50])
    assert newest(tmp_path) == (100, [])
    save(tmp_path, 200)
    assert newest(tmp_path) == (200, []) and not half.exists()


def test_a_failed_write_leaves_the_old_checkpoints(tmp_path, monkeypatch):
    save(tmp_path, 100, keep=1)

    def full(*arguments):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError):
        save(tmp_path, 200, keep=1)
    assert newest(tmp_path) == (100, [])
    assert not list(tmp_path.glob('*.tmp'))     # its room is given back


@pytest.mark.parametrize('damage', [lambda data: b'', lambda data: data[:-1],
                                    lambda data: b'\x00' * len(data), lambda data: data[:20]])
def test_a_damaged_newest_falls_back_and_says_so(tmp_path, damage):
    save(tmp_path, 100)
    path = save(tmp_path, 200)
    path.write_bytes(damage(path.read_bytes()))
    updates, refused = newest(tmp_path)
    assert updates == 100 and len(refused) == 1 and refused[0].reason.startswith(f'{path}: ')


def test_a_refused_checkpoint_is_moved_aside_and_keeps_its_bytes(tmp_path):
    save(tmp_path, 100)
    kept = []
    for data in (b'first', b'second'):
        path = save(tmp_path, 200)
        path.write_bytes(data)
        [refused] = newest(tmp_path)[1]
        assert refused.path == path and not path.exists()
        assert str(refused) == f'skipped {refused.reason}; moved to {refused.moved}'
        kept.append(refused.moved)
    assert [path.read_bytes() for path in kept] == [b'first', b'second']
    assert newest(tmp_path) == (100, [])


def test_where_it_cannot_be_moved_it_is_skipped_all_the_same(tmp_path):
    save(tmp_path, 100)
    save(tmp_path, 200).write_bytes(b'')
    (tmp_path / 'refused').write_text('a file in the way')
    updates, [refused] = newest(tmp_path)
    assert updates == 100 and refused.moved == refused.path and refused.path.exists()
    assert '; moved to' not in str(refused)


def test_what_is_not_taken_falls_back_to_the_one_before(tmp_path):
    for updates in (100, 200):
        save(tmp_path, updates)

    def take(path, arrays, manifest):
        if manifest['updates'] == 200:
            raise UserError(f'{path}: of another learner')
    found, [refused] = newest_checkpoint(tmp_path, REACH, take)
    assert found[2]['updates'] == 100 and refused.reason.endswith(': of another learner')


def test_where_there_are_only_foreign_ones_the_newest_error_is_raised_and_nothing_moves(tmp_path):
    for updates in (100, 200, 300):
        save(tmp_path, updates).write_bytes(b'') if updates == 300 else save(tmp_path, updates)

    def take(path, arrays, manifest):
        raise UserError(f'{path}: of another learner')
    with pytest.raises(UserError, match='000000200.* of another learner'):
        newest_checkpoint(tmp_path, REACH, take)
    assert names(tmp_path) == [100, 200, 300]


def test_damaged_newer_ones_do_not_push_out_what_is_saved_after_the_fallback(tmp_path):
    for updates in (100, 200, 300):
        save(tmp_path, updates)
    for updates in (200, 300):
        (tmp_path / f'checkpoint_{updates:09d}.safetensors').write_bytes(b'')
    save(tmp_path, 150, keep=2)
    assert newest(tmp_path)[0] == 150


def test_a_checkpoint_of_another_contract_is_skipped_only_for_one_of_this(tmp_path):
    save(tmp_path, 200, contract=load_contract('puck_push'))
    with pytest.raises(Mismatch, match='checkpoint_000000200.*another contract'):
        newest_checkpoint(tmp_path, REACH)
    save(tmp_path, 100)
    updates, [refused] = newest(tmp_path)
    assert updates == 100 and 'another contract' in refused.reason
    assert refused.moved == tmp_path / 'refused' / 'checkpoint_000000200.safetensors'


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UserError, match='absent: cannot be read'):
        load_checkpoint(tmp_path / 'absent', REACH)


def test_another_kind_of_file_is_refused(tmp_path):
    from robot_rl.bundle import pack
    (tmp_path / 'x').write_bytes(pack({}, {'kind': 'gaussian', 'interface': REACH.interface}))
    with pytest.raises(UserError, match="kind: expected checkpoint, found 'gaussian'"):
        load_checkpoint(tmp_path / 'x', REACH)


def test_no_more_of_a_file_is_read_than_the_bound(tmp_path, monkeypatch):
    path = save(tmp_path, 100)
    monkeypatch.setattr('robot_rl.learning.checkpoint.MAX_BYTES', path.stat().st_size - 2)
    with pytest.raises(UserError, match=path.name):
        load_checkpoint(path, REACH)
