from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode, Source, Status
from robot_rl.data.transitions import derive_transitions
from robot_rl.fields import compile_selection
from robot_rl.inputs import Observation
from robot_rl.learning.policy import CannotAct, HeldRandom, RandomPolicy, RandomTail
from robot_rl.observation import Reading
from robot_rl.rollout import Rollout
from robot_rl.safety.settings import Intervention, Safety, Switch
from robot_rl.safety.signals import Signals
from robot_rl.tasks.reach import GOAL

PERIOD = 50_000_000
REACH = load_contract('reach')
SHORT = replace(REACH, episode=replace(REACH.episode, horizon=3))
AWAY = np.zeros(6)
THERE = np.array([0.0, 0.0, 0.0, 0.0, *GOAL])


@dataclass
class Constant:
    """A policy that always asks for the same."""

    action: object = (0.5, -0.5)
    version: int = 3
    source: Source = Source.POLICY

    def act(self, observation, rng):
        return np.array(self.action, float)


class Ticker:
    """A rollout ticked with observations at successive stamps; keeps the step records."""

    def __init__(self, contract=SHORT, policy=None, mode=Mode.LEARN, seed=0, episode=1):
        self.contract = contract
        self.rollout = Rollout(contract, policy or Constant(), mode, episode, seed)
        self.now, self.steps, self.ended = 0, [], ''

    def __call__(self, values=AWAY, stale='', newer=True, reward=None, reward_stale='',
                 **arguments):
        assert not self.ended, 'ticked after the end'
        self.now += PERIOD if newer else 0
        reading = Reading(np.array(values), self.now, stale, reward, reward_stale)
        tick = self.rollout.tick(reading, **arguments)
        self.steps.append(tick.step)
        self.ended = tick.ended
        return tick

    @property
    def transitions(self):
        return derive_transitions(self.steps, self.contract)


def test_a_running_tick_records_what_was_seen_asked_and_done():
    tick = Ticker()(np.arange(6.0))
    step = tick.step
    assert (step.status, step.source, step.mode, step.index, step.policy_version, step.stamp) == (
        Status.RUNNING, Source.POLICY, Mode.LEARN, 0, 3, PERIOD)
    assert step.observation.tolist() == [0, 1, 2, 3, 4, 5]
    assert step.requested.tolist() == step.executed.tolist() == [0.5, -0.5]
    assert not tick.ended and not step.success


def test_the_executed_action_is_limited_and_the_request_is_kept():
    step = Ticker(policy=Constant((9.0, -9.0)))().step
    assert step.requested.tolist() == [9.0, -9.0] and step.executed.tolist() == [2.5, -2.5]


class Tired(Constant):
    """Has an action for the first tick only."""

    def act(self, observation, rng):
        if observation[0] > 0.0:
            raise CannotAct('plan_late')
        return super().act(observation, rng)


def test_a_policy_that_cannot_act_stops_the_episode_with_its_reason():
    tick = Ticker(policy=Tired())
    tick(np.zeros(6))
    last = tick(np.ones(6))
    assert (last.ended, last.step.status) == ('plan_late', Status.ABORTED)
    assert last.step.source is Source.SAFETY and last.step.executed.tolist() == [0.0, 0.0]


def test_the_horizon_truncates_after_as_many_actions():
    tick = Ticker()
    while not tick.ended:
        tick()
    assert tick.ended == 'horizon' and tick.steps[-1].status is Status.TRUNCATED
    assert len(tick.steps) == 4 and tick.rollout.steps == 3
    assert tick.transitions.truncated.tolist() == [0, 0, 1]
    assert not tick.transitions.terminated.any()


def test_success_terminates():
    tick = Ticker()
    tick()
    last = tick(THERE)
    assert last.ended == 'success' and last.step.status is Status.TERMINATED and last.step.success
    assert tick.transitions.terminated.tolist() == [1]


def test_success_at_the_horizon_is_termination():
    tick = Ticker()
    for _ in range(3):
        tick()
    tick(THERE)
    assert tick.ended == 'success' and tick.transitions.terminated.tolist() == [0, 0, 1]


