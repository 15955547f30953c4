from __future__ import annotations

from dataclasses import fields, replace
import os
from pathlib import Path
import shutil
import signal

from bench import Bench
from diagnostic_msgs.msg import DiagnosticStatus
from made_bags import write_demonstrations
import pytest
from robot_rl.contract import load_contract
from robot_rl.fit_demonstrator import fit_demonstrator
from robot_rl.fit_run import DEMONSTRATOR, fit_identity, FitSettings, NEWEST
from robot_rl.learning.config import FitConfig
from robot_rl.nodes.demo_ingest import DemoIngest, Settings
from robot_rl.ros.qos import LATCHED
from robot_rl.schema import load_yaml
from robot_rl.training_run import read_request, REQUEST, Request, run_folder, write_request
from std_srvs.srv import Trigger

REACH = load_contract('reach')
SMALL = {'chunk': 2, 'replan': 1, 'members': 2, 'fit_updates': 1000, 'fit_threads': 1,
         'min_steps': 3}
PATIENCE = 60.0         # s for a fit, which goes behind everything else on the machine
CONFIG = Path(__file__).parents[2] / 'config' / 'robot_rl.yaml'
OF_A_FIT = ('chunk', 'replan', 'members', 'alpha', 'spread', 'folds', 'fit_updates', 'fit_seed',
            'fit_threads', 'outcomes', 'episode_gap', 'min_steps')


@pytest.fixture(scope='module')
def bags(tmp_path_factory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp('bags'), REACH, 4)


@pytest.fixture(scope='module')
def fitted(tmp_path_factory, bags) -> Path:
    """Return a root with the folder of an undisturbed fit of the small settings."""
    root = tmp_path_factory.mktemp('fitted')
    fit_demonstrator(REACH, settings(bags), [bags], lambda *_, **__: None, lambda: False,
                     folder(root, bags))
    return root


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / 'demonstrators'


@pytest.fixture
def begin(start, root, bags, monkeypatch):
    """Start the node with a small budget."""
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parents[2]))

    def begin(**parameters) -> Bench:
        return start(DemoIngest, **{'fit_dir': str(root), 'bags': [str(bags)], **SMALL,
                                    **parameters})
    return begin


def settings(bags: Path) -> FitSettings:
    return replace(Settings(), bags=(str(bags),), **SMALL).order().settings


def folder(root: Path, bags: Path) -> Path:
    return run_folder(root, fit_identity(REACH, settings(bags), [bags]))


def artifact(folder: Path) -> bytes:
    [path] = folder.glob(f'*/{DEMONSTRATOR}')
    return path.read_bytes()


def fit(bench: Bench):
    return bench.call(Trigger, 'demo_ingest/fit')


def listen(bench: Bench) -> list:
    return bench.listen('std_msgs/msg/UInt8MultiArray', 'demonstrator', LATCHED)


def expect_artifact(bench: Bench, expected: bytes) -> None:
    """Show that a subscriber that comes now gets the demonstrator."""
    arrived = listen(bench)
    bench.until(lambda: arrived)
    assert bytes(arrived[-1].data) == expected


def a_round_is_done(bench: Bench) -> None:
    bench.until(lambda: float(bench.status.get('fit_percent', 0.0)) > 0.0, PATIENCE)


def fit_ends(bench: Bench, phase: str) -> dict[str, str]:
    """Wait for the end of a fit; return the status that tells of it."""
    bench.until(lambda: bench.status.get('fit') == phase, PATIENCE)
    return bench.status


def child(bench: Bench) -> int | None:
    return bench.node._fit._process.pid


def kinds(bench: Bench) -> list[str]:
    return [kind for kind, _ in bench.events]


@pytest.mark.parametrize('read', [lambda: Settings(), lambda: Settings(**{
    key: tuple(value) if isinstance(value, list) else value
    for key, value in load_yaml(CONFIG)['/**/demo_ingest']['ros__parameters'].items()})])
def test_the_defaults_of_node_file_and_fit_agree(read):
    order = read().order()
    assert order.settings == FitSettings(fit=FitConfig()) and order.bags == ()


