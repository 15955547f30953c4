from __future__ import annotations

from dataclasses import asdict, replace
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys

import numpy as np
import pytest
from robot_rl.contract import Contract, load_contract
from robot_rl.errors import EXIT_BAD_INPUT, InvalidFile, Mismatch, UserError
from robot_rl.learning.config import ExplorerConfig, SacConfig
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.learning.policy import decode_explorers, decode_policy
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.gap import Gap
from robot_rl.sim.train_explorers import (EXPLORERS, main, make_round, Result, SIM_OPTIMAL,
                                          train_explorers, Training)
from robot_rl.sim.vector_episodes import Experience

REACH = load_contract('reach')
SMALL = TrainSettings(steps=1500, updates=200, explorers=4, worlds=3, threads=1, batch=32, seed=1,
                      diversity=ExplorerConfig(latents=2),
                      sac=SacConfig(width=32, learning_rate=3e-3))
OPTIONS = ['--contract', 'reach', '--steps', '1500', '--updates', '200', '--explorers', '4',
           '--worlds', '3', '--threads', '1', '--batch', '32', '--seed', '1', '--latents', '2',
           '--width', '32', '--learning-rate', '0.003']
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_thread():
    use_threads(1)


def train(folder: Path, settings: TrainSettings = SMALL, contract: Contract = REACH, seen=None,
          cancelled=lambda: False) -> Result | None:
    return train_explorers(contract, settings, [].append if seen is None else seen.append,
                           cancelled, folder)


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> tuple[Path, Result, list]:
    """Return a folder in which a run is done, its result, and the progress that was seen."""
    use_threads(1)
    folder, seen = tmp_path_factory.mktemp('whole'), []
    return folder, train(folder, seen=seen), seen


@pytest.fixture(scope='module')
def undisturbed(whole) -> Result:
    return whole[1]


@pytest.fixture
def done(whole, tmp_path) -> Path:
    """Return a copy of a folder in which a run is done."""
    return Path(shutil.copytree(whole[0], tmp_path / 'done'))


def equal(one: Result, other: Result) -> bool:
    return (one.explorers, one.sim_optimal, one.summary) == (
        other.explorers, other.sim_optimal, other.summary)


def test_a_run_gives_explorers_with_their_certificate_and_the_sim_optimal_policy(undisturbed):
    policies, coverage = decode_explorers(undisturbed.explorers, REACH, 'x')
    task = decode_policy(undisturbed.sim_optimal, REACH, 'x')
    assert len(policies) == 4 and task.version == 200
    assert coverage.count == undisturbed.summary['observations'] == 400
    assert len(coverage.cells) == undisturbed.summary['cells'] > 4
    run = policies[0].manifest['provenance']['run']
    assert run['seed'] == 1 and run['reward'] == REACH.reward_name and len(run['simulator']) == 64


def test_what_was_chosen_was_in_the_pool_and_no_policy_twice(undisturbed):
    chosen = [tuple(member) for member in undisturbed.summary['chosen']]
    assert len(set(chosen)) == 4 <= undisturbed.summary['pool'] <= 12
    assert all(1 <= number <= 4 and 0 <= latent <= 2 for number, latent in chosen)


def test_progress_rises_to_the_end_and_is_plain_numbers(whole):
    seen = whole[2]
    assert [progress.percent for progress in seen] == [20.0, 40.0, 60.0, 80.0, 100.0]
    assert seen[-1].steps == 1500 and seen[-1].updates == 200 and seen[-1].eta == 0.0
    assert seen[-1].pool > seen[1].pool >= seen[0].pool == 0
    for progress in seen:
        assert json.loads(json.dumps(asdict(progress), allow_nan=False)) == asdict(progress)


def test_threads_change_nothing(undisturbed, tmp_path):
    assert equal(train(tmp_path, replace(SMALL, threads=2)), undisturbed)


def test_another_seed_gives_other_explorers(undisturbed, tmp_path):
    assert train(tmp_path, replace(SMALL, seed=2)).explorers != undisturbed.explorers


