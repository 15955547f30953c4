from __future__ import annotations

from dataclasses import replace
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess

from made_bags import write_demonstrations
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.ingest import IngestSettings
from robot_rl.errors import UserError
from robot_rl.fit_demonstrator import fit_demonstrator, Fitting, main
from robot_rl.fit_options import child_command
from robot_rl.fit_run import (DEMONSTRATOR, fit_identity, FitSettings, NEWEST, read_fit,
                              read_newest)
from robot_rl.learning.config import FitConfig
from robot_rl.learning.diffusion_policy import decode_demonstrator
from robot_rl.training_run import REQUEST, Request, write_request

REACH = load_contract('reach')
# Two to five rounds of the ensemble, three of the policy, one of the calibration.
SMALL = FitSettings(
    IngestSettings(min_steps=3),
    FitConfig(chunk=3, replan=2, members=2, updates=1500, ensemble_updates=500, width=16,
              depth=1, batch=32, sampling_steps=2), threads=1)
PATIENCE = 60.0     # s, far more than a child here takes


@pytest.fixture(scope='module')
def bags(tmp_path_factory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('bags'), REACH, 4)


@pytest.fixture(scope='module')
def undisturbed(bags, tmp_path_factory) -> Path:
    """Return the folder of a request whose fit nobody disturbed."""
    folder = tmp_path_factory.mktemp('fits') / 'request'
    assert fit(folder, [bags])
    return folder


def fit(folder: Path, bags: list[Path], settings: FitSettings = SMALL, said=None,
        cancelled=lambda: False):
    said = [] if said is None else said
    return fit_demonstrator(REACH, settings, bags,
                            lambda state, **figures: said.append({'state': state, **figures}),
                            cancelled, folder)


def artifact(folder: Path) -> bytes:
    [path] = folder.glob(f'*/{DEMONSTRATOR}')
    return path.read_bytes()


