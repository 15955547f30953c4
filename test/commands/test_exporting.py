from __future__ import annotations

from made_bags import write_demonstrations
import numpy as np
import pytest
from robot_rl.cli import main
from robot_rl.contract import load_contract
from robot_rl.data.bag import bag_transitions, find_bags
from robot_rl.data.transitions import COLUMNS

CONTRACT = load_contract('puck_push')


@pytest.fixture
def bags(tmp_path):
    """Write three episodes of puck_push, of which one was discarded."""
    write_demonstrations(tmp_path / 'bags', CONTRACT, 2)
    return write_demonstrations(tmp_path / 'bags', CONTRACT, 1, first=2, outcome='discarded')


@pytest.mark.parametrize(('kind', 'library'), [('robomimic', 'h5py'), ('lerobot', 'pyarrow')])
def test_exporting_says_what_was_written_and_what_was_left_out(bags, tmp_path, capsys, kind,
                                                               library):
    pytest.importorskip(library)
    assert main(['export', str(bags), str(tmp_path / 'out'), '--format', kind, '--contract',
                 'puck_push']) == 0
    printed = capsys.readouterr()
    assert printed.out == f'{tmp_path / "out"}: 2 episodes, 40 transitions, 2 successes\n'
    assert f'left out: {bags / "episode_2"}: episode 0: discarded' in printed.err


def test_the_shipped_contract_comes_back_to_the_bit(bags, tmp_path, capsys):
    pytest.importorskip('h5py')
    file, again = tmp_path / 'out.hdf5', tmp_path / 'again'
    assert main(['export', str(bags), str(file), '--format', 'robomimic', '--contract',
                 'puck_push']) == 0
    assert main(['import', 'robomimic', str(file), str(again), '--contract', 'puck_push']) == 0
    printed = capsys.readouterr()
    assert printed.out.endswith(f'{again}: 2 episodes; read them with demo_ingest\n')
    assert 'differ' not in printed.err
    for one, other in zip(find_bags(bags), find_bags(again)):
        before, after = bag_transitions(one, CONTRACT), bag_transitions(other, CONTRACT)
        assert len(before) == 20
        for name in COLUMNS:
            assert np.array_equal(getattr(before, name), getattr(after, name)), name


def test_rewards_that_are_not_the_contracts_are_told(bags, tmp_path, capsys):
    h5py = pytest.importorskip('h5py')
    file = tmp_path / 'out.hdf5'
    main(['export', str(bags), str(file), '--format', 'robomimic', '--contract', 'puck_push'])
    with h5py.File(file, 'r+') as opened:
        opened['data/demo_0/rewards'][:3] += 1.0
    main(['import', 'robomimic', str(file), str(tmp_path / 'again'), '--contract', 'puck_push'])
    assert '3 of 40 rewards differ from those in the file' in capsys.readouterr().err


@pytest.mark.parametrize('argv', [
    ['export', 'absent', 'out', '--format', 'robomimic', '--contract', 'puck_push'],
    ['export', 'absent', 'out', '--format', 'lerobot', '--contract', 'puck_push'],
    ['export', 'bags', 'out', '--format', 'lerobot', '--contract', 'absent.yaml'],
    ['export', 'bags', 'bags', '--format', 'robomimic', '--contract', 'puck_push'],
    ['import', 'robomimic', 'absent.hdf5', 'new', '--contract', 'puck_push']])
def test_bad_input_is_an_error_without_a_traceback(bags, tmp_path, capsys, monkeypatch, argv):
    pytest.importorskip('h5py')
    pytest.importorskip('pyarrow')
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith('error: ')
    assert [path.name for path in tmp_path.iterdir()] == ['bags']
