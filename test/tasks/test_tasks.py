"""The shipped tasks: solvable, not by luck, and rewarded for finishing."""

from __future__ import annotations

import importlib
from pathlib import Path

import mujoco
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.sim.gap import Gap, load_gap
from robot_rl.sim.twin import Twin
from robot_rl.tasks import puck_push, reach
from robot_rl.tasks.planar import jacobian, joint_velocity, tip_position

CONFIG = Path(__file__).resolve().parents[2] / 'config'
TASKS = ('puck_push', 'reach')
CONTRACTS = {task: load_contract(str(CONFIG / f'{task}.yaml')) for task in TASKS}
MODULES = {task: importlib.import_module(f'robot_rl.tasks.{task}') for task in TASKS}
PUSH = CONTRACTS['puck_push']


def scripted(task: str):
    rng, layout = np.random.default_rng(0), CONTRACTS[task].layout
    return lambda observation: MODULES[task].scripted_action(layout.view(observation), rng)


def uniform(task: str):
    rng, action = np.random.default_rng(0), CONTRACTS[task].action
    return lambda observation: rng.uniform(action.low, action.high)


def success_rate(task: str, policy, episodes: int, gap: Gap = Gap()) -> float:
    contract, successes = CONTRACTS[task], 0
    twin = Twin(contract, gap)
    for _ in range(episodes):
        twin.reset()
        for _ in range(contract.episode.horizon):
            twin.step(policy(twin.observation()))
            if contract.is_success(twin.observation()):
                successes += 1
                break
    return successes / episodes


def push_view(puck, tip=(0.0, 0.0), shape=()):
    values = np.zeros(shape + (len(PUSH.layout),))
    view = PUSH.layout.view(values)
    view['puck'][...], view['tip'][...] = puck, tip
    return view


@pytest.mark.parametrize('task', TASKS)
def test_the_demonstrator_solves_the_task(task):
    assert success_rate(task, scripted(task), 20) == 1.0


@pytest.mark.parametrize('task', TASKS)
def test_the_demonstrator_solves_the_task_across_the_declared_gap(task):
    assert success_rate(task, scripted(task), 10, load_gap('declared')) >= 0.9


def demonstrate(seeds) -> list[tuple[float, bool]]:
    """Return the side on which the peg passed the puck, and success, of an episode per seed."""
    twin, found = Twin(PUSH), []
    for seed in seeds:
        twin.reset()
        act, passed = puck_push.Demonstrator(np.random.default_rng(seed)), 0.0
        for _ in range(PUSH.episode.horizon):
            view = PUSH.layout.view(twin.observation())
            ahead, from_puck = puck_push.GOAL - view['puck'], view['tip'] - view['puck']
            if not passed and ahead @ from_puck < 0.0:
                passed = float(np.sign(ahead[0] * from_puck[1] - ahead[1] * from_puck[0]))
            twin.step(act(view))
            if PUSH.is_success(twin.observation()):
                break
        found.append((passed, bool(PUSH.is_success(twin.observation()))))
    return found


def test_the_person_goes_around_on_either_side_and_misses_at_times():
    found = demonstrate(range(40))
    sides = [side for side, _ in found]
    assert min(sides.count(-1.0), sides.count(1.0)) >= 10
    assert 0.7 <= np.mean([success for _, success in found]) < 1.0


def test_the_person_pauses():
    act = puck_push.Demonstrator(np.random.default_rng(0))
    view = PUSH.layout.view(Twin(PUSH).observation())
    assert 0.02 < np.mean([not act(view).any() for _ in range(400)]) < 0.3


def test_the_person_is_the_same_for_the_same_seed():
    assert demonstrate([3]) == demonstrate([3])


def test_pushing_does_not_happen_by_luck():
    assert success_rate('puck_push', uniform('puck_push'), 40) <= 0.1


