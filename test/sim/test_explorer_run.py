from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile, UserError
from robot_rl.fields import compile_selection
from robot_rl.inputs import Observation
from robot_rl.learning.config import ExplorerConfig
from robot_rl.sim.explorer_run import check_trainable, run_identity
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.gap import Gap
from robot_rl.sim.train_explorers import Training
from robot_rl.training_run import REQUEST, Request, run_folder, write_request

REACH, PUSH = load_contract('reach'), load_contract('puck_push')
SETTINGS = TrainSettings()
ROOT = Path('runs')


def folder(contract=REACH, settings=SETTINGS) -> Path:
    return run_folder(ROOT, run_identity(contract, settings))


@pytest.mark.parametrize('changed', [
    {'steps': 9}, {'updates': 9}, {'explorers': 9}, {'worlds': 99}, {'seed': 9},
    {'gaps': (Gap(mass=2.0),)}, {'diversity': ExplorerConfig(alpha=2.0)},
    {'diversity': ExplorerConfig(gate=2.0)}])
def test_other_settings_are_another_folder(changed):
    assert folder(settings=replace(SETTINGS, **changed)) != folder()


def test_the_number_of_threads_changes_nothing():
    assert folder(settings=replace(SETTINGS, threads=7)) == folder()


def test_another_contract_or_a_changed_model_is_another_folder(tmp_path):
    model = tmp_path / 'model.xml'
    model.write_text(REACH.simulation.model.read_text() + '<!-- changed -->')
    changed = replace(REACH, simulation=replace(REACH.simulation, model=model))
    assert len({folder(), folder(PUSH), folder(changed)}) == 3
    assert folder().parent == ROOT


def test_a_model_that_is_gone_is_told_by_its_path(tmp_path):
    gone = replace(REACH, simulation=replace(REACH.simulation, model=tmp_path / 'gone.xml'))
    with pytest.raises(UserError, match=r'gone\.xml: cannot be read'):
        run_identity(gone, SETTINGS)
    with pytest.raises(InvalidFile, match=r'gone\.xml'):
        check_trainable(gone, SETTINGS)


def test_settings_are_checked_before_anything_is_trained():
    check_trainable(REACH, SETTINGS)
    with pytest.raises(UserError, match='steps: expected two rounds'):
        check_trainable(REACH, replace(SETTINGS, steps=0))


def test_a_child_does_not_train_other_than_what_was_asked_for(tmp_path):
    write_request(tmp_path, Request('training', '', run_identity(REACH, SETTINGS)))
    with pytest.raises(UserError, match=f'{REQUEST}: explorers: expected 9, found 15'):
        Training(REACH, replace(SETTINGS, explorers=9), tmp_path).resume()


def test_a_folder_says_what_run_it_holds(tmp_path):
    write_request(tmp_path, Request('training', '', run_identity(REACH, SETTINGS)))
    run = json.loads((tmp_path / REQUEST).read_text())['run']
    assert (run['task'], run['steps'], run['gaps'][0]['name']) == ('reach', 162_000, 'none')


def test_a_reward_topic_is_refused_before_a_training_and_a_reward_of_the_simulation_is_not():
    asked = {'reward': None, 'reward_name': 'reward topic score', 'reward_topic': Observation(
        'reward', 'score', 'std_msgs/msg/Float64', 0.5, compile_selection(
            'std_msgs/msg/Float64', ['data']))}
    with pytest.raises(InvalidFile, match='simulation.reward: expected module:function'):
        check_trainable(replace(REACH, **asked), SETTINGS)
    assert run_identity(replace(REACH, **asked), SETTINGS)['reward'] == 'reward topic score'
    check_trainable(replace(PUSH, **asked), SETTINGS)       # it has a reward of its own