def test_a_termination_without_success_is_a_failure():
    contract = replace(SHORT, success=lambda observation: np.zeros(observation['tip'].shape[:-1]))
    tick = Ticker(contract)
    tick()
    last = tick(THERE)
    assert last.ended == 'failure' and not last.step.success
    assert last.step.status is Status.TERMINATED


@pytest.mark.parametrize(('label', 'success'), [('success', True), ('failure', False)])
def test_a_persons_verdict_ends_the_episode(label, success):
    tick = Ticker()
    tick()
    last = tick(AWAY if success else THERE, label=label)
    assert (last.ended, last.step.status, last.step.success) == (label, Status.TERMINATED, success)


def test_a_stop_with_a_newer_observation_is_a_truncation():
    tick = Ticker()
    tick()
    last = tick(stop='operator')
    assert last.ended == 'operator' and last.step.status is Status.ABORTED
    assert last.step.source is Source.SAFETY and last.step.executed.tolist() == [0.0, 0.0]
    assert tick.transitions.truncated.tolist() == [1]


def test_a_stop_between_ticks_gives_no_transition():
    tick = Ticker()
    tick()
    last = tick(stop='operator', newer=False)
    assert last.ended == 'operator' and last.step.status is Status.BROKEN
    assert len(tick.transitions) == 0


def test_a_stale_observation_ends_the_episode_with_its_reason_and_no_transition():
    tick = Ticker()
    tick()
    last = tick([np.nan] * 6, stale='tip never arrived on tip')
    assert last.ended == 'observation_stale: tip never arrived on tip'
    assert last.step.status is Status.BROKEN and not last.step.success
    assert np.isfinite(last.step.observation).all() and len(tick.transitions) == 0


def test_the_reason_of_a_stop_is_not_hidden_by_a_stale_observation():
    tick = Ticker()
    tick()
    last = tick([np.nan] * 6, stale='tip is old', stop='operator')
    assert last.ended == 'operator' and last.step.status is Status.BROKEN


@pytest.mark.parametrize('action', [(np.nan, 0.0), (0.0, np.inf)])
def test_a_policy_that_is_not_finite_aborts_with_the_reason(action):
    last = Ticker(policy=Constant(action))()
    assert last.ended == 'action_not_finite' and last.step.status is Status.ABORTED
    assert last.step.executed.tolist() == [0.0, 0.0] and last.step.source is Source.SAFETY
    assert not np.isfinite(last.step.requested).all()


def test_a_policy_of_another_shape_aborts_with_the_reason():
    assert Ticker(policy=Constant((0.0,) * 3))().ended.startswith('action_shape')


def test_a_stop_may_hold_the_last_action():
    contract = replace(SHORT, action=replace(SHORT.action, on_stop='hold'))
    tick = Ticker(contract)
    tick()
    assert tick(stop='operator').step.executed.tolist() == [0.5, -0.5]


def test_the_first_action_is_limited_from_where_the_robot_is():
    names = ('arm.position.shoulder', 'arm.position.elbow')
    action = replace(SHORT.action, on_stop='hold', measured=names, max_rate=np.full(2, 2.0))
    contract = replace(SHORT, action=action)
    values = np.zeros(len(SHORT.layout))
    values[:2] = [1.0, -1.0]
    tick = Rollout(contract, Constant((2.0, 2.0)), Mode.LEARN, 1, 0).tick(Reading(values, 1, ''))
    assert np.allclose(tick.step.executed, [1.1, -0.9])     # 2 per second at 20 Hz
    stopped = Rollout(contract, Constant((2.0, 2.0)), Mode.LEARN, 1, 0).tick(
        Reading(values, 1, ''), stop='operator')
    assert stopped.step.executed.tolist() == [1.0, -1.0]


def raising(*arguments):
    raise ZeroDivisionError('the user made a mistake')


@pytest.mark.parametrize('key', ['reward', 'success'])
def test_a_reward_that_raises_stops_the_robot_with_the_reason(key):
    tick = Ticker(replace(SHORT, **{key: raising}))
    last = tick() if key == 'success' else (tick(), tick())[1]
    assert last.ended == 'task_failed: ZeroDivisionError: the user made a mistake'
    assert last.step.status is Status.ABORTED and last.step.executed.tolist() == [0.0, 0.0]