def test_every_parameter_of_a_fit_changes_what_is_fitted():
    changed = {'outcomes': 'successes', 'spread': 'constant'}
    for item in fields(Settings):
        if item.name in OF_A_FIT:
            value = changed.get(item.name) or item.default / 2 + 3
            order = replace(Settings(), **{item.name: value}).order()
            assert order.settings != FitSettings(), item.name


def test_a_fit_is_watched_and_its_demonstrator_published(begin, root, bags, fitted):
    bench = begin()
    bench.says(fit='idle', text='no scan yet')
    answer = fit(bench)
    assert answer.success and answer.message == (
        f'training in {folder(root, bags)}, see ~/status')
    bench.until(lambda: 'training demonstrator: ' in bench.status.get('text', ''))
    assert fit(bench).message == 'already training, see ~/status'
    a_round_is_done(bench)
    assert {f'fit_{key}' for key in ('percent', 'stage', 'updates', 'loss', 'held_out', 'eta',
                                     'episodes', 'restarts', 'folder')} <= bench.status.keys()
    status = fit_ends(bench, 'done')
    assert (status['fit_percent'], status['fit_episodes'], status['fit_version']) == (
        '100', '4', '1')
    assert {'fit_alpha', 'fit_data', 'fit_covered_50', 'fit_covered_80', 'fit_covered_90',
            'fit_covered_95'} <= status.keys()
    assert bench.event('fit_done')['covered_90'] == status['fit_covered_90']
    assert kinds(bench) == ['fit_started', 'fit_done']
    expect_artifact(bench, artifact(folder(fitted, bags)))      # the same bits as without a node
    assert read_request(folder(root, bags)).phase == 'done'


def test_a_cancelled_fit_goes_on_when_it_is_asked_for_again(begin, root, bags, fitted):
    bench = begin()
    assert bench.call(Trigger, 'demo_ingest/cancel').message == 'nothing to cancel: idle'
    fit(bench)
    a_round_is_done(bench)
    answer = bench.call(Trigger, 'demo_ingest/cancel')
    assert answer.success and '~/fit goes on from the last whole round' in answer.message
    fit_ends(bench, 'cancelled')
    assert bench.event('fit_cancelled') is not None
    assert read_request(folder(root, bags)).phase == 'cancelled'
    assert not list(root.rglob(DEMONSTRATOR))
    assert fit(bench).success
    fit_ends(bench, 'done')
    expect_artifact(bench, artifact(folder(fitted, bags)))


def test_a_child_that_is_killed_is_reported_and_goes_on_to_the_same_bits(begin, bags, fitted):
    bench = begin()
    fit(bench)
    a_round_is_done(bench)
    os.kill(child(bench), signal.SIGKILL)
    assert 'killed by SIGKILL' in bench.event('fit_restarted')['reason']
    assert fit_ends(bench, 'done')['fit_restarts'] == '1'
    expect_artifact(bench, artifact(folder(fitted, bags)))


def test_a_fit_that_was_asked_for_is_taken_up_by_the_next_node(begin, bags, fitted):
    bench = begin()
    fit(bench)
    a_round_is_done(bench)
    bench = begin()         # the first one closes, which does not cancel
    assert bench.event('fit_started')['resumed'] == 'True'
    fit_ends(bench, 'done')
    expect_artifact(bench, artifact(folder(fitted, bags)))


def test_a_demonstrator_is_published_when_the_node_starts(begin, root, bags, fitted):
    shutil.copytree(fitted, root)
    bench = begin()
    assert float(fit_ends(bench, 'done')['fit_covered_90']) >= 0.0
    expect_artifact(bench, artifact(folder(fitted, bags)))
    assert not bench.events and child(bench) is None


def test_a_node_without_recordings_publishes_nothing(begin, root, fitted):
    shutil.copytree(fitted, root)
    bench = begin(bags=[''])
    arrived = listen(bench)
    bench.says(fit='idle')
    bench.settle()
    answer = fit(bench)
    assert (answer.success, answer.message) == (False, 'the parameter bags names no folder')
    assert not arrived and not bench.events