@pytest.mark.parametrize('looks', [1, 2, 3, 6])
def test_a_cancelled_run_goes_on_to_the_same_bits(undisturbed, tmp_path, looks):
    answers = [False] * looks + [True]
    assert train(tmp_path, cancelled=lambda: answers.pop(0)) is None
    assert not (tmp_path / EXPLORERS).exists()
    assert equal(train(tmp_path), undisturbed)


def test_a_run_that_is_done_is_not_run_again(done, undisturbed):
    (done / 'round_0000.safetensors').unlink()
    seen = []
    assert equal(train(done, seen=seen), undisturbed) and not seen


def test_a_run_that_died_before_its_result_was_whole_writes_it(done, undisturbed):
    (done / EXPLORERS).unlink()
    seen = []
    assert equal(train(done, seen=seen), undisturbed) and not seen


@pytest.mark.parametrize('rounds', [0, 4])
def test_a_damaged_round_is_refused_naming_its_file(done, rounds):
    (done / EXPLORERS).unlink()
    path = done / f'round_{rounds:04d}.safetensors'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=path.name):
        train(done)
    path.unlink()
    with pytest.raises(UserError, match=f'{path.name}: expected a round of this run'):
        train(done)


def test_a_damaged_checkpoint_is_left_for_the_one_before(done, undisturbed):
    (done / EXPLORERS).unlink()
    newest = sorted(done.glob('checkpoint_*'))[-1]
    newest.write_bytes(newest.read_bytes()[:-9])
    assert equal(train(done), undisturbed)


@pytest.mark.parametrize('finished', [True, False])
def test_a_folder_of_another_run_is_refused_naming_the_difference(done, finished):
    if not finished:
        (done / EXPLORERS).unlink()
    with pytest.raises(UserError, match=r'batch: expected 64, found 32; .* another folder'):
        train(done, replace(SMALL, batch=64))
    with pytest.raises(Mismatch, match='another contract'):
        train(done, replace(SMALL, steps=4000), load_contract('puck_push'))


def start(folder: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, '-m', 'robot_rl.sim.train_explorers', *OPTIONS, '--run-dir', str(folder),
         *options], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {'OMP_NUM_THREADS': '1'})


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(undisturbed, tmp_path):
    reached = []
    for lines in (2, 1, 1):
        child = start(tmp_path)
        for _ in range(lines):
            reached.append(json.loads(child.stdout.readline())['round'])
        child.kill()
        child.communicate()
        assert child.returncode == -9
    assert reached[:2] == [1, 2] and reached == sorted(reached)
    child = start(tmp_path)
    output, errors = child.communicate()
    assert child.returncode == 0 and not errors
    assert json.loads(output.splitlines()[-1]) == {'state': 'done', **undisturbed.summary}
    assert (tmp_path / EXPLORERS).read_bytes() == undisturbed.explorers
    assert (tmp_path / SIM_OPTIMAL).read_bytes() == undisturbed.sim_optimal


def test_a_run_that_is_terminated_says_so(tmp_path):
    child = start(tmp_path, '--steps', '15000', '--updates', '2000')
    child.stdout.readline()
    child.terminate()
    output, errors = child.communicate()
    assert child.returncode == 0 and not errors
    assert json.loads(output.splitlines()[-1]) == {'state': 'cancelled'}


@pytest.mark.parametrize(('options', 'error'), [
    (['--steps', '0'], 'steps: expected two rounds of 300 or more, found 0'),
    (['--updates', '0'], 'updates: expected at least one per round, found 0'),
    (['--worlds', '2'], 'worlds: expected one per latent, 3 or more, found 2'),
    (['--explorers', '65'], 'explorers: expected 1 to 64, found 65'),
    (['--alpha', 'nan'], 'alpha: expected a finite number'),
    (['--gap', 'huge'], 'gap: value: expected one of none, mild'),
    (['--contract', 'nothing.yaml'], 'nothing.yaml: file: expected a readable YAML file')])
