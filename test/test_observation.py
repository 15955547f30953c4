from __future__ import annotations

from types import SimpleNamespace as Bunch

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.observation import Assembler

SECOND = 1_000_000_000
ARM, TIP, BATTERY, REWARD = range(4)
CONTRACT = """\
task: held
control_rate: 20.0
observation:
  - {name: arm, topic: joint_states, type: sensor_msgs/msg/JointState, select: {position: [j]},
     max_age: 0.1}
  - {name: tip, topic: tool/tip, type: geometry_msgs/msg/PointStamped, select: [point.x],
     max_age: 0.2}
  - {name: battery, topic: battery, type: std_msgs/msg/Float64, select: [data], max_age: 1.0}
action: {topic: commands, type: std_msgs/msg/Float64MultiArray, names: [j], low: [-1.0],
         high: [1.0], on_stop: zeros}
episode: {horizon: 10}
reward: held_task:reward
success: held_task:success
"""
TASK = """
def reward(observation, action, next_observation):
    return next_observation['tip.point.x'], next_observation['tip.point.x'] > 1.0

def success(observation):
    return observation['tip.point.x'] > 1.0
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Return an assembler of the contract with this reward."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('ROBOT_RL_FUNCTIONS', str(tmp_path))
    (tmp_path / 'held_task.py').write_text(TASK)

    def do(reward: str = 'held_task:reward') -> Assembler:
        text = CONTRACT.replace('held_task:reward', reward)
        (tmp_path / 'held.yaml').write_text(text)
        return Assembler(load_contract(str(tmp_path / 'held.yaml')))
    return do


@pytest.fixture
def assembler(make):
    return make()


@pytest.fixture
def paid(make):
    return make('{topic: score, type: std_msgs/msg/Float32, select: [data], max_age: 0.5}')


def header(stamp: int):
    return Bunch(stamp=Bunch(sec=stamp // SECOND, nanosec=stamp % SECOND))


def joint(stamp: int, value: float = 1.0):
    return Bunch(header=header(stamp), name=['j'], position=[value])


def tip(stamp: int, value: float = 2.0):
    return Bunch(header=header(stamp), point=Bunch(x=value))


def send(assembler: Assembler, stamp: int, received: int | None = None) -> None:
    """Send one message of every entry; the battery's has no stamp."""
    received = stamp if received is None else received
    assembler.update(ARM, joint(stamp), received)
    assembler.update(TIP, tip(stamp), received)
    assembler.update(BATTERY, Bunch(data=3.0), received)


def test_numbers_come_in_the_order_of_the_contract(assembler):
    send(assembler, SECOND)
    reading = assembler.take(SECOND)
    assert reading.values.tolist() == [1.0, 2.0, 3.0]
    assert reading.stamp == SECOND and reading.stale == ''


def test_the_last_value_is_held_until_the_next_arrives(assembler):
    send(assembler, SECOND)
    assembler.take(SECOND)
    assembler.update(ARM, joint(SECOND + 50, value=9.0), SECOND + 50)
    assert assembler.take(SECOND + 60).values.tolist() == [9.0, 2.0, 3.0]


def test_only_the_newest_of_several_messages_counts(assembler):
    send(assembler, SECOND)
    for value in (4.0, 5.0, 6.0):
        assembler.update(ARM, joint(SECOND + 1, value), SECOND + 1)
    assert assembler.take(SECOND + 2).values[0] == 6.0


def test_what_never_arrived_is_named_with_its_topic_and_reads_as_nan(assembler):
    assembler.update(ARM, joint(SECOND), SECOND)
    reading = assembler.take(SECOND)
    assert reading.stale == 'tip never arrived on tool/tip; battery never arrived on battery'
    assert np.isnan(reading.values).tolist() == [False, True, True]


def test_an_entry_of_exactly_its_max_age_may_be_acted_on(assembler):
    send(assembler, SECOND)
    assert not assembler.take(SECOND + 100_000_000).stale


def test_an_entry_older_than_its_max_age_is_named_with_its_topic_and_age(assembler):
    send(assembler, SECOND)
    stale = assembler.take(SECOND + 150_000_000).stale
    assert stale == 'arm on joint_states is 0.15 s old, max_age 0.1 s'


def test_the_age_is_that_of_the_stamp_not_of_the_arrival(assembler):
    send(assembler, SECOND, received=5 * SECOND)
    assert assembler.take(5 * SECOND).stale.startswith('arm on joint_states is 4.00 s old')