def test_a_demonstrator_stays_published_while_a_fit_is_taken_up(begin, root, bags, fitted):
    shutil.copytree(fitted, root)
    request = read_request(folder(fitted, bags)) or Request(
        'training', '', fit_identity(REACH, settings(bags), [bags]))
    write_request(folder(root, bags), request)
    bench = begin()
    expect_artifact(bench, artifact(folder(fitted, bags)))
    assert bench.event('fit_started')['resumed'] == 'True'
    fit_ends(bench, 'done')


def test_asking_again_reads_again_and_fits_only_what_is_new(begin, root, tmp_path, bags):
    place = shutil.copytree(bags, tmp_path / 'place')
    bench = begin(bags=[str(place)])
    fit(bench)
    first = fit_ends(bench, 'done')
    fit(bench)
    bench.until(lambda: kinds(bench).count('fit_done') == 2, PATIENCE)
    bench.says(fit='done', fit_data=first['fit_data'], fit_version=1)
    write_demonstrations(place, REACH, 1, first=9)
    fit(bench)
    bench.until(lambda: bench.status.get('fit_version') == '2', PATIENCE)
    bench.says(fit='done', fit_episodes=5)
    assert bench.status['fit_data'] != first['fit_data']
    assert len(list(root.rglob(DEMONSTRATOR))) == 2


def expect_failure(bench: Bench, reason: str) -> None:
    """Show that the reason is in an event and in the status, and that the node still answers."""
    status = fit_ends(bench, 'failed')
    assert reason in bench.event('fit_failed')['reason']
    assert reason in status['fit_reason'] and reason in status['text']
    assert bench.node._describe().level == DiagnosticStatus.ERROR
    assert bench.call(Trigger, 'demo_ingest/scan').success
    assert bench.event('scanned')


def test_recordings_that_are_not_there_end_a_fit_with_a_reason(begin, tmp_path):
    bench = begin(bags=[str(tmp_path / 'nowhere')])
    assert fit(bench).success       # at once: the child looks
    expect_failure(bench, 'nowhere')
    assert bench.status['fit_restarts'] == '0'
    begin(bags=[str(tmp_path / 'nowhere')]).says(fit='failed')      # and is not tried for ever


def test_too_few_episodes_end_a_fit_with_a_reason(begin, bags):
    bench = begin(bags=[str(bags / 'episode_0')])
    assert fit(bench).success
    expect_failure(bench, 'expected at least two')


def test_settings_that_cannot_work_are_answered_and_may_be_mended(begin, root):
    bench = begin(replan=3)
    answer = fit(bench)
    assert not answer.success and 'replan: expected 1 to chunk = 2, found 3' in answer.message
    assert not bench.events and not root.exists()
    assert bench.set(replan=2)[0].successful and fit(bench).success
    bench.says(fit='training')


def test_a_damaged_demonstrator_is_refused_by_its_name_and_stays(begin, root, bags, fitted):
    shutil.copytree(fitted, root)
    [path] = root.rglob(DEMONSTRATOR)
    path.write_bytes(path.read_bytes()[:-1])
    bench = begin()
    expect_failure(bench, DEMONSTRATOR)
    assert path.exists()


@pytest.mark.parametrize('name', [REQUEST, NEWEST])
def test_a_damaged_file_of_a_fit_is_refused_by_its_name(begin, root, bags, name):
    folder(root, bags).mkdir(parents=True)
    (folder(root, bags) / name).write_text('{')
    expect_failure(begin(), name)


def test_a_folder_that_cannot_be_written_is_answered(begin, root):
    bench = begin()
    root.write_text('in the way')
    answer = fit(bench)
    assert not answer.success and str(root) in answer.message
    bench.says(fit='idle')


def test_a_contract_that_changed_under_the_node_is_refused(begin, make_contract):
    contract = make_contract()
    bench = begin(contract=str(contract.file))
    contract.file.write_text(contract.file.read_text() + '# changed\n')
    assert fit(bench).success
    expect_failure(bench, f'{REQUEST}: contract: expected')