def test_what_cannot_work_is_answered_in_one_line(tmp_path, capsys, options, error):
    assert main([*OPTIONS, '--run-dir', str(tmp_path / 'run'), *options]) == EXIT_BAD_INPUT
    answer = json.loads(capsys.readouterr().out)
    assert answer['state'] == 'failed' and error in answer['error']
    assert not (tmp_path / 'run').exists()


def test_a_contract_without_a_simulator_is_refused(tmp_path):
    with pytest.raises(InvalidFile, match='simulation: expected a model'):
        train(tmp_path, contract=replace(REACH, simulation=None))


def with_model(folder: Path, old: str, new: str) -> Contract:
    """Return the reach contract with its model changed."""
    text = REACH.simulation.model.read_text()
    assert old in text
    model = folder / 'changed.xml'
    model.write_text(text.replace(old, new))
    return replace(REACH, simulation=replace(REACH.simulation, model=model))


def test_a_model_that_is_not_there_is_refused(tmp_path):
    missing = replace(REACH.simulation, model=tmp_path / 'none.xml')
    with pytest.raises(InvalidFile, match=r'simulation\.model: expected a MuJoCo model at'):
        train(tmp_path, contract=replace(REACH, simulation=missing))


def test_a_model_without_a_joint_of_the_contract_is_refused(tmp_path):
    contract = with_model(tmp_path, 'joint="elbow"', 'joint="knee"')
    text = contract.simulation.model.read_text()
    contract.simulation.model.write_text(text.replace('joint name="elbow"', 'joint name="knee"'))
    with pytest.raises(InvalidFile, match='elbow'):
        train(tmp_path, contract=contract)


def test_physics_that_diverge_are_refused_naming_the_model(tmp_path):
    contract = with_model(tmp_path, 'integrator="implicitfast"', 'integrator="Euler"')
    text = contract.simulation.model.read_text()
    contract.simulation.model.write_text(text.replace('kv="3"', 'kv="1e9"'))
    with pytest.raises(UserError, match=r'changed\.xml: the physics of \d+ of \d+ episodes div'):
        train(tmp_path, contract=contract)


def test_a_run_in_which_nothing_beats_random_actions_says_what_to_do(tmp_path):
    def nothing(observation, action, following):
        shape = following['tip'].shape[:-1]
        return np.zeros(shape), np.zeros(shape, bool)

    contract = replace(REACH, reward=nothing, success=lambda view: view['arm.velocity.elbow'] > 99)
    with pytest.raises(UserError, match='no policy earned more than random .* raise the budget'):
        train(tmp_path, contract=contract)


def test_over_the_rounds_each_latent_meets_every_gap(tmp_path):
    gaps = (Gap(), Gap('slow', mass=2.0), Gap('fast', mass=0.5))
    run = Training(REACH, replace(SMALL, gaps=gaps), tmp_path)
    for world in range(3):
        assert {run._worlds(number).twin.gaps[world] for number in range(3)} == set(gaps)


def test_a_round_knows_the_return_of_whole_episodes_only():
    k = 7
    terminated = np.array([0, 1, 0, 0, 0, 0, 0], bool)
    truncated = np.array([0, 0, 0, 0, 1, 0, 1], bool)
    found = Experience(np.zeros((k, 6)), np.zeros((k, 2)), np.arange(1.0, k + 1), np.ones((k, 6)),
                       terminated, truncated, terminated, np.array([0, 0, 0, 0, 0, 1, 1]))
    made = make_round(found, np.array([5, 4]), 3, np.zeros((1, 9), np.float32))
    assert made.episode.tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert made.episode_return.tolist() == [3, 3, 12, 12, 12, -np.inf, -np.inf]
    assert made.latent.tolist() == [5, 5, 5, 5, 5, 4, 4]
    assert made.returns(5).tolist() == [3, 12] and made.successes(5).tolist() == [1, 0]
    assert made.returns(4).tolist() == [] and made.reached(4).shape == (2, 6)