@pytest.fixture
def start(bags, monkeypatch):
    """Start children that fit; all are killed at the end."""
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parents[1]))
    children = []

    def begin(folder: Path) -> subprocess.Popen:
        children.append(subprocess.Popen(child_command(REACH.file, folder, SMALL, [bags]),
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return children[-1]

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def test_a_fit_leaves_demonstrator_calibration_and_what_was_read(undisturbed, bags):
    fitted = read_newest(undisturbed, REACH, fit_identity(REACH, SMALL, [bags]))
    policy = decode_demonstrator(fitted.artifact, REACH, 'it')
    assert (policy.version, policy.chunk, policy.replan) == (1, 3, 2)
    assert policy.plan(np.zeros(len(REACH.layout)), None).shape == (3, 2)
    assert {path.name for path in fitted.folder.iterdir()} >= {
        DEMONSTRATOR, 'calibration.json', 'calibration.png', 'demonstrations.json',
        'demonstrations.txt', 'coverage.png'}
    assert json.loads((fitted.folder / 'calibration.json').read_text()) == (
        policy.manifest['provenance']['calibration'])
    assert len(list(fitted.folder.glob('checkpoint_*'))) == 2
    summary = fitted.summary
    assert (summary['episodes'], summary['steps'], summary['successes']) == (4, 80, 4)
    assert {'alpha', 'covered_50', 'covered_80', 'covered_90', 'covered_95'} <= summary.keys()


def test_every_round_is_told(bags, tmp_path):
    said: list[dict] = []
    fit(tmp_path / 'request', [bags], said=said)
    percents = [figures['percent'] for figures in said]
    assert percents == sorted(percents) and percents[-1] == 100.0
    assert {figures['stage'] for figures in said} >= {'policy', 'calibration', 'done'}
    assert all(figures['state'] == 'training' and figures['eta'] >= 0.0
               and {'updates', 'loss', 'held_out', 'episodes'} <= figures.keys()
               for figures in said)


def test_a_child_killed_in_each_of_its_rounds_goes_on_to_the_same_bits(
        start, undisturbed, tmp_path):
    folder, kills = tmp_path / 'fits' / 'request', 5
    for _ in range(kills):
        child = start(folder)
        assert told(child)['state'] == 'training'
        os.kill(child.pid, signal.SIGKILL)
        child.wait(PATIENCE)
    *said, last = heard(start(folder))
    assert last['state'] == 'done' and len(said) <= rounds_of(undisturbed) - kills
    assert artifact(folder) == artifact(undisturbed)


def heard(child: subprocess.Popen) -> list[dict]:
    """Return what a child says to its end; its stdin stays open, else it would end at once."""
    return [json.loads(line) for line in child.stdout.read().splitlines()
            if not preparing(line)]


def told(child: subprocess.Popen) -> dict:
    """Return what a child says next."""
    while preparing(line := child.stdout.readline()):
        pass
    return json.loads(line)


def preparing(line: str) -> bool:
    """Tell of a line that comes where reading takes long: on a busy machine only."""
    return bool(line.strip()) and json.loads(line)['state'] == 'preparing'


def rounds_of(folder: Path) -> int:
    """Return how many rounds a fit took."""
    return int(max(folder.glob('*/checkpoint_*')).stem.rpartition('_')[2])


def test_a_cancelled_child_says_so_and_its_fit_goes_on_later(start, undisturbed, tmp_path):
    folder = tmp_path / 'fits' / 'request'
    child = start(folder)
    child.stdout.readline()
    child.terminate()
    assert heard(child)[-1] == {'state': 'cancelled'} and child.wait(PATIENCE) == 0
    assert heard(start(folder))[-1]['state'] == 'done'
    assert artifact(folder) == artifact(undisturbed)


def test_a_fit_that_is_there_is_not_made_again(undisturbed, bags):
    said: list[dict] = []
    before = (undisturbed / NEWEST).stat().st_mtime_ns
    fitted = fit(undisturbed, [bags], said=said)
    assert not said and fitted.artifact == artifact(undisturbed)
    assert (undisturbed / NEWEST).stat().st_mtime_ns >= before


def test_other_recordings_in_the_same_place_are_fitted_beside_the_first(bags, tmp_path):
    place, folder = tmp_path / 'bags', tmp_path / 'fits' / 'request'
    shutil.copytree(bags, place)
    first = fit(folder, [place])
    write_demonstrations(place, REACH, 1, first=9)
    second = fit(folder, [place])
    identity = fit_identity(REACH, SMALL, [place])
    assert first.folder != second.folder and first.folder.parent == second.folder.parent
    assert (first.summary['version'], second.summary['version']) == (1, 2)
    assert second.summary['episodes'] == 5
    assert read_newest(folder, REACH, identity) == second
    shutil.rmtree(place / 'episode_9')
    assert fit(folder, [place]) == first == read_newest(folder, REACH, identity)


@pytest.mark.parametrize('changed', [
    {'ingest': IngestSettings(min_steps=4)}, {'threads': 2},
    {'fit': replace(SMALL.fit, alpha=0.5)}])
def test_other_settings_are_another_request(bags, changed):
    identities = [fit_identity(REACH, settings, [bags])
                  for settings in (SMALL, replace(SMALL, **changed))]
    assert identities[0] != identities[1]
    assert fit_identity(REACH, SMALL, [bags / 'episode_0']) not in identities


def test_a_fit_without_an_episode_says_what_there_was_instead(tmp_path):
    write_demonstrations(tmp_path / 'bags', REACH, 2, actions=2)
    with pytest.raises(UserError, match=r'expected at least two.*found 0.*nowhere.*no such file.*'
                                        r'too short \(2 times\); see'):
        fit(tmp_path / 'request', [tmp_path / 'nowhere', tmp_path / 'bags'])
    [report] = (tmp_path / 'request').glob('*/demonstrations.json')
    assert json.loads(report.read_text())['episodes_dropped'] == 2


def test_too_few_episodes_are_told(tmp_path):
    bags = write_demonstrations(tmp_path / 'bags', REACH, 1)
    with pytest.raises(UserError, match='demonstrations: expected at least two.*found 1'):
        fit(tmp_path / 'request', [bags])


def test_settings_that_cannot_work_are_told_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match='fit: replan: expected 1 to chunk = 3, found 4'):
        fit(tmp_path / 'request', [tmp_path], replace(SMALL, fit=replace(SMALL.fit, replan=4)))
    with pytest.raises(UserError, match='fit: threads: expected at least 1, found 0'):
        fit(tmp_path / 'request', [tmp_path], replace(SMALL, threads=0))
    assert not (tmp_path / 'request').exists()


def test_nothing_is_fitted_but_what_was_asked_for(bags, tmp_path):
    identity = fit_identity(REACH, SMALL, [bags])
    write_request(tmp_path, Request('training', '', identity | {'alpha': 0.5}))
    with pytest.raises(UserError, match=f'{REQUEST}: alpha: expected -1.0, found 0.5'):
        fit(tmp_path, [bags])


def test_a_fit_of_other_settings_is_not_taken_for_this_one(undisturbed, bags):
    identity = fit_identity(REACH, SMALL, [bags]) | {'seed': 9}
    with pytest.raises(UserError, match=f'{DEMONSTRATOR}: seed: expected 9, found 0'):
        read_newest(undisturbed, REACH, identity)


@pytest.mark.parametrize('text', ['', '{', '[]', 'null', '{"data": 3}', '{"data": "../../etc"}'])
def test_a_damaged_name_of_the_newest_is_told(tmp_path, text):
    (tmp_path / NEWEST).write_text(text)
    with pytest.raises(UserError, match=f'{NEWEST}: expected the name of a fit.*move it away'):
        read_newest(tmp_path, REACH, {})


def test_before_the_first_fit_there_is_none(tmp_path):
    assert read_newest(tmp_path, REACH, {}) is None and read_fit(tmp_path, REACH, {}) is None


def test_a_damaged_checkpoint_is_passed_over(bags, undisturbed, tmp_path, monkeypatch):
    folder = tmp_path / 'fits' / 'request'
    monkeypatch.setattr(Fitting, 'finish', lambda run: None)
    with pytest.raises(AttributeError):
        fit_demonstrator(REACH, SMALL, [bags], lambda *_, **__: None, lambda: False, folder,
                         clock=lambda: 0.0).artifact
    monkeypatch.undo()
    newest = max(folder.glob('*/checkpoint_*'))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert fit(folder, [bags]).artifact == artifact(undisturbed)


def test_a_command_line_with_bad_input_ends_with_a_line_and_no_traceback(tmp_path, capsys):
    code = main(['--contract=reach', f'--run-dir={tmp_path / "run"}', '--bag=/nowhere'])
    said = json.loads(capsys.readouterr().out)
    assert code == 2 and said['state'] == 'failed' and '/nowhere' in said['error']
