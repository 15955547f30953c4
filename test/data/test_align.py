from __future__ import annotations

from collections import Counter

import pytest
from raw_bags import PERIOD, START
from robot_rl.data.align import Aligner, Clock, COMMAND, count, MAX_REASONS
from robot_rl.fields import BadMessage


@pytest.fixture
def dropped():
    return Counter()


@pytest.fixture
def aligner(contract, dropped):
    return Aligner(contract, dropped)


def see(aligner, position: float, time: int, stamp: int | None = None) -> None:
    aligner.take([0], [[position, 0.1]], time if stamp is None else stamp, time)


def act(aligner, command: float, time: int) -> None:
    aligner.take([COMMAND], [[command]], 0, time)


def cycle(aligner, index: int, command: float = 0.5) -> None:
    see(aligner, index / 100, START + index * PERIOD)
    act(aligner, command, START + index * PERIOD + 5_000_000)


def test_the_command_in_effect_half_a_period_after_the_tick_is_the_action(aligner):
    cycle(aligner, 0, 0.1)
    act(aligner, 0.2, START + PERIOD * 7 // 10)      # a tick lies at 1/4
    act(aligner, 0.3, START + PERIOD * 8 // 10)
    cycle(aligner, 1, 0.4)
    assert aligner.cut()[0].executed.tolist() == [0.2]


def test_cutting_begins_an_episode_of_its_own(aligner):
    for index in range(4):
        cycle(aligner, index)
    assert len(aligner.cut()) == 4
    for index in range(4, 7):
        cycle(aligner, index)
    steps = aligner.cut()
    assert [step.index for step in steps] == [0, 1, 2]
    assert steps[0].observation[0] == pytest.approx(0.04)


def test_nothing_gives_no_steps(aligner):
    assert aligner.cut() == []


def test_a_jump_ahead_costs_no_time(aligner, dropped):
    cycle(aligner, 0)
    see(aligner, 0.5, 2_000_000_000 * 10**9)
    assert dropped == {'gap: arm over max_age': 1}


def test_a_sensor_on_another_clock_is_told(aligner, dropped):
    for index in range(3):
        see(aligner, 0.1, START + index * PERIOD, stamp=START + 100 * PERIOD)
    assert aligner.cut() == []


def test_hostile_reasons_are_counted_together():
    dropped = Counter()
    for index in range(100):
        count(dropped, f'{index} ' + 'x' * 1000)
    assert len(dropped) == MAX_REASONS + 1 and dropped['other reasons'] == 80
    assert max(map(len, dropped)) < 400


def test_the_clock_is_that_of_arrival_where_stamps_agree_with_it(contract):
    clock = Clock(contract)
    assert clock(5, 10) == 10 and clock.decided
    assert clock(0, 20) == 20


def test_the_clock_is_that_of_the_stamps_where_they_do_not(contract):
    clock = Clock(contract)
    clock(0, START)
    assert not clock.decided
    assert [clock(5, START), clock(0, START + 9)] == [5, 5]


def test_a_refused_command_leaves_the_last_in_effect(aligner, dropped):
    cycle(aligner, 0, 0.1)
    aligner.take([COMMAND], [BadMessage('of the wrong size')], 0, START + PERIOD // 2)
    cycle(aligner, 1, 0.4)
    assert aligner.cut()[0].executed.tolist() == [0.1]
    assert dropped == {'of the wrong size': 1}


def test_a_refused_observation_is_counted_and_the_last_one_holds(aligner, dropped):
    cycle(aligner, 0)
    aligner.take([0], [BadMessage('not finite')], START + PERIOD, START + PERIOD)
    cycle(aligner, 1)
    assert [step.observation[0] for step in aligner.cut()] == [0.0, 0.01]
    assert dropped == {'not finite': 1}


def test_clipped_actions_are_counted_each(aligner, dropped):
    for index, command in enumerate((1.0, 1.5, -2.0, 0.5)):
        cycle(aligner, index, command)
    steps = aligner.cut()
    assert [step.executed[0] for step in steps[:3]] == [1.0, 1.0, -1.0]
    assert steps[1].requested[0] == 1.5
    assert dropped == {'action outside its limits, clipped': 2}
