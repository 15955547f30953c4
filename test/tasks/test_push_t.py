from __future__ import annotations

import os
from pathlib import Path

import mujoco
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.pusht import PIXEL, read_pusht
from robot_rl.sim.twin import Twin
from robot_rl.sim.vector import VectorTwin
from robot_rl.tasks import push_t

CONTRACT = load_contract('push_t')
REAL = os.environ.get('ROBOT_RL_PUSHT', '')
GOAL = np.array(push_t.GOAL)


def put(twin: Twin, position, angle: float, pusher=(0.05, 0.05)) -> None:
    """Put the T's bar edge and the pusher somewhere, at rest."""
    heading = np.array([-np.sin(angle), np.cos(angle)])
    x, y = position + push_t.CENTRE * heading
    for name, value in (('t_x', x), ('t_y', y), ('t_yaw', angle), ('pusher_x', pusher[0]),
                        ('pusher_y', pusher[1])):
        twin.data.joint(name).qpos[:] = value
    twin.data.qvel[:] = 0.0
    mujoco.mj_forward(twin.model, twin.data)


def view(twin: Twin):
    return CONTRACT.layout.view(twin.observation())


def raster(position, angle: float, side: int = 1500) -> float:
    """Return the coverage by counting points."""
    grid = np.stack(np.meshgrid(*[np.linspace(0.08, 0.43, side)] * 2), axis=-1)

    def inside(position, angle):
        offset, (c, s) = grid - position, (np.cos(angle), np.sin(angle))
        x, y = offset[..., 0] * c + offset[..., 1] * s, offset[..., 1] * c - offset[..., 0] * s
        return ((abs(x) < 0.06) & (y > 0) & (y < 0.03)) | (
            (abs(x) < 0.015) & (y > 0) & (y < 0.12))

    goal = inside(GOAL, push_t.GOAL_ANGLE)
    return (goal & inside(position, angle)).sum() / goal.sum()


def test_the_goal_covers_itself_and_nothing_else_does():
    assert push_t.coverage(GOAL, push_t.GOAL_ANGLE) == pytest.approx(1.0)
    assert push_t.coverage(GOAL, push_t.GOAL_ANGLE + 2 * np.pi) == pytest.approx(1.0)
    assert push_t.coverage(GOAL + [0.3, 0.0], push_t.GOAL_ANGLE) == 0.0
    assert push_t.coverage(GOAL, push_t.GOAL_ANGLE + 0.1) < 0.9


@pytest.mark.parametrize('seed', range(6))
def test_coverage_is_the_share_of_points_in_both(seed):
    rng = np.random.default_rng(seed)
    position, angle = GOAL + rng.normal(0.0, 0.02, 2), push_t.GOAL_ANGLE + rng.normal(0.0, 0.6)
    assert push_t.coverage(position, angle) == pytest.approx(raster(position, angle), abs=0.004)


@pytest.mark.parametrize('offset', [0.0, 1e-12, 1e-6, 0.01])
def test_edges_that_lie_on_each_other_count_once(offset):
    along = offset * np.array([np.cos(push_t.GOAL_ANGLE), np.sin(push_t.GOAL_ANGLE)])
    lost = offset * (push_t.BAR[1] + push_t.STEM[1]) / push_t.AREA
    assert push_t.coverage(GOAL + along, push_t.GOAL_ANGLE) == pytest.approx(1 - lost, abs=1e-5)


def test_coverage_of_a_batch_is_that_of_its_parts():
    rng = np.random.default_rng(0)
    positions, angles = GOAL + rng.normal(0.0, 0.02, (3, 4, 2)), rng.normal(0.8, 0.3, (3, 4))
    found = push_t.coverage(positions, angles)
    assert found.shape == (3, 4)
    assert found[1, 2] == pytest.approx(push_t.coverage(positions[1, 2], angles[1, 2]))


def test_two_points_tell_the_pose():
    bar, foot = push_t.points(GOAL, np.float64(push_t.GOAL_ANGLE))
    values = np.concatenate(([0.0, 0.0], bar, foot))
    assert push_t.score(CONTRACT.layout.view(values)) == pytest.approx(1.0)
    assert np.linalg.norm(foot - bar) == pytest.approx(push_t.LENGTH)