def test_a_stop_succeeds_though_the_task_raises():
    tick = Ticker(replace(SHORT, success=raising))
    last = tick(stop='operator')
    assert last.ended == 'operator' and last.step.executed.tolist() == [0.0, 0.0]


def requests(mode: Mode, seed: int, episode: int = 1) -> list:
    action = SHORT.action
    tick = Ticker(policy=RandomPolicy(action.low, action.high), mode=mode, seed=seed,
                  episode=episode)
    while not tick.ended:
        tick()
    assert {step.source for step in tick.steps[:-1]} == {Source.RANDOM}
    return [step.requested.tolist() for step in tick.steps]


def test_the_same_seed_gives_the_same_actions_and_another_seed_or_episode_others():
    first = requests(Mode.LEARN, 5)
    assert requests(Mode.LEARN, 5) == first
    assert requests(Mode.LEARN, 6) != first and requests(Mode.LEARN, 5, episode=2) != first


@pytest.mark.parametrize('mode', [Mode.EVALUATE, Mode.TRANSFER])
def test_a_measured_episode_is_deterministic_whatever_the_seed(mode):
    assert requests(mode, 5) == requests(mode, 6)


@pytest.mark.parametrize('mode', [Mode.RANDOM, Mode.LEARN, Mode.EXPLORE, Mode.DEMONSTRATE])
def test_every_other_episode_is_sampled(mode):
    assert requests(mode, 5) != requests(mode, 6)


def test_each_record_says_whether_the_explorer_or_its_random_tail_acted():
    action, before = SHORT.action, 2
    policy = RandomTail(Constant(), HeldRandom(action.low, action.high), 3,
                        np.random.default_rng(0))
    policy.left = before
    tick = Ticker(policy=policy, mode=Mode.EXPLORE)
    while not tick.ended:
        tick()
    assert [step.source for step in tick.steps] == [
        *[Source.POLICY] * before, Source.RANDOM, Source.SAFETY]
    explored = [step.requested.tolist() == [0.5, -0.5] for step in tick.steps[:-1]]
    assert explored == [True, True, False]
    assert {step.policy_version for step in tick.steps} == {3}
    assert {step.mode for step in tick.steps} == {Mode.EXPLORE}


HELPED = replace(SHORT, episode=replace(SHORT.episode, horizon=30), safety=Safety(
    limits={'tip.point.x': (-1.0, 1.0)}, e_stop=Switch('e_stop', 'std_msgs/msg/Bool', 0.5),
    intervention=Intervention('leader', SHORT.action.type, 0.2, blend=0.5)))


def asks(*values: float) -> Signals:
    return Signals(request=np.array(values))


def test_a_person_who_takes_over_acts_and_is_recorded_as_who_acted():
    tick = Ticker(HELPED)
    ticks = [tick(), tick(signals=asks(0.25, -0.25)), tick()]
    assert [one.step.source for one in ticks] == [Source.POLICY, Source.HUMAN, Source.POLICY]
    assert [one.helped for one in ticks] == [False, True, True]
    assert ticks[1].step.executed.tolist() == [0.25, -0.25]
    assert ticks[1].step.requested.tolist() == [0.5, -0.5]      # the policy's
    assert tick.transitions.human.tolist() == [0.0, 1.0]


def test_hands_change_without_a_jump_and_the_blend_ends():
    tick = Ticker(HELPED, policy=Constant((2.5, -2.5)))
    for signals in [Signals()] * 2 + [asks(-2.5, 2.5)] * 13 + [Signals()] * 13:
        tick(signals=signals)
    executed = np.array([step.executed for step in tick.steps])
    jumps = np.abs(np.diff(executed, axis=0))
    assert jumps.max() <= 5.0 / (0.5 * 20.0) + 1e-12     # the range of 5 in 10 ticks of 0.5 s
    assert executed[14].tolist() == [-2.5, 2.5] and executed[-1].tolist() == [2.5, -2.5]


def test_an_action_of_the_policy_jumps_as_the_contract_allows_where_nobody_takes_over():
    tick = Ticker(HELPED, policy=Constant((2.5, -2.5)))
    assert tick().step.executed.tolist() == [2.5, -2.5]