def test_replaying_a_successful_push_blindly_misses():
    twin, demonstrator, actions = Twin(PUSH, seed=9), scripted('puck_push'), []
    while not PUSH.is_success(twin.observation()):
        actions.append(demonstrator(twin.observation()))
        twin.step(actions[-1])
    for _ in range(5):
        twin.reset()
        for action in actions:
            twin.step(action)
            assert not PUSH.is_success(twin.observation())


@pytest.mark.parametrize('task', TASKS)
def test_goal_of_the_reward_is_the_ring_in_the_model(task):
    model = mujoco.MjModel.from_xml_path(str(CONTRACTS[task].simulation.model))
    for name in ('goal_ring', 'goal_inside', 'goal_dot'):
        assert np.array_equal(model.geom(name).pos[:2], MODULES[task].GOAL)
    assert np.array_equal(model.site('goal').pos[:2], MODULES[task].GOAL)


@pytest.mark.parametrize('task', TASKS)
def test_link_lengths_of_the_demonstrator_are_those_of_the_model(task):
    twin, lengths = Twin(CONTRACTS[task]), MODULES[task].LENGTHS
    view = CONTRACTS[task].layout.view(twin.observation())
    assert np.allclose(tip_position(view['arm.position'], lengths), view['tip'])


@pytest.mark.parametrize('task', TASKS)
def test_the_path_that_is_shown_is_the_one_that_the_tip_takes(task):
    contract, steps = CONTRACTS[task], 6
    twin = Twin(contract)
    twin.reset()
    actions = np.tile(0.5 * contract.action.high, (steps, 1))
    shown = contract.path(twin.observation(), actions)
    for point in shown:
        twin.step(actions[0])
        tip = contract.layout.view(twin.observation())['tip']
        assert np.linalg.norm(point[:2] - tip) < 0.03       # the joints follow a little late
    assert np.allclose(shown[:, 2], twin.model.site('tip').pos[2]
                       + twin.model.body('upper_arm').pos[2])
    assert np.linalg.norm(shown[-1] - shown[0]) > 0.08


@pytest.mark.parametrize('task', TASKS)
def test_no_start_is_already_a_success(task):
    twin = Twin(CONTRACTS[task])
    for _ in range(100):
        twin.reset()
        assert not CONTRACTS[task].is_success(twin.observation())


def test_the_peg_starts_clear_of_the_puck():
    twin = Twin(PUSH)
    for _ in range(100):
        twin.reset()
        view = PUSH.layout.view(twin.observation())
        assert np.linalg.norm(view['puck'] - view['tip']) > puck_push.CONTACT + 0.01


def test_contact_distance_is_that_of_the_model():
    model = mujoco.MjModel.from_xml_path(str(PUSH.simulation.model))
    radii = model.geom('puck_side').size[0] + model.geom('peg').size[0]
    assert radii == pytest.approx(puck_push.CONTACT)


@pytest.mark.parametrize('heading', [0.0, 0.5, np.pi / 4, 2.0])
def test_a_puck_left_alone_stops_and_friction_is_the_same_in_every_direction(heading):
    twin = Twin(PUSH)
    start = twin.data.body('puck').xpos[:2].copy()
    twin.data.joint('puck_x').qvel[:] = 0.3 * np.cos(heading)
    twin.data.joint('puck_y').qvel[:] = 0.3 * np.sin(heading)
    for _ in range(10):
        twin.step(np.zeros(3))
    travelled = np.linalg.norm(twin.data.body('puck').xpos[:2] - start)
    assert travelled == pytest.approx(0.3 ** 2 / (2 * 0.45 * 9.81), rel=0.15)
    assert np.linalg.norm(twin.data.body('puck').cvel) < 1e-3


def test_less_friction_lets_the_puck_slide_further():
    travelled = []
    for gap in (Gap(), Gap(friction=0.4)):
        twin = Twin(PUSH, gap)
        start = twin.data.body('puck').xpos[1]
        twin.data.joint('puck_y').qvel[:] = 0.3
        for _ in range(10):
            twin.step(np.zeros(3))
        travelled.append(twin.data.body('puck').xpos[1] - start)
    assert travelled[1] == pytest.approx(travelled[0] / 0.4, rel=0.15)