def test_the_model_is_the_t_of_the_score():
    twin = Twin(CONTRACT)
    put(twin, GOAL, push_t.GOAL_ANGLE)
    assert push_t.score(view(twin)) == pytest.approx(1.0)
    for part in ('bar', 'stem'):
        moving, goal = twin.data.geom(part), twin.data.geom(f'goal_{part}')
        assert np.allclose(moving.xpos[:2], goal.xpos[:2], atol=1e-9)
        assert np.allclose(moving.xmat, goal.xmat, atol=1e-9)
        assert np.array_equal(twin.model.geom(part).size[:2],
                              twin.model.geom(f'goal_{part}').size[:2])
    assert twin.model.geom('pusher_side').size[0] == push_t.RADIUS


def test_success_and_reward_agree():
    rng = np.random.default_rng(0)
    values = np.empty((300, 6))
    values[:, :2] = 0.1
    positions = GOAL + rng.normal(0.0, 0.003, (300, 2))
    angles = push_t.GOAL_ANGLE + rng.normal(0.0, 0.03, 300)
    values[:, 2:4], values[:, 4:] = push_t.points(positions, angles)
    seen = CONTRACT.layout.view(values)
    for reward in (push_t.shaped_reward, push_t.sparse_reward):
        paid, done = reward(seen, None, seen)
        assert np.array_equal(done, push_t.success(seen)) and 0 < done.sum() < 300
        assert (paid[done] == 0.0).all() and (paid[~done] < 0.0).all() and paid.min() >= -1.0
    assert push_t.close(seen).sum() > push_t.success(seen).sum()


def test_a_pushed_t_moves_and_stops_at_once_when_the_pusher_stops():
    twin = Twin(CONTRACT)
    put(twin, np.array([0.256, 0.3]), 0.0, pusher=(0.256, 0.25))
    for _ in range(20):
        twin.step([0.256, 0.33])
    moved = view(twin)['bar'].copy()
    assert moved[1] == pytest.approx(0.33 + push_t.RADIUS, abs=0.001)
    for _ in range(5):
        twin.step([0.256, 0.28])
    assert np.allclose(view(twin)['bar'], moved, atol=5e-4)


def test_the_pusher_goes_where_the_action_says():
    twin = Twin(CONTRACT)
    put(twin, np.array([0.40, 0.40]), 0.0)
    for _ in range(15):
        twin.step([0.15, 0.08])
    assert np.allclose(view(twin)['pusher'], [0.15, 0.08], atol=1e-4)


def test_the_rim_keeps_the_t_on_the_table():
    twin = Twin(CONTRACT)
    put(twin, np.array([0.256, 0.42]), np.pi, pusher=(0.256, 0.25))
    for _ in range(60):
        twin.step([0.256, 0.512])
    assert view(twin)['bar'].max() < 0.52


def test_no_start_is_already_a_success():
    twin = Twin(CONTRACT)
    for _ in range(50):
        twin.reset()
        assert not CONTRACT.is_success(twin.observation())


def test_the_task_runs_in_many_worlds_at_once():
    worlds, twin = VectorTwin(CONTRACT, 2, seed=4, threads=1), Twin(CONTRACT, seed=4)
    for _ in range(10):
        worlds.step(np.tile([0.1, 0.2], (2, 1)))
        twin.step([0.1, 0.2])
    pusher = CONTRACT.layout.view(worlds.observation())['pusher']
    assert np.allclose(pusher, [0.1, 0.2], atol=0.01)
    assert np.allclose(view(twin)['pusher'], [0.1, 0.2], atol=0.01)


@pytest.mark.skipif(not REAL, reason='ROBOT_RL_PUSHT names no file')
def test_human_actions_replayed_blindly_leave_the_t_where_people_left_it():
    scores = []
    for state, action in list(read_pusht(Path(REAL)))[:20]:
        twin = Twin(CONTRACT)
        put(twin, state[0, 2:4] * PIXEL, state[0, 4], state[0, :2] * PIXEL)
        for target in action * PIXEL:
            twin.step(target)
        scores.append(push_t.score(view(twin)))
    assert np.mean(np.array(scores) > push_t.DEMONSTRATED) >= 0.9


def test_the_path_that_is_shown_are_the_targets_at_the_height_of_the_pusher():
    contract = load_contract('push_t')
    targets = np.array([[0.1, 0.2], [0.3, 0.4]])
    found = contract.path(np.zeros(len(contract.layout)), targets)
    assert found.tolist() == [[0.1, 0.2, 0.02], [0.3, 0.4, 0.02]]
