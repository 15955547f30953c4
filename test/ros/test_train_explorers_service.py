from __future__ import annotations

from dataclasses import fields, replace
import os
from pathlib import Path
import shutil
import signal

from bench import Bench
from diagnostic_msgs.msg import DiagnosticStatus
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.learning.policy import decode_explorers, decode_policy
from robot_rl.nodes.sim_bridge import Settings, SimBridge
from robot_rl.paths import contract_path
from robot_rl.ros.qos import COMMAND, LATCHED, STREAM
from robot_rl.schema import load_yaml
from robot_rl.sim.explorer_run import EXPLORERS, run_identity, SIM_OPTIMAL
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.train_explorers import train_explorers
from robot_rl.training_run import read_request, REQUEST, Request, run_folder, write_request
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

REACH = load_contract('reach')
SMALL = {'explorers': 3, 'sim_steps': 7200, 'sim_updates': 320, 'worlds': 9, 'train_workers': 1}
SETTINGS = replace(Settings(), **SMALL).training()
ARTIFACTS = {'explorers': EXPLORERS, 'sim_optimal': SIM_OPTIMAL}
PATIENCE = 60.0         # s for a training, which goes behind everything else on the machine
CONFIG = Path(__file__).parents[2] / 'config' / 'robot_rl.yaml'


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """Return a root with the folder of an undisturbed run of the small settings."""
    use_threads(1)
    root = tmp_path_factory.mktemp('trained')
    train_explorers(REACH, SETTINGS, [].append, lambda: False, folder(root))
    return root


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / 'explorers'


@pytest.fixture
def begin(start, root, monkeypatch):
    """Start the node with a small budget."""
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parents[2]))

    def begin(**parameters) -> Bench:
        return start(SimBridge, **{'explorers_dir': str(root), 'lockstep': True, **SMALL,
                                   **parameters})
    return begin


def folder(root: Path, contract=REACH, settings: TrainSettings = SETTINGS) -> Path:
    return run_folder(root, run_identity(contract, settings))


def train(bench: Bench):
    return bench.call(Trigger, 'sim_bridge/train_explorers')


def cancel(bench: Bench):
    return bench.call(Trigger, 'sim_bridge/cancel')


def listen(bench: Bench) -> dict[str, list]:
    return {name: bench.listen('std_msgs/msg/UInt8MultiArray', name, LATCHED)
            for name in ARTIFACTS}


def expect_artifacts(bench: Bench, source: Path) -> None:
    """Show that a subscriber that comes now gets the artifacts in a folder."""
    arrived = listen(bench)
    bench.until(lambda: all(arrived.values()))
    for name, file in ARTIFACTS.items():
        assert bytes(arrived[name][-1].data) == (source / file).read_bytes(), name


def step(bench: Bench, *action: float) -> None:
    """Show that the twin goes on: an action makes one more step."""
    before = bench.node._steps
    commands = bench.publisher(Float64MultiArray, 'arm_controller/commands', COMMAND)
    commands.publish(Float64MultiArray(data=list(action or (0.5, 0.5))))
    bench.until(lambda: bench.node._steps > before)
    bench.probe.destroy_publisher(commands)


def kinds(bench: Bench) -> list[str]:
    return [kind for kind, _ in bench.events]


def training_reaches(bench: Bench, number: int) -> None:
    bench.until(lambda: int(bench.status.get('training_round', 0)) >= number, PATIENCE)


def training_ends(bench: Bench, phase: str, **values) -> dict[str, str]:
    """Wait for the end of a training; return the status that tells of it."""
    bench.until(lambda: bench.status.get('training') == phase, PATIENCE)
    return bench.says(**values)


def child(bench: Bench) -> int | None:
    return bench.node._training._process.pid


@pytest.mark.parametrize('read', [lambda: Settings(), lambda: Settings(**{
    key: tuple(value) if isinstance(value, list) else value
    for key, value in load_yaml(CONFIG)['/**/sim_bridge']['ros__parameters'].items()})])
def test_the_defaults_of_node_file_and_training_agree(read):
    assert read().training() == TrainSettings()


def test_every_parameter_of_a_training_changes_what_is_trained():
    changed = {'explorers': 9, 'sim_steps': 9, 'sim_updates': 9, 'alpha': 9.0, 'gate': 9.0,
               'worlds': 9, 'train_gaps': ('mild', 'none'), 'train_seed': 9, 'train_workers': 9}
    names = [item.name for item in fields(Settings)]
    assert set(changed) == set(names[names.index('explorers'):names.index('warn_pace')])
    for key, value in changed.items():
        assert replace(Settings(), **{key: value}).training() != TrainSettings(), key


