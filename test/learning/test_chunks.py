from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.steps import Source
from robot_rl.learning.chunks import ChunkRunner, PlanCounts
from robot_rl.learning.policy import CannotAct

REACH = load_contract('reach')      # horizon 50
RNG = np.random.default_rng(0)


class Counter:
    """Plans whose actions are (tick of the observation, place in the plan)."""

    version = 4

    def __init__(self, chunk: int = 6, replan: int = 3):
        self.chunk, self.replan = chunk, replan
        self.rngs = []

    def plan(self, observation, rng):
        self.rngs.append(rng)
        return np.array([(observation[0], place) for place in range(self.chunk)], float)


class Worker:
    """A thread that computes when the test says so."""

    def __init__(self):
        self.waiting = []

    def submit(self, function, *arguments) -> Future:
        self.waiting.append((Future(), function, arguments))
        return self.waiting[-1][0]

    def finish(self) -> None:
        future, function, arguments = self.waiting.pop()
        future.set_result(function(*arguments))


def act(runner: ChunkRunner, tick: int) -> tuple[int, int]:
    """Return (tick at which the executed plan was made, place in it)."""
    return tuple(int(number) for number in runner.act(np.array([tick]), RNG))


def acted(runner: ChunkRunner, ticks: int) -> list[tuple[int, int]]:
    return [act(runner, tick) for tick in range(ticks)]


def test_a_plan_is_executed_up_to_replan_and_then_made_anew():
    runner = ChunkRunner(Counter(6, 3), REACH)
    assert acted(runner, 7) == [(0, 0), (0, 1), (0, 2), (3, 0), (3, 1), (3, 2), (6, 0)]
    assert runner.counts == PlanCounts(plans=3, late=0, dropped=0)


def test_a_plan_that_is_executed_whole_is_followed_by_the_next():
    assert acted(ChunkRunner(Counter(2, 2), REACH), 5) == [(0, 0), (0, 1), (2, 0), (2, 1), (4, 0)]


def test_it_acts_as_its_policy_and_hands_its_rng_on():
    policy = Counter()
    runner = ChunkRunner(policy, REACH)
    runner.act(np.array([0]), RNG)
    assert (runner.version, runner.source, policy.rngs) == (4, Source.POLICY, [RNG])
    runner = ChunkRunner(policy, REACH)
    runner.act(np.array([0]), None)
    assert policy.rngs[-1] is None


def test_what_was_planned_ahead_begins_at_the_action_of_its_tick():
    runner = ChunkRunner(Counter(6, 3), REACH, ahead=1)
    found = acted(runner, 9)
    assert found == [(0, 0), (0, 1), (0, 2), (2, 1), (2, 2), (2, 3), (5, 1), (5, 2), (5, 3)]
    assert all(made + place == tick for tick, (made, place) in enumerate(found))
    assert runner.counts == PlanCounts(plans=3, late=0, dropped=2)


def test_of_a_plan_that_was_made_too_far_ahead_what_is_left_is_executed():
    runner = ChunkRunner(Counter(3, 3), REACH, ahead=2)
    assert acted(runner, 6) == [(0, 0), (0, 1), (0, 2), (1, 2), (4, 0), (4, 1)]


def test_the_next_plan_is_begun_ahead_and_waits_for_its_tick():
    worker = Worker()
    runner = ChunkRunner(Counter(6, 3), REACH, 2, worker.submit)
    act(runner, 0)
    assert not worker.waiting           # the first plan was made in the tick itself
    act(runner, 1)
    worker.finish()
    assert [act(runner, 2), act(runner, 3)] == [(0, 2), (1, 2)]


def test_while_a_plan_is_late_the_old_one_goes_on_and_its_past_is_dropped():
    worker = Worker()
    runner = ChunkRunner(Counter(6, 3), REACH, 1, worker.submit)
    assert acted(runner, 5)[2:] == [(0, 2), (0, 3), (0, 4)]
    assert len(worker.waiting) == 1     # one at a time
    worker.finish()
    assert act(runner, 5) == (2, 3)
    assert runner.counts == PlanCounts(plans=2, late=1, dropped=3)


def test_when_nothing_is_left_of_the_old_plan_it_cannot_act():
    runner = ChunkRunner(Counter(4, 3), REACH, 1, Worker().submit)
    acted(runner, 4)
    with pytest.raises(CannotAct, match='^plan_late$'):
        act(runner, 4)


def test_nothing_is_planned_for_ticks_after_the_horizon():
    worker, policy = Worker(), Counter(50, 25)
    runner = ChunkRunner(policy, REACH, 3, worker.submit)
    for tick in range(REACH.episode.horizon):
        act(runner, tick)
        if worker.waiting:
            worker.finish()
    assert len(policy.rngs) == 2 and not worker.waiting


def test_the_counts_go_on_over_episodes():
    counts = PlanCounts()
    for _ in range(2):
        acted(ChunkRunner(Counter(6, 3), REACH, 1, counts=counts), 4)
    assert counts.values() == {'plans': 4, 'plans_late': 0, 'actions_dropped': 2}


def test_the_plan_in_use_tells_what_was_seen_when_it_was_made():
    runner = ChunkRunner(Counter(6, 3), REACH, ahead=1)
    acted(runner, 4)
    assert (runner.plan.start, runner.plan.end, runner.plan.observation[0]) == (2, 8, 2)
