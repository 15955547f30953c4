"""Modes demonstrate and scripted, and a steered actor, on a real policy server."""

from __future__ import annotations

from concurrent.futures import Future

from arm import Arm
from made_policies import demonstrator, steered
import numpy as np
import pytest
from robot_rl.data.steps import Mode, Source, Status
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import LATCHED
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

SHORT = {'horizon: 50': 'horizon: 6'}
PLAN = np.array([[0.1, -0.1], [0.2, -0.2], [0.3, -0.3], [0.4, -0.4]])
PEOPLE = """
class Person:
    def __init__(self, rng):
        self.drawn = rng.uniform(-1.0, 1.0, 2)

    def __call__(self, observation):
        return self.drawn


class Clumsy(Person):
    def __call__(self, observation):
        if observation['tip'][0] > 0.0:
            raise RuntimeError('ouch')
        return self.drawn
"""


@pytest.fixture
def serve(start, make_contract, tmp_path, monkeypatch):
    """Start a lockstep policy server of the contract with these changes; it idles."""
    (tmp_path / 'people.py').write_text(PEOPLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('ROBOT_RL_FUNCTIONS', str(tmp_path))

    def begin(replaced=SHORT, **parameters):
        contract = make_contract(**replaced)
        bench = start(PolicyServer, contract=str(contract.file), **{'lockstep': True,
                                                                    **parameters})
        arm = Arm(bench, contract)
        bench.until(lambda: bench.status.get('text', '').endswith('idle'))
        return bench, arm
    return begin


def flow(bench, arm) -> None:
    """Let the robot observe by the clock instead of in answer to actions."""
    def observe():
        arm.now = bench.node.get_clock().now().nanoseconds
        Arm.observe(arm)

    arm.mute, arm.observe = True, lambda: None
    bench.probe.create_timer(0.02, observe)


def person(name: str) -> dict[str, str]:
    return SHORT | {'simulation: ': f'simulation:\n  demonstrator: people:{name} '}


def offer(bench, topic: str, data: bytes) -> None:
    shelf, before = bench.node._policies, getattr(bench.node._policies, topic)
    bench.publisher(UInt8MultiArray, topic, LATCHED).publish(bytes_message(data))
    bench.until(lambda: getattr(shelf, topic) is not before)


def episodes(bench, arm, count: int, **parameters) -> list[list]:
    """Run so many episodes; return their step records."""
    assert all(result.successful for result in bench.set(run_episodes=count, **parameters))
    begun = bench.node._episodes
    assert bench.call(SetBool, 'policy_server/run', data=True).success
    bench.until(lambda: arm.steps and arm.steps[-1].episode == begun + count
                and arm.steps[-1].status.value)
    return [[step for step in arm.steps if step.episode == begun + number]
            for number in range(1, count + 1)]


def test_demonstrate_waits_for_a_demonstrator_and_says_what_to_do(serve):
    bench, arm = serve(mode='demonstrate')
    bench.call(SetBool, 'policy_server/run', data=True)
    bench.says(text='demonstrate: idle, no demonstrator yet: call demo_ingest/fit, or remap the '
               'topic demonstrator')
    offer(bench, 'demonstrator', demonstrator(arm.contract, PLAN))
    assert bench.event('start')['mode'] == 'demonstrate'


def test_demonstrate_executes_chunks_and_is_sampled(serve):
    bench, arm = serve(mode='demonstrate')
    offer(bench, 'demonstrator', demonstrator(arm.contract, PLAN, replan=3, spread=1e-3))
    [steps] = episodes(bench, arm, 1)
    assert {(step.mode, step.policy_version) for step in steps} == {(Mode.DEMONSTRATE, 3)}
    assert {step.source for step in steps[:-1]} == {Source.POLICY}
    requested = np.array([step.requested for step in steps[:-1]])
    off = requested - np.concatenate((PLAN[:3], PLAN[:3]))
    assert 0.0 < np.abs(off).max() < 0.01 and len(np.unique(off)) == off.size
    bench.says(demonstrator='3', plans='2', plans_late='0', actions_dropped='0')


def test_the_same_seed_gives_the_same_plans(serve):
    runs = []
    for _ in range(2):
        bench, arm = serve(mode='demonstrate', seed=5)
        offer(bench, 'demonstrator', demonstrator(arm.contract, PLAN))
        runs.append(np.array([step.requested for steps in episodes(bench, arm, 2)
                              for step in steps]))
    assert np.array_equal(*runs)


def test_in_lockstep_what_is_planned_ahead_is_dropped_by_the_tick_and_counted(serve):
    bench, arm = serve(mode='demonstrate', plan_ahead=1)
    offer(bench, 'demonstrator', demonstrator(arm.contract, PLAN, spread=1e-6))
    [steps] = episodes(bench, arm, 1)
    assert np.allclose([step.requested for step in steps[:-1]], PLAN[[0, 1, 1, 2, 1, 2]],
                       atol=1e-4)
    bench.says(plans='3', plans_late='0', actions_dropped='2')


def test_a_plan_that_never_comes_ends_the_episode_as_late(serve):
    bench, arm = serve(lockstep=False, mode='demonstrate', plan_ahead=1)
    flow(bench, arm)
    bench.node._runners._submit = lambda *_: Future()
    offer(bench, 'demonstrator', demonstrator(arm.contract, PLAN))
    [steps] = episodes(bench, arm, 1)
    assert bench.event('end')['reason'] == 'plan_late'
    assert steps[-1].status in (Status.ABORTED, Status.BROKEN) and len(steps) == len(PLAN) + 1
    assert np.array_equal(steps[-1].executed, np.zeros(2))
    bench.says(plans='1', plans_late='1')


def test_off_lockstep_plans_are_made_beside_the_ticks(serve):
    bench, arm = serve(lockstep=False, mode='demonstrate', plan_ahead=1)
    flow(bench, arm)
    plan = np.linspace(0.1, 0.6, 6)[:, None] * np.ones(2)       # lasts, however late the next is
    offer(bench, 'demonstrator', demonstrator(arm.contract, plan, spread=1e-6))
    [steps] = episodes(bench, arm, 1)
    assert bench.event('end')['reason'] == 'horizon'
    requested = np.array([step.requested for step in steps[:-1]])
    assert np.allclose(requested[:2], plan[:2], atol=1e-4)
    bench.until(lambda: int(bench.status['plans']) > 1)
    dropped, late = (int(bench.status[key]) for key in ('actions_dropped', 'plans_late'))
    assert dropped >= int(bench.status['plans']) - 1 and (late or dropped == 2)


@pytest.mark.parametrize('mode', ['learn', 'evaluate'])
def test_a_steered_actor_acts_sampled_or_in_its_mode(serve, mode):
    bench, arm = serve(mode=mode)
    offer(bench, 'actor', steered(arm.contract, PLAN, version=8))
    [steps] = episodes(bench, arm, 1)
    assert {(step.mode, step.policy_version) for step in steps} == {(Mode[mode.upper()], 8)}
    requested = np.array([step.requested for step in steps[:-1]])
    shift = requested - PLAN[[0, 1, 0, 1, 0, 1]]        # of the noise 0.75, in two quarter turns
    assert np.allclose(shift, 0.01 * 0.75 * 0.5, atol=1e-6) is (mode == 'evaluate')


def test_a_scripted_person_is_recorded_as_a_human_in_mode_scripted(serve):
    bench, arm = serve(person('Person'), mode='scripted')
    first, second = episodes(bench, arm, 2)
    for steps in (first, second):
        assert {(step.mode, step.policy_version) for step in steps} == {(Mode.SCRIPTED, -1)}
        assert {step.source for step in steps[:-1]} == {Source.HUMAN}
        assert len({tuple(step.requested) for step in steps[:-1]}) == 1
    assert not np.array_equal(first[0].requested, second[0].requested)


def test_a_scripted_person_that_fails_stops_the_robot_with_the_reason(serve):
    bench, arm = serve(person('Clumsy'), mode='scripted')
    observe = arm.observe

    def move():
        arm.tip = (0.01 * len(arm.actions), 0.0)
        observe()

    arm.observe = move
    [steps] = episodes(bench, arm, 1)
    assert bench.event('end')['reason'] == 'people:Clumsy: RuntimeError: ouch'
    assert np.array_equal(steps[-1].executed, np.zeros(2))


def test_without_a_scripted_person_a_run_is_refused_and_the_status_of_one_says_why(serve):
    bench, arm = serve(mode='scripted')
    answer = bench.call(SetBool, 'policy_server/run', data=True)
    reason = 'the contract names no scripted person: simulation.demonstrator'
    assert (answer.success, answer.message) == (False, reason)
    bench.set(mode='demonstrate')
    assert bench.call(SetBool, 'policy_server/run', data=True).success
    bench.set(mode='scripted')      # of a run that waits
    bench.says(text=f'scripted: idle, {reason}')
    assert arm.resets == 0


def test_a_steered_actor_is_compared_with_its_demonstrator_and_the_better_is_kept(serve):
    bench, arm = serve(mode='random', evaluation_episodes=1)
    offer(bench, 'demonstrator', demonstrator(arm.contract, PLAN))
    offer(bench, 'actor', steered(arm.contract, PLAN))
    assert bench.call(Trigger, 'policy_server/evaluate_and_keep').success
    assert bench.event('kept') == {
        'policy': 'learned', 'learned_version': '5', 'learned_successes': '0',
        'learned_episodes': '1', 'demonstrator_version': '3', 'demonstrator_successes': '0',
        'demonstrator_episodes': '1'}
    kept = bench.listen('std_msgs/msg/UInt8MultiArray', 'policy_server/kept', LATCHED)
    bench.until(lambda: kept)
    assert bytes(kept[0].data) == steered(arm.contract, PLAN)
