from __future__ import annotations

from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.sim.explorer_run import run_identity
from robot_rl.sim.gap import BOUNDS, Gap
from robot_rl.sim.gap_cells import draw, METHODS, RobotCell, TASK, VARIANTS
from robot_rl.sim.gap_cells import Training as Trained
from robot_rl.sim.train_explorers import Training
from robot_rl.sim.trial import Budget
from robot_rl.sim.twin import Twin

CONTRACT = load_contract(TASK)
FACTORS = [name for name in BOUNDS if name != 'latency']


def test_a_gap_of_size_zero_is_none():
    gap = draw(0.0, 3)
    assert gap == Gap(gap.name, geom_offset=(('peg', (0.0, 0.0, 0.0)),))


@pytest.mark.parametrize('index', range(6))
def test_a_size_scales_one_and_the_same_draw(index):
    half, whole = draw(0.5, index), draw(1.0, index)
    assert np.multiply(half.geom_offset[0][1], 2) == pytest.approx(whole.geom_offset[0][1])
    assert half.latency * 2 == pytest.approx(whole.latency)
    assert half.mass ** 2 == pytest.approx(whole.mass)


def test_draws_differ_and_come_again():
    assert draw(1.0, 2) == draw(1.0, 2)
    assert len({draw(1.0, index).geom_offset for index in range(6)}) == 6


@pytest.mark.parametrize('size', [1.0, 2.0])
@pytest.mark.parametrize('index', range(6))
def test_every_draw_is_a_world_that_can_be_stepped(size, index):
    gap = draw(size, index)
    assert all(low <= getattr(gap, name) <= high for name, (low, high) in BOUNDS.items())
    twin = Twin(CONTRACT, gap)
    twin.step(np.zeros(3))
    assert np.isfinite(twin.observation()).all()


def test_what_is_randomised_over_has_the_tool_in_its_place():
    assert draw(1.0, 5, tool=False).geom_offset == (('peg', (0.0, 0.0, 0.0)),)
    assert len(set(VARIANTS['randomised'].gaps)) > 10


@pytest.mark.parametrize('variant', VARIANTS)
def test_every_variant_can_be_trained_at_the_budget_of_the_others(variant):
    settings, nominal = VARIANTS[variant], VARIANTS['nominal']
    settings.check(CONTRACT.episode.horizon)
    assert (settings.steps, settings.updates) == (nominal.steps, nominal.updates)


def test_the_simulator_pays_its_own_reward_and_the_robot_the_sparse_one(tmp_path):
    run = Training(CONTRACT, VARIANTS['nominal'], tmp_path)
    assert run.contract.reward_name == 'robot_rl.tasks.puck_push:shaped_reward'
    assert run_identity(CONTRACT, VARIANTS['nominal'])['reward'] == run.contract.reward_name
    assert CONTRACT.reward_name == 'robot_rl.tasks.puck_push:sparse_reward'


def test_a_cell_needs_the_training_of_its_draw():
    cells = [RobotCell('no_gate', 1.0, index, 2, Budget()) for index in range(4)]
    assert [cell.needs for cell in cells] == [
        Trained('no_gate', 0), Trained('no_gate', 1)] * 2
    assert RobotCell('scratch', 1.0, 0, 2, Budget()).needs is None


@pytest.mark.parametrize('method', METHODS)
def test_every_cell_travels_and_has_a_file_of_its_own(method):
    cell = RobotCell(method, 0.5, 1, 2, Budget())
    assert ForkingPickler.loads(ForkingPickler.dumps(cell)) == cell
    assert cell.file == f'{method}_0.5_1'