def test_the_rim_keeps_the_puck_on_the_table():
    twin = Twin(PUSH, Gap(friction=0.01))
    twin.data.joint('puck_x').qvel[:] = 2.0
    for _ in range(40):
        twin.step(np.zeros(3))
    assert twin.data.body('puck').xpos[0] < 0.56


@pytest.mark.parametrize('module', MODULES.values(), ids=TASKS)
@pytest.mark.parametrize('reward', ['shaped_reward', 'sparse_reward'])
def test_rewards_are_bounded_and_pay_only_for_success(module, reward):
    layout = CONTRACTS[module.__name__.split('.')[-1]].layout
    view = layout.view(np.random.default_rng(0).uniform(-1, 1, (4, 500, len(layout))))
    values, terminated = getattr(module, reward)(view, None, view)
    assert values.shape == terminated.shape == (4, 500) and terminated.dtype == bool
    assert np.array_equal(terminated, module.success(view)) and terminated.any()
    assert (values[~terminated] < 0).all() and (values >= -1).all()
    assert (values[terminated] > values[~terminated].max()).all()
    assert values.max() <= getattr(module, 'SUCCESS', 1.0)


def test_success_of_a_batch_is_that_of_its_parts():
    near = puck_push.GOAL + [0.0, puck_push.TOLERANCE * 0.99]
    far = puck_push.GOAL + [0.0, puck_push.TOLERANCE * 1.01]
    view = push_view(np.stack((near, far)), shape=(2,))
    assert puck_push.success(view).tolist() == [True, False]


def test_shaped_reward_prefers_the_puck_nearer_and_the_peg_behind_it():
    def reward(puck, tip):
        view = push_view(puck, tip)
        return float(puck_push.shaped_reward(view, None, view)[0])

    goal = puck_push.GOAL
    puck, nearer = goal - [0.0, 0.15], goal - [0.0, 0.10]
    behind, before = puck - [0.0, 0.07], puck + [0.0, 0.07]
    assert reward(nearer, nearer - [0.0, 0.07]) > reward(puck, behind) > reward(puck, before)


def test_shaped_reward_is_finite_with_the_puck_exactly_on_the_goal():
    view = push_view(puck_push.GOAL)
    assert puck_push.shaped_reward(view, None, view)[0] == puck_push.SUCCESS


def test_sparse_reward_counts_steps():
    view = push_view(np.stack((puck_push.GOAL, puck_push.GOAL + 0.1)), shape=(2,))
    reward, terminated = puck_push.sparse_reward(view, None, view)
    assert reward.tolist() == [0.0, -1.0] and terminated.tolist() == [True, False]


def test_reach_succeeds_within_its_tolerance():
    layout = CONTRACTS['reach'].layout
    view = layout.view(np.zeros((2, len(layout))))
    view['tip'][...] = reach.GOAL + [[reach.TOLERANCE * 0.99, 0.0], [reach.TOLERANCE * 1.01, 0.0]]
    assert reach.success(view).tolist() == [True, False]


def test_jacobian_is_the_derivative_of_the_tip():
    angles, lengths, step = np.array([0.3, -0.8, 0.5]), (0.22, 0.18, 0.10), 1e-6
    numeric = [(tip_position(angles + step * axis, lengths)
                - tip_position(angles - step * axis, lengths)) / (2 * step) for axis in np.eye(3)]
    assert np.allclose(jacobian(angles, lengths), np.transpose(numeric), atol=1e-8)


def test_joint_velocity_moves_the_tip_as_asked_and_stays_bounded_when_stretched():
    lengths, wanted = (0.2, 0.18), np.array([0.1, -0.05])
    bent = np.array([0.3, 1.2])
    assert np.allclose(jacobian(bent, lengths) @ joint_velocity(bent, lengths, wanted), wanted,
                       rtol=0.1)
    stretched = joint_velocity(np.zeros(2), lengths, np.array([1.0, 0.0]))
    assert np.isfinite(stretched).all() and np.abs(stretched).max() < 50.0
