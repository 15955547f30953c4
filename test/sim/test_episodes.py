from __future__ import annotations

import numpy as np
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode, Status
from robot_rl.data.transitions import derive_transitions
from robot_rl.learning.policy import RandomPolicy
from robot_rl.sim.episodes import run_episode
from robot_rl.sim.twin import Twin
from robot_rl.tasks.reach import scripted_action

REACH = load_contract('reach')
RANDOM = RandomPolicy(REACH.action.low, REACH.action.high)


class Scripted:
    """The task's own demonstrator as a policy."""

    version = 0

    def act(self, observation, rng):
        return scripted_action(REACH.layout.view(observation), rng or np.random.default_rng(0))


def test_an_episode_ends_and_its_stamps_are_one_period_apart():
    steps = run_episode(Twin(REACH), RANDOM, Mode.LEARN, 1)
    assert steps[-1].status in (Status.TERMINATED, Status.TRUNCATED)
    assert [step.index for step in steps] == list(range(len(steps)))
    assert set(np.diff([step.stamp for step in steps])) == {50_000_000}


def test_a_demonstrated_episode_succeeds_and_terminates():
    steps = run_episode(Twin(REACH), Scripted(), Mode.LEARN, 1)
    assert steps[-1].success and steps[-1].status is Status.TERMINATED
    transitions = derive_transitions(steps, REACH)
    assert transitions.terminated[-1] == 1 and transitions.reward[-1] == 1.0


def test_the_records_follow_the_physics():
    steps = run_episode(Twin(REACH, seed=4), RANDOM, Mode.LEARN, 1)
    twin = Twin(REACH, seed=4)
    twin.reset()
    for step in steps:
        assert np.array_equal(step.observation, twin.observation())
        twin.step(step.executed)


def test_the_same_seeds_give_the_same_bits():
    runs = [run_episode(Twin(REACH, seed=2), RANDOM, Mode.LEARN, 3, seed=1) for _ in range(2)]
    assert [step.executed.tolist() for step in runs[0]] == [
        step.executed.tolist() for step in runs[1]]
    assert np.array_equal(runs[0][-1].observation, runs[1][-1].observation)


def test_each_episode_of_one_twin_starts_elsewhere():
    twin = Twin(REACH)
    starts = [run_episode(twin, RANDOM, Mode.LEARN, episode)[0].observation for episode in (1, 2)]
    assert not np.allclose(*starts)