@pytest.mark.parametrize(('arguments', 'reason'), [
    ({'signals': Signals(e_stop=True)}, 'e_stop_pressed'),
    ({'signals': Signals(e_stop_silence=0.6)},
     'e_stop_silent: e_stop silent for 0.60 s, timeout 0.5 s'),
    ({'values': [0, 0, 0, 0, 2, 0]}, 'observation_outside: tip.point.x is 2, limits -1 to 1'),
    ({'late': 3}, 'policy_late: 3 control periods')])
def test_the_gate_stops_with_its_reason_and_the_policy_is_not_asked(arguments, reason):
    policy = Constant()
    tick = Ticker(HELPED, policy=policy)
    tick()
    policy.act = None
    last = tick(**arguments)
    assert (last.ended, last.step.status) == (reason, Status.ABORTED)
    assert last.step.source is Source.SAFETY and last.step.executed.tolist() == [0.0, 0.0]


def test_an_observation_that_is_not_finite_breaks_the_episode():
    tick = Ticker(HELPED)
    tick()
    last = tick([0, 0, np.inf, 0, 0, 0])
    assert last.ended == 'observation_not_finite: arm.velocity.shoulder'
    assert last.step.status is Status.BROKEN and np.isfinite(last.step.observation).all()


def test_a_success_is_no_stop_though_something_is_wrong_as_well():
    tick = Ticker(HELPED)
    tick()
    last = tick(THERE, signals=Signals(e_stop=True))
    assert (last.ended, last.step.status) == ('success', Status.TERMINATED)
    assert last.step.executed.tolist() == [0.0, 0.0]


PAID = replace(SHORT, reward_name='reward topic score', reward=None, reward_topic=Observation(
    'reward', 'score', 'std_msgs/msg/Float64', 0.5, compile_selection(
        'std_msgs/msg/Float64', ['data'])))


def test_a_published_reward_belongs_to_the_transition_that_led_to_its_tick():
    tick = Ticker(PAID)
    for reward in (9.0, 0.25, 0.5, 0.75):
        tick(reward=reward)
    assert tick.ended == 'horizon'
    assert [step.reward for step in tick.steps] == [9.0, 0.25, 0.5, 0.75]
    assert tick.transitions.reward.tolist() == [0.25, 0.5, 0.75]


def test_a_published_reward_ends_no_episode_and_success_does():
    tick = Ticker(PAID)
    tick(reward=0.0)
    assert not tick(reward=-1e9).ended
    assert tick(THERE, reward=1.0).ended == 'success'
    assert tick.transitions.terminated.tolist() == [0, 1]
    assert tick.transitions.reward.tolist() == [np.float32(-1e9), 1.0]


def test_without_a_success_function_a_verdict_or_the_horizon_ends_the_episode():
    contract = replace(PAID, success_name='', success=None)
    tick = Ticker(contract)
    tick(THERE, reward=0.0)
    tick(THERE, reward=0.5)
    last = tick(THERE, reward=1.0, label='success')
    assert last.step.success and tick.transitions.terminated.tolist() == [0, 1]
    tick = Ticker(contract)
    while not tick.ended:
        tick(THERE, reward=0.0)
    assert tick.ended == 'horizon' and not tick.steps[-1].success


def test_a_stale_reward_stops_with_its_reason_and_no_transition_leads_there():
    tick = Ticker(PAID)
    tick(reward=0.0)
    tick(reward=0.5)
    last = tick(THERE, reward_stale='reward on score is 0.60 s old, max_age 0.5 s')
    assert last.ended == 'reward_stale: reward on score is 0.60 s old, max_age 0.5 s'
    assert last.step.status is Status.BROKEN and last.step.reward is None
    assert last.step.source is Source.SAFETY and last.step.executed.tolist() == [0.0, 0.0]
    assert tick.transitions.reward.tolist() == [0.5] and tick.transitions.truncated.tolist() == [1]


def test_a_stop_keeps_the_last_transition_only_where_its_reward_is_known():
    counts = []
    for last in ({'reward': 0.5}, {'reward_stale': 'reward is old'}):
        tick = Ticker(PAID)
        tick(reward=0.0)
        assert tick(stop='operator', **last).ended == 'operator'
        counts.append(len(tick.transitions))
    assert counts == [1, 0]