def test_the_age_of_a_type_without_stamp_is_that_of_the_arrival(assembler):
    assembler.update(BATTERY, Bunch(data=3.0), SECOND)
    assert 'battery' not in assembler.take(SECOND * 2).stale
    assert 'battery on battery is 1.50 s old' in assembler.take(SECOND * 5 // 2).stale


def test_a_refused_message_keeps_the_last_value_and_its_age(assembler):
    send(assembler, SECOND)
    assembler.update(ARM, joint(2 * SECOND, value=np.nan), 2 * SECOND)
    assert 'position.j is not finite' in assembler.refused['arm']
    reading = assembler.take(SECOND)
    assert reading.values[0] == 1.0 and reading.stamp == SECOND and not reading.stale


def test_why_messages_are_refused_is_told_once_the_entry_is_stale(assembler):
    send(assembler, SECOND)
    assembler.update(TIP, tip(2 * SECOND, value=np.inf), 2 * SECOND)
    late = assembler.take(SECOND + 150_000_000).stale       # arm is stale, tip not yet
    assert 'point.x' not in late
    assert 'point.x is not finite' in assembler.take(2 * SECOND).stale


def test_a_good_message_clears_the_refusal(assembler):
    assembler.update(ARM, Bunch(header=header(1), name=['x'], position=[0.0]), 1)
    assert 'joint j is missing' in assembler.refused['arm']
    assembler.update(ARM, joint(SECOND), SECOND)
    assert not assembler.refused


def test_lockstep_is_complete_when_all_of_one_instant_arrived(assembler):
    assembler.update(ARM, joint(SECOND), 7)
    assembler.update(TIP, tip(SECOND), 7)
    assert not assembler.complete()
    assembler.update(BATTERY, Bunch(data=3.0), 7)      # the clock of arrival may be any
    assert assembler.complete() and assembler.newest == SECOND


def test_lockstep_waits_for_the_entries_of_the_next_instant(assembler):
    send(assembler, SECOND)
    assembler.take(SECOND)
    assert not assembler.complete()
    assembler.update(ARM, joint(2 * SECOND), 0)
    assembler.update(BATTERY, Bunch(data=3.0), 0)
    assert not assembler.complete()
    assembler.update(TIP, tip(2 * SECOND), 0)
    assert assembler.complete()


def test_lockstep_does_not_mix_two_instants(assembler):
    send(assembler, SECOND)
    assembler.update(ARM, joint(2 * SECOND), 2 * SECOND)
    assert not assembler.complete()


def test_a_step_sent_again_is_not_acted_on_twice(assembler):
    send(assembler, SECOND)
    assert assembler.complete()
    assembler.take(SECOND)
    send(assembler, SECOND)
    assert not assembler.complete()


def test_a_step_sent_again_with_its_unstamped_topic_later_is_not_acted_on_twice(assembler):
    send(assembler, SECOND, received=SECOND)
    assembler.take(SECOND)
    send(assembler, SECOND, received=9 * SECOND)
    assert not assembler.complete()


def test_a_stamp_far_ahead_of_the_clock_is_not_fresh(assembler):
    send(assembler, 5 * SECOND)
    assert assembler.take(2 * SECOND).stale.startswith(
        'arm on joint_states is stamped 3.00 s ahead of the clock')
    assert not assembler.take(5 * SECOND - SECOND // 2).stale


def test_lockstep_goes_on_with_a_simulator_whose_time_began_again(assembler):
    send(assembler, 9 * SECOND)
    assembler.take(9 * SECOND)
    send(assembler, SECOND)
    assert assembler.complete() and assembler.newest == SECOND


def pay(assembler: Assembler, value: float, received: int) -> None:
    assembler.update(REWARD, Bunch(data=value), received)


def test_without_a_reward_topic_a_reading_has_no_reward(assembler):
    send(assembler, SECOND)
    reading = assembler.take(SECOND)
    assert reading.reward is None and reading.reward_stale == ''


def test_the_newest_reward_is_in_force_beside_the_vector(paid):
    send(paid, SECOND)
    pay(paid, 0.25, SECOND)
    pay(paid, 0.5, SECOND + 1)
    reading = paid.take(SECOND + 2)
    assert reading.values.tolist() == [1.0, 2.0, 3.0]
    assert (reading.reward, reading.reward_stale, reading.stale) == (0.5, '', '')


def test_a_reward_holds_until_it_is_older_than_its_max_age(paid):
    send(paid, SECOND)
    pay(paid, 0.5, SECOND)
    assert paid.take(SECOND * 3 // 2).reward == 0.5
    reading = paid.take(SECOND * 3 // 2 + 10_000_000)
    assert reading.reward is None
    assert reading.reward_stale == 'reward on score is 0.51 s old, max_age 0.5 s'


def test_a_reward_that_never_came_is_told_apart_from_the_observations(paid):
    send(paid, SECOND)
    reading = paid.take(SECOND)
    assert reading.stale == '' and reading.reward is None
    assert reading.reward_stale == paid.stale(SECOND) == 'reward never arrived on score'


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_not_finite_is_refused_and_the_last_one_ages(paid, value):
    send(paid, SECOND)
    pay(paid, 0.5, SECOND)
    pay(paid, value, SECOND + 1)
    assert paid.take(SECOND + 2).reward == 0.5
    why = 'std_msgs/msg/Float32: data is not finite'
    assert paid.refused == {'reward': why}
    assert paid.take(2 * SECOND).reward_stale.endswith(f'max_age 0.5 s; {why}')


def test_a_reward_makes_no_observation_newer(make):
    paid = make('{topic: score, type: geometry_msgs/msg/PointStamped, select: [point.x], '
                'max_age: 0.5}')
    send(paid, SECOND)
    paid.update(REWARD, tip(2 * SECOND), 2 * SECOND)
    assert paid.newest == paid.take(SECOND).stamp == SECOND


def test_lockstep_waits_for_the_reward_of_each_step(paid):
    for second in (1, 2):
        send(paid, second * SECOND)
        assert not paid.complete()
        pay(paid, second / 8, second * SECOND)
        assert paid.complete()
        assert paid.take(second * SECOND).reward == second / 8