def test_a_training_is_watched_while_the_twin_goes_on(begin, root, trained):
    bench = begin()
    bench.says(training='idle', text='lockstep')
    diagnostics = bench.listen('diagnostic_msgs/msg/DiagnosticArray', '/diagnostics', STREAM)
    answer = train(bench)
    assert answer.success and answer.message == f'training in {folder(root)}, see ~/status'
    bench.until(lambda: 'training explorers' in bench.status.get('text', ''))
    step(bench)
    training_reaches(bench, 2)
    assert {f'training_{key}' for key in (
        'percent', 'steps_per_second', 'pool', 'cells', 'fraction', 'lambda_min', 'log_det', 'eta',
        'restarts', 'folder')} <= bench.status.keys()
    assert train(bench).message == 'already training, see ~/status'
    training_ends(bench, 'done', training_percent='100', text='lockstep')
    step(bench)
    assert int(bench.event('training_done')['cells']) > 3
    assert kinds(bench) == ['training_started', 'training_done']
    assert any('training explorers' in message.status[0].message for message in diagnostics)
    expect_artifacts(bench, folder(trained))        # the same bits as without a node
    policies, coverage = decode_explorers((folder(root) / EXPLORERS).read_bytes(), REACH, 'x')
    assert len(policies) == 3 and str(len(coverage.cells)) == bench.status['training_cells']
    assert decode_policy((folder(root) / SIM_OPTIMAL).read_bytes(), REACH, 'x')
    assert read_request(folder(root)).phase == 'done'


def test_a_cancelled_training_goes_on_when_it_is_asked_for_again(begin, root, trained):
    bench = begin()
    train(bench)
    training_reaches(bench, 1)
    answer = cancel(bench)
    assert answer.success and 'goes on from the last whole round' in answer.message
    training_ends(bench, 'cancelled')
    assert bench.event('training_cancelled') is not None
    assert read_request(folder(root)).phase == 'cancelled'
    rounds = len(list(folder(root).glob('round_*')))
    assert 1 <= rounds < 8 and not (folder(root) / EXPLORERS).exists()
    assert train(bench).success
    training_ends(bench, 'done')
    expect_artifacts(bench, folder(trained))


def test_where_nothing_goes_on_there_is_nothing_to_cancel(begin, root):
    bench = begin()
    answer = cancel(bench)
    assert (answer.success, answer.message) == (False, 'nothing to cancel: idle')
    train(bench)
    assert cancel(bench).success
    assert cancel(bench).message in ('nothing to cancel: cancelling',
                                     'nothing to cancel: cancelled')
    training_ends(bench, 'cancelled')


def test_a_result_is_published_when_the_node_starts(begin, root, trained):
    shutil.copytree(trained, root)
    bench = begin()
    training_ends(bench, 'done')
    expect_artifacts(bench, folder(trained))
    assert not bench.events and child(bench) is None


def test_what_is_trained_already_is_published_again(begin, root, trained):
    bench = begin()
    arrived = listen(bench)
    bench.says(training='idle')
    shutil.copytree(trained, root)
    answer = train(bench)
    assert answer.success and answer.message.startswith('already trained, published again')
    bench.until(lambda: all(arrived.values()))
    training_ends(bench, 'done')
    assert not bench.events


