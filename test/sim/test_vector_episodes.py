"""Episodes of many worlds: the transitions of the robot's rollout, ends and resets in place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from robot_rl.contract import Contract, load_contract
from robot_rl.data.steps import Mode
from robot_rl.data.transitions import COLUMNS, derive_transitions
from robot_rl.errors import InvalidFile, UserError
from robot_rl.sim.episodes import run_episode
from robot_rl.sim.gap import Gap
from robot_rl.sim.twin import Twin
from robot_rl.sim.vector import VectorTwin
from robot_rl.sim.vector_episodes import collect, gather, VectorEpisodes
from robot_rl.tasks.planar import joint_velocity
from robot_rl.tasks.reach import GOAL, LENGTHS

REACH = load_contract('reach')


class Steady:
    """A policy that moves the tip to the goal; no random numbers."""

    version = 1

    def act(self, observation: np.ndarray, rng=None) -> np.ndarray:
        """Return joint velocities (2,) for an observation (6,), or (N, 2) for (N, 6)."""
        if observation.ndim > 1:
            return np.array([self.act(row) for row in observation])
        velocity = 3.0 * (GOAL - observation[4:6])
        return joint_velocity(observation[:2], LENGTHS, velocity)


def short(horizon: int = 3, **changes) -> Contract:
    """Return the reach contract with another horizon."""
    return replace(REACH, episode=replace(REACH.episode, horizon=horizon), **changes)


def episodes(contract: Contract, worlds: int = 2, **options) -> VectorEpisodes:
    return VectorEpisodes(VectorTwin(contract, worlds), **options)


def still(observation: np.ndarray) -> np.ndarray:
    return np.zeros((len(observation), 2))


def test_transitions_are_those_of_the_robots_rollout():
    policy, gap = Steady(), Gap(latency=0.03)
    slow = replace(REACH.action, max_rate=np.array([4.0, 40.0]))
    contract = short(horizon=22, action=slow)       # too short for some starts
    twin = Twin(contract, gap, seed=(3, 0))
    expected = []
    for episode in range(4):        # the episode starts with a reset: so do the vector's
        steps = run_episode(twin, policy, Mode.EVALUATE, episode)
        expected.append(derive_transitions(steps, contract))
    vector = VectorEpisodes(VectorTwin(contract, 1, [gap], seed=3))
    found = collect(vector, policy.act, sum(len(part) for part in expected))
    for column in set(COLUMNS) - {'human'}:         # nobody takes over in a simulator
        values = np.concatenate([getattr(part, column) for part in expected])
        assert np.allclose(getattr(found, column), values, rtol=0, atol=1e-6), column
    assert found.terminated.any() and found.truncated.any()


def test_the_horizon_truncates_and_keeps_the_last_observation():
    world = episodes(short(horizon=3))
    for _ in range(2):
        assert not world.step(still(world.observation)).done.any()
    result = world.step(np.full((2, 2), 1.0))
    assert result.truncated.all() and not result.terminated.any() and result.done.all()
    moved = REACH.layout.view(result.next_observation)['arm.velocity']
    assert (moved != 0).all()                       # reached, not the start that follows
    assert not REACH.layout.view(world.observation)['arm.velocity'].any()
    assert np.array_equal(world.step(still(moved)).observation, world.twin.observation())


def test_only_the_worlds_that_are_done_start_anew():
    def success(view):
        return view['arm.velocity.shoulder'] > 0.1

    world = episodes(short(horizon=100, success=success))
    result = world.step([[1.0, 0.0], [0.0, 0.0]])
    assert result.success.tolist() == result.terminated.tolist() == [True, False]
    assert not result.truncated.any()
    assert world.twin.resets.tolist() == [3, 2]
    assert np.array_equal(world.observation[1], result.next_observation[1])
    assert not np.array_equal(world.observation[0], result.next_observation[0])


def test_success_at_the_horizon_is_termination():
    world = episodes(short(horizon=1, success=lambda view: view['arm.velocity.elbow'] > -1.0))
    result = world.step(np.zeros((2, 2)))
    assert result.terminated.all() and not result.truncated.any()


def test_actions_are_limited_in_rate_and_range_from_rest_in_every_episode():
    action = replace(REACH.action, max_rate=np.array([20.0, np.inf]))     # 1 rad/s per step
    world = episodes(short(horizon=3, action=action), worlds=1)
    executed = [world.step([[9.0, -9.0]]).action[0].tolist() for _ in range(4)]
    assert executed == [[1.0, -2.5], [2.0, -2.5], [2.5, -2.5], [1.0, -2.5]]


def test_a_diverged_world_gives_no_transition_and_starts_anew():
    vector = episodes(short(horizon=100))
    results = [vector.step(np.ones((2, 2))) for _ in range(2)]
    vector.twin.state[1, -1] = np.inf
    results += [vector.step(np.ones((2, 2))) for _ in range(2)]
    assert [result.valid.tolist() for result in results] == [
        [True, True], [True, True], [True, False], [True, True]]
    found = gather(results)
    assert found.world.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert found.truncated.tolist() == [False, False, False, True, False, True, True]
    assert not found.terminated.any() and np.isfinite(found.next_observation).all()
    assert vector.twin.resets.tolist() == [2, 3]


def test_collected_transitions_lie_world_by_world_and_chain_within_an_episode():
    found = collect(episodes(short(horizon=4), worlds=3), Steady().act, 10)
    assert len(found) == 30 and (np.diff(found.world) >= 0).all()
    chained = np.flatnonzero(~found.end)
    assert np.array_equal(found.next_observation[chained], found.observation[chained + 1])
    assert np.flatnonzero(found.end[:10]).tolist() == [3, 7, 9]


def test_a_second_collection_goes_on_where_the_first_stopped():
    parts, whole = episodes(short(horizon=4)), episodes(short(horizon=4))
    first, second = (collect(parts, Steady().act, 3) for _ in range(2))
    expected = collect(whole, Steady().act, 6)
    for world in (0, 1):
        rows = np.concatenate([part.observation[part.world == world] for part in (first, second)])
        assert np.array_equal(rows, expected.observation[expected.world == world])


def test_without_auto_reset_a_world_that_is_over_must_be_reset():
    world = episodes(short(horizon=1), auto_reset=False)
    result = world.step(np.ones((2, 2)))
    assert np.array_equal(world.observation, result.next_observation)
    with pytest.raises(UserError, match='world 0: its episode is over'):
        world.step(np.ones((2, 2)))
    world.reset(result.done)
    world.step(np.ones((2, 2)))


@pytest.mark.parametrize('requested', [np.zeros((1, 2)), [[0.0, np.nan], [0.0, 0.0]]])
def test_actions_that_are_not_finite_numbers_for_every_world_are_refused(requested):
    with pytest.raises(UserError, match=r'finite numbers of shape \(2, 2\)'):
        episodes(REACH).step(requested)


@pytest.mark.parametrize('reward, expected', [
    (lambda now, action, after: 1 / 0, 'ZeroDivisionError'),
    (lambda now, action, after: (np.full(2, np.nan), np.zeros(2, bool)), 'finite rewards')])
def test_a_reward_that_fails_is_the_users_error(reward, expected):
    with pytest.raises(UserError, match=f'robot_rl.tasks.reach:shaped_reward: .*{expected}'):
        episodes(replace(REACH, reward=reward)).step(np.zeros((2, 2)))


def test_a_task_that_is_no_function_is_refused_before_the_first_step():
    contract = replace(REACH, reward=None, reward_name='reward topic score', success=None)
    with pytest.raises(InvalidFile, match=r'simulation\.reward: .* found .*reward topic score'):
        episodes(contract)
