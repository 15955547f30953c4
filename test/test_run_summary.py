from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from made_bags import write_demonstration
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.bag_metadata import METADATA_FILE
from robot_rl.errors import UserError
from robot_rl.run_summary import find_runs, STARTING, summarize

REACH = load_contract('reach')


@pytest.fixture
def run(tmp_path) -> Path:
    """Return an empty folder of a run."""
    folder = tmp_path / 'today'
    folder.mkdir()
    return folder


def say(run: Path, age: float = 0.0, **told) -> None:
    path = run / 'run.json'
    path.write_text(json.dumps({'started': 1.7e9, **told}))
    written = path.stat().st_mtime - age
    os.utime(path, (written, written))


def record(run: Path, *episodes: tuple[str, str], folder: str = 'bags') -> None:
    """Record episodes (mode, outcome)."""
    for number, (mode, outcome) in enumerate(episodes):
        write_demonstration(run / folder / f'episode_{number:06d}', REACH, number, 3, mode=mode,
                            outcome=outcome, task='reach', contract_hash=REACH.hash)


def test_a_run_is_a_folder_with_the_marks_of_one(tmp_path):
    for name in ('b/bags', 'a/explorers', 'c/checkpoints', 'other/things', 'd/demonstrators'):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / 'file').touch()
    assert [folder.name for folder in find_runs(tmp_path)] == ['a', 'b', 'c', 'd']
    assert find_runs(tmp_path / 'b') == [tmp_path / 'b']
    with pytest.raises(UserError, match='no such folder'):
        find_runs(tmp_path / 'file')


def test_a_finished_demo(run):
    record(run, ('learn', 'truncated'), ('learn', 'success'))
    say(run, ended='completed', kept={
        'policy': 'learned', 'learned_successes': 19, 'learned_episodes': 20,
        'sim_optimal_successes': 0, 'sim_optimal_episodes': 20})
    found = summarize(run)
    assert (found.name, found.kind, found.state, found.started) == (
        'today', 'demo', 'finished', 1.7e9)
    assert (found.task, found.contract_hash) == ('reach', REACH.hash)
    assert (found.episodes, found.mode, found.successes, found.counted) == (2, 'learn', 1, 2)
    assert (found.kept, found.note) == ('learned 19/20, sim-optimal 0/20', '')
    assert found.bytes == sum(path.stat().st_size for path in run.rglob('*') if path.is_file())


def test_what_policy_server_kept_in_a_run_by_hand_is_told(run):
    record(run, ('learn', 'success'))
    (run / 'kept').mkdir()
    (run / 'kept' / 'kept.json').write_text(json.dumps(
        {'policy': 'learned', 'learned_successes': 18, 'learned_episodes': 20}))
    assert summarize(run).kept == 'learned 18/20'
    (run / 'kept' / 'kept.json').write_text('{')
    assert summarize(run).kept == ''


def test_a_demo_of_demonstrations_is_told_by_its_folder(run):
    record(run, ('scripted', 'success'), folder='demonstrations')
    say(run, ended='completed')
    found = summarize(run)
    assert (found.kind, found.episodes, found.mode) == ('demo-demonstrations', 1, 'scripted')


@pytest.mark.parametrize(('ended', 'age', 'state', 'note'), [
    ('interrupted', 0.0, 'interrupted', ''), ('failed: no room', 0.0, 'failed', 'no room'),
    ('running', 0.0, 'running', ''), ('running', 2 * STARTING, 'interrupted', '')])
def test_the_state_of_a_demo(run, ended, age, state, note):
    say(run, age, ended=ended)
    found = summarize(run)
    assert (found.state, found.note) == (state, note)


@pytest.mark.parametrize('lock', ['bags/.lock', 'explorers/0123456789ab/lock'])
def test_a_run_in_which_somebody_works_is_running(run, lock):
    say(run, 2 * STARTING, ended='running')
    (run / lock).parent.mkdir(parents=True)
    with open(run / lock, 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert summarize(run).state == 'running'
    assert summarize(run).state == 'interrupted'


def test_a_run_of_the_launch_files(run):
    record(run, ('learn', 'success'))
    (run / 'bags' / 'session.yaml').write_text('session: x\nbegan: 1600000000000000000\n')
    found = summarize(run)
    assert (found.kind, found.state, found.started) == ('sim', 'finished', 1.6e9)
    (run / 'bags' / 'episode_000000' / METADATA_FILE).unlink()
    assert summarize(run).state == 'interrupted'


def test_the_newest_episodes_are_those_of_the_last_mode(run):
    record(run, *[('explore', 'success')] * 3, ('learn', 'success'), *[('learn', 'failure')] * 21)
    found = summarize(run)
    assert (found.mode, found.successes, found.counted) == ('learn', 0, 20)


def test_what_was_stopped_is_no_success_and_no_failure_of_the_newest(run):
    record(run, ('learn', 'success'), ('learn', 'aborted'), ('learn', 'abandoned'),
           ('learn', 'truncated'))
    found = summarize(run)
    assert (found.episodes, found.mode, found.successes, found.counted) == (4, 'learn', 1, 2)


def test_of_a_comparison_the_learned_policy_counts(run):
    record(run, *[('evaluate', 'success'), ('transfer', 'failure')] * 2)
    found = summarize(run)
    assert (found.mode, found.successes, found.counted) == ('evaluate', 2, 2)


@pytest.mark.parametrize('text', [
    '', '{', '[]', '\x00', '{"started": NaN, "kept": {"policy": []}}',
    '{"started": 1e300, "ended": 7, "kept": "x"}'])
def test_a_run_that_says_nonsense_is_listed(run, text):
    (run / 'run.json').write_text(text)
    found = summarize(run)
    assert abs(found.started - run.stat().st_mtime) < 1.0
    assert ('run.json' in found.note) == (not text.startswith('{"'))


def test_a_run_that_crashed_at_once_is_listed(run):
    (run / 'contract.yaml').write_text(REACH.text)
    (run / 'bags').mkdir()
    (run / 'bags' / 'episode_000001').mkdir()
    (run / 'bags' / 'episode_000001' / 'x_0.mcap').write_bytes(b'')
    found = summarize(run)
    assert (found.task, found.episodes, found.counted, found.kept) == ('reach', 1, 0, '')
    assert found.state == 'interrupted'


@pytest.mark.parametrize(('folder', 'kind'), [('explorers', 'explorers'), ('demonstrators', 'fit'),
                                              ('checkpoints', '')])
def test_a_run_without_episodes_is_known_by_what_it_trained(run, folder, kind):
    (run / folder).mkdir()
    found = summarize(run)
    assert (found.kind, found.episodes, found.state) == (kind, 0, 'finished')