def test_other_settings_are_trained_beside_what_is_there(begin, root, trained):
    shutil.copytree(trained, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    bench = begin(train_seed=5)
    bench.says(training='idle')
    assert train(bench).success
    training_ends(bench, 'done')
    assert {path: path.stat().st_mtime_ns for path in before if path != root} == {
        path: time for path, time in before.items() if path != root}
    assert len(list(root.iterdir())) == 2
    expect_artifacts(bench, Path(bench.status['training_folder']))


def test_a_run_that_was_asked_for_is_taken_up_by_the_next_node(begin, root, trained):
    bench = begin()
    train(bench)
    training_reaches(bench, 1)
    bench = begin()         # the first one closes, which does not cancel
    assert bench.event('training_started')['resumed'] == 'True'
    training_ends(bench, 'done')
    expect_artifacts(bench, folder(trained))


@pytest.mark.parametrize('phase', ['cancelled', 'failed'])
def test_a_run_that_was_given_up_is_not_taken_up_by_itself(begin, root, phase):
    write_request(folder(root), Request(phase, 'why', run_identity(REACH, SETTINGS)))
    bench = begin()
    bench.says(training=phase, training_reason='why')
    assert child(bench) is None and not bench.events


def test_a_child_that_is_killed_is_reported_and_started_again(begin, root, trained):
    bench = begin()
    train(bench)
    training_reaches(bench, 1)
    os.kill(child(bench), signal.SIGKILL)
    bench.until(lambda: bench.status['training_restarts'] == '1', PATIENCE)
    assert 'killed by SIGKILL' in bench.event('training_restarted')['reason']
    step(bench)
    training_ends(bench, 'done', training_restarts=1)
    expect_artifacts(bench, folder(trained))


def expect_failure(bench: Bench, reason: str) -> None:
    """Show that the reason is in an event and in the status, and that the twin still works."""
    status = training_ends(bench, 'failed')
    assert reason in bench.event('training_failed')['reason']
    assert reason in status['training_reason'] and reason in status['text']
    assert bench.node._training.level == DiagnosticStatus.ERROR
    step(bench, 0.0, 0.0)


def test_a_result_of_another_contract_is_refused(begin, root, trained, make_contract):
    contract = make_contract(**{'control_rate: 20.0': 'control_rate: 10.0'})
    other = folder(root, contract)
    shutil.copytree(folder(trained), other)
    bench = begin(contract=str(contract.file))
    expect_failure(bench, 'made under another contract')
    assert child(bench) is None
    arrived = listen(bench)
    bench.settle()
    assert not any(arrived.values())


def test_a_damaged_result_is_refused_by_its_name_and_stays(begin, root, trained):
    shutil.copytree(trained, root)
    path = folder(root) / SIM_OPTIMAL
    path.write_bytes(path.read_bytes()[:-1])
    bench = begin()
    expect_failure(bench, SIM_OPTIMAL)
    answer = train(bench)
    assert not answer.success and SIM_OPTIMAL in answer.message and path.exists()


def test_a_damaged_request_is_refused_by_its_name(begin, root):
    write_request(folder(root), Request('training', '', {}))
    (folder(root) / REQUEST).write_text('{')
    expect_failure(begin(), REQUEST)


@pytest.mark.parametrize(('budget', 'reason'), [
    ({'sim_steps': 0}, 'sim_steps: expected two rounds of 900 or more, found 0'),
    ({'sim_updates': 0}, 'updates: expected at least one per round, found 0'),
    ({'worlds': 8}, 'worlds: expected one per latent, 9 or more, found 8')])
def test_a_budget_that_cannot_work_is_answered(begin, root, budget, reason):
    bench = begin(**budget)
    answer = train(bench)
    assert not answer.success and reason in answer.message
    step(bench)
    bench.says(training='idle')
    assert not bench.events and not root.exists()


@pytest.mark.parametrize('gaps', [['none', 'huge'], ['']])
def test_a_gap_to_train_in_that_is_none_is_refused_at_start(begin, gaps):
    with pytest.raises(InvalidFile, match='gap: value: expected one of none, mild'):
        begin(train_gaps=gaps)


def test_a_folder_that_cannot_be_written_is_answered(begin, root):
    root.write_text('in the way')
    bench = begin()
    answer = train(bench)
    assert not answer.success and str(root) in answer.message
    step(bench)


@pytest.fixture
def with_model(make_contract, tmp_path):
    """Return a contract with a model of its own, pieces of whose text are replaced."""
    def make(**replaced: str):
        shutil.copy(REACH.simulation.model, tmp_path / 'own.xml')
        change(tmp_path / 'own.xml', **replaced)
        line = next(line for line in contract_path('reach').read_text().splitlines()
                    if line.strip().startswith('model:'))
        return make_contract(**{line: f'{line.partition("model:")[0]}model: own.xml'})
    return make


def change(model: Path, **replaced: str) -> None:
    text = model.read_text()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    model.write_text(text)


@pytest.mark.parametrize(('spoil', 'reason'), [
    (Path.unlink, 'own.xml'),
    (lambda model: model.write_text('<mujoco>'), 'own.xml'),
    (lambda model: change(model, elbow='knee'), 'elbow')])
def test_a_model_that_cannot_be_used_any_more_is_answered(begin, root, with_model, spoil, reason):
    contract = with_model()
    bench = begin(contract=str(contract.file))
    spoil(contract.simulation.model)
    answer = train(bench)
    assert not answer.success and reason in answer.message
    step(bench)
    assert not bench.events and not root.exists()


def test_physics_that_diverge_end_a_training_with_a_reason(begin, root, with_model):
    contract = with_model(**{'integrator="implicitfast"': 'integrator="Euler"',
                             'kv="3"': 'kv="1e9"'})
    bench = begin(contract=str(contract.file))
    assert train(bench).success
    expect_failure(bench, 'own.xml: the physics of')
    assert read_request(folder(root, contract)).phase == 'failed'
    assert bench.status['training_restarts'] == '0'
    begin(contract=str(contract.file)).says(training='failed')      # and is not tried for ever


def test_a_contract_that_changed_under_the_node_is_refused(begin, root, make_contract):
    contract = make_contract()
    bench = begin(contract=str(contract.file))
    contract.file.write_text(contract.file.read_text() + '# changed\n')
    assert train(bench).success
    expect_failure(bench, f'{REQUEST}: simulator: expected')
