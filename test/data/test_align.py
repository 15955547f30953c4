from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from raw_bags import joint_state, JOINTS, PERIOD, START, TYPES
from robot_rl.data import cdr
from robot_rl.data.align import Aligner, Clock, count, MAX_REASONS
from robot_rl.data.align_action import action_values
from robot_rl.fields import BadMessage


@pytest.fixture
def dropped():
    return Counter()


@pytest.fixture
def aligner(contract, dropped):
    return Aligner(contract, dropped)


def see(aligner, position: float, time: int, stamp: int | None = None) -> None:
    data = joint_state(position, time if stamp is None else stamp)
    aligner.observe(0, cdr.decode(TYPES[JOINTS], data), time)


def cycle(aligner, index: int, command: float = 0.5) -> None:
    see(aligner, index / 100, START + index * PERIOD)
    aligner.command(np.array([command]), START + index * PERIOD + 5_000_000)


def test_the_command_in_effect_half_a_period_after_the_tick_is_the_action(aligner):
    cycle(aligner, 0, 0.1)
    aligner.command(np.array([0.2]), START + PERIOD * 7 // 10)      # a tick lies at 1/4
    aligner.command(np.array([0.3]), START + PERIOD * 8 // 10)
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


def stamped(nanoseconds: int):
    return SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(
        sec=0, nanosec=nanoseconds)))


def test_the_clock_is_that_of_arrival_where_stamps_agree_with_it(contract):
    clock = Clock(contract)
    assert clock(stamped(5), 10) == 10 and clock.decided
    assert clock(SimpleNamespace(), 20) == 20


def test_the_clock_is_that_of_the_stamps_where_they_do_not(contract):
    clock = Clock(contract)
    clock(SimpleNamespace(), START)
    assert not clock.decided
    assert [clock(stamped(5), START), clock(SimpleNamespace(), START + 9)] == [5, 5]


def test_an_action_of_the_wrong_size_is_refused(contract):
    with pytest.raises(BadMessage, match='expected 1 finite values'):
        action_values(contract.action, SimpleNamespace(data=[1.0, 2.0]))
