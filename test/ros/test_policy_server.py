from __future__ import annotations

from functools import partial

from arm import Arm, AT_GOAL, make_policy, PERIOD
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
from rclpy.task import Future
from rclpy.time import Time
from robot_rl.bundle import pack, unpack
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode, Source, Status
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.ros.codecs import bytes_message, status_message
from robot_rl.ros.qos import DRIVER, EVENTS, LATCHED
from rosgraph_msgs.msg import Clock
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

SHORT = {'horizon: 50': 'horizon: 4'}


@pytest.fixture
def serve(start, make_contract):
    """Start a lockstep policy server in mode random with its robot; it idles."""
    def begin(replaced=SHORT, mute=False, **parameters):
        contract = make_contract(**replaced)
        bench = start(PolicyServer, contract=str(contract.file), **{
            'mode': 'random', 'lockstep': True, **parameters})
        arm = Arm(bench, contract, mute)
        bench.until(lambda: bench.status.get('text', '').endswith('idle'))
        return bench, arm
    return begin


def run(bench, on: bool = True):
    return bench.call(SetBool, 'policy_server/run', data=on)


def ends(bench) -> list[dict[str, str]]:
    return [values for kind, values in bench.events if kind == 'end']


def label(bench, kind: str) -> None:
    publisher = bench.publisher(DiagnosticArray, 'data_recorder/events', EVENTS)
    publisher.publish(status_message(Time(), 'data_recorder', kind, {}))


def offer(bench, data: bytes, version: int | None = None) -> None:
    """Publish an actor; wait until it is on the shelf, where a version is given."""
    bench.publisher(UInt8MultiArray, 'actor', LATCHED).publish(bytes_message(data))
    bench.until(lambda: version is None or bench.node._policies.newest[0] == version)


def test_an_episode_has_one_more_record_than_actions_and_ends_at_the_horizon(serve):
    bench, arm = serve()
    bench.set(run_episodes=1)
    assert run(bench).success
    assert bench.event('end')['reason'] == 'horizon'
    bench.until(lambda: len(arm.steps) == 5)
    assert [step.index for step in arm.steps] == [0, 1, 2, 3, 4]
    assert [step.status for step in arm.steps] == [Status.RUNNING] * 4 + [Status.TRUNCATED]
    assert np.array_equal(arm.steps[4].executed, np.zeros(2))


def test_what_is_published_is_what_the_step_says_was_executed(serve):
    bench, arm = serve()
    bench.set(run_episodes=1)
    run(bench)
    bench.until(lambda: len(arm.steps) == 5 and len(arm.actions) >= 5)
    assert np.array_equal(arm.actions[:5], [step.executed for step in arm.steps])


def test_the_robot_gets_its_action_before_the_record_of_it_is_sent(serve, monkeypatch):
    bench, _ = serve()
    sent = []
    for name in ('_action', '_steps'):
        publisher = getattr(bench.node._output, name)
        monkeypatch.setattr(publisher, 'publish', partial(
            lambda name, send, message: (sent.append(name), send(message)),
            name, publisher.publish))
    bench.set(run_episodes=1)
    run(bench)
    bench.event('end')
    assert sent == ['_action', '_steps'] * 5


def test_actions_stay_within_limits_and_rate_whatever_is_asked(serve):
    bench, arm = serve({'max_rate: [100.0, 100.0]': 'max_rate: [20.0, 10.0]'})
    bench.set(run_episodes=1)
    run(bench)
    bench.event('end')
    bench.until(lambda: len(arm.steps) == 51)
    executed = np.array([step.executed for step in arm.steps[:-1]])
    changes = np.abs(np.diff(executed, axis=0, prepend=np.zeros((1, 2))))
    assert (np.abs(executed) <= 2.5).all()
    assert (changes <= [1.0 + 1e-12, 0.5 + 1e-12]).all()
    assert changes.max() > 0.5      # the limit was reached, so the test can fail


def test_run_episodes_ends_the_run_by_itself(serve):
    bench, arm = serve()
    bench.set(run_episodes=3)
    run(bench)
    bench.until(lambda: len(ends(bench)) == 3 and bench.status['text'] == 'random: idle')
    assert [values['episode'] for values in ends(bench)] == ['1', '2', '3']
    assert arm.resets == 3


def test_run_false_lets_the_episode_end_and_starts_no_other(serve):
    bench, arm = serve(mute=True)
    run(bench)
    bench.event('start')
    assert run(bench, False).message == 'ends after this episode'
    arm.mute = False
    arm.observe()
    bench.event('end')
    bench.says(text='random: idle')
    assert [values['reason'] for values in ends(bench)] == ['horizon']


def test_stop_sends_the_stop_action_and_latches_until_clear_stop(serve):
    bench, arm = serve(mute=True)
    run(bench)
    bench.until(lambda: len(arm.actions) == 1)
    assert np.abs(arm.actions[0]).max() > 0.0
    assert bench.call(Trigger, 'policy_server/stop').success
    bench.until(lambda: len(arm.actions) == 2)
    assert np.array_equal(arm.actions[1], np.zeros(2))
    assert bench.event('end')['reason'] == 'operator'
    refused = run(bench)
    assert not refused.success
    assert refused.message == 'stopped: operator; call clear_stop first'
    assert bench.call(Trigger, 'policy_server/clear_stop').message == 'cleared: operator'
    assert run(bench).success


def test_clear_stop_without_a_stop_says_so(serve):
    bench, _ = serve()
    answer = bench.call(Trigger, 'policy_server/clear_stop')
    assert (answer.success, answer.message) == (False, 'was not stopped')


@pytest.mark.parametrize('end', ['stop', 'run'])
def test_an_episode_that_has_not_begun_does_not_begin_after_stop(serve, end):
    bench, arm = serve(mute=True)
    arm.observe = lambda: None      # the reset succeeds, but nothing is seen
    run(bench)
    bench.until(lambda: bench.node._phase.value == 'waiting for fresh observations')
    if end == 'stop':
        bench.call(Trigger, 'policy_server/stop')
    else:
        run(bench, False)
    Arm.observe(arm)
    bench.until(lambda: bench.node._assembler.complete())
    assert bench.node._phase.value == 'idle'
    assert not arm.actions


def test_not_finite_observation_ends_the_episode_in_lockstep(serve):
    bench, arm = serve(observation_timeout=0.2)
    bench.set(run_episodes=1)
    arm.velocity = (0.0, 0.0)
    run(bench)
    bench.event('start')
    arm.velocity = (float('nan'), 0.0)
    assert bench.event('end')['reason'] == 'observation_timeout'
    assert 'finite' in bench.until(lambda: bench.status.get('refused_arm'))
    assert all(np.isfinite(step.observation).all() for step in arm.steps)


def test_a_stale_observation_ends_the_episode_as_broken(start, make_contract):
    contract = make_contract()
    bench = start(PolicyServer, contract=str(contract.file), mode='random', use_sim_time=True)
    arm = Arm(bench, contract, mute=True)
    clock = bench.publisher(Clock, '/clock', DRIVER)

    def show_time():
        now = arm.now       # a reset in between moves it on
        clock.publish(Clock(clock=Time(nanoseconds=now).to_msg()))
        bench.until(lambda: bench.node.get_clock().now().nanoseconds == now)
        bench.settle()

    bench.until(lambda: bench.status.get('text', '').endswith('idle'))
    run(bench)
    while not arm.actions:
        arm.observe()
        show_time()
    while not ends(bench):      # the clock goes on, the robot is silent
        arm.now += PERIOD
        show_time()
    assert ends(bench)[-1]['reason'].startswith('observation_stale: arm on joint_states is 0.')
    bench.until(lambda: arm.steps[-1].status is Status.BROKEN)
    assert arm.steps[-1].source is Source.SAFETY
    assert np.array_equal(arm.steps[-1].executed, np.zeros(2))


def test_a_clock_that_begins_again_breaks_the_episode_and_stops(serve):
    bench, arm = serve(mute=True)
    arm.now += 5_000_000_000
    run(bench)
    bench.until(lambda: len(arm.steps) == 1)
    arm.mute, arm.now = False, 0
    arm.observe()
    assert bench.event('end')['reason'] == 'clock_began_again'
    assert bench.call(Trigger, 'policy_server/clear_stop').message == 'cleared: clock_began_again'
    run(bench)
    bench.until(lambda: len(ends(bench)) == 3 and len(arm.steps) >= 7)
    assert arm.steps[1].status is Status.BROKEN     # no transition joins the two times
    assert [step.index for step in arm.steps[2:7]] == [0, 1, 2, 3, 4]
    assert max(step.stamp for step in arm.steps[2:7]) < arm.steps[0].stamp


def test_to_wait_for_the_next_observation_is_no_warning(serve):
    bench, arm = serve()
    statuses = bench.listen('diagnostic_msgs/msg/DiagnosticArray', 'policy_server/status', LATCHED)
    arm.observe()
    bench.until(bench.node._assembler.complete)
    arm.observe = lambda: None
    run(bench)
    bench.until(lambda: statuses and statuses[-1].status[0].message
                == 'random: waiting for fresh observations')
    assert statuses[-1].status[0].level == DiagnosticStatus.OK


def test_status_says_which_observation_is_missing(serve):
    bench, arm = serve(lockstep=False)
    arm.observe = lambda: None
    run(bench)
    bench.until(lambda: bench.status['text'] == 'random: waiting for fresh observations: arm '
                'never arrived on joint_states; tip never arrived on tip')


@pytest.mark.parametrize('mode, source', [('random', Source.RANDOM), ('learn', Source.POLICY),
                                          ('evaluate', Source.POLICY)])
def test_the_mode_decides_who_acts(serve, mode, source):
    bench, arm = serve()
    offer(bench, make_policy(arm.contract, version=7), version=7)
    bench.set(mode=mode, run_episodes=1)
    run(bench)
    assert bench.event('end')['mode'] == mode
    bench.until(lambda: len(arm.steps) == 5)
    assert {step.mode for step in arm.steps} == {Mode[mode.upper()]}
    assert {step.source for step in arm.steps[:-1]} == {source}
    assert {step.policy_version for step in arm.steps} == {-1 if mode == 'random' else 7}


def test_evaluate_is_greedy(serve):
    bench, arm = serve(mode='evaluate')
    offer(bench, make_policy(arm.contract, action=(0.5, -0.5)))
    bench.set(run_episodes=1)
    run(bench)
    bench.event('end')
    bench.until(lambda: len(arm.steps) == 5)
    assert np.allclose([step.executed for step in arm.steps[:-1]], [1.25, -1.25], atol=1e-6)


def test_evaluate_waits_for_a_policy_and_says_so(serve):
    bench, arm = serve(mode='evaluate')
    run(bench)
    bench.says(text='evaluate: idle, no learned policy yet: start sac_learner, or remap the topic '
               'actor')
    offer(bench, make_policy(arm.contract))
    bench.event('start')


def test_the_same_seed_gives_the_same_random_actions(serve):
    runs = []
    for _ in range(2):
        bench, arm = serve(seed=5)
        bench.set(run_episodes=2)
        run(bench)
        bench.until(lambda: len(arm.steps) == 10)
        runs.append(np.array([step.requested for step in arm.steps]))
    assert np.array_equal(*runs)


def test_a_policy_is_swapped_between_episodes_only(serve):
    bench, arm = serve(mode='learn', mute=True)
    offer(bench, make_policy(arm.contract, version=1), version=1)
    run(bench)
    bench.until(lambda: len(arm.actions) == 1)
    offer(bench, make_policy(arm.contract, version=2), version=2)
    arm.mute = False
    arm.observe()
    bench.until(lambda: len(ends(bench)) == 2)
    bench.until(lambda: len(arm.steps) >= 10)
    assert [step.policy_version for step in arm.steps[:10]] == [1] * 5 + [2] * 5


def wrong_policies(contract):
    puck = load_contract('puck_push')
    cut = make_policy(contract)[:-8]
    return {'another contract': (make_policy(puck, action=(0.0, 0.0, 0.0)), 'another contract'),
            'garbage': (b'\x00garbage' * 20, 'not a file of this package'),
            'nothing': (b'', 'not a file of this package'),
            'cut short': (cut, 'not a file of this package')}


@pytest.mark.parametrize('case', ['another contract', 'garbage', 'nothing', 'cut short'])
def test_a_wrong_policy_is_refused_with_its_reason_and_the_last_good_one_acts(serve, case):
    bench, arm = serve(mode='evaluate')
    offer(bench, make_policy(arm.contract, version=3), version=3)
    data, reason = wrong_policies(arm.contract)[case]
    offer(bench, data)
    refused = bench.event('policy_refused')['reason']
    assert 'topic actor' in refused
    assert reason in refused
    bench.set(run_episodes=1)
    run(bench)
    assert bench.event('end')['policy_version'] == '3'


def test_a_policy_with_the_wrong_action_size_is_refused(serve):
    bench, arm = serve(mode='evaluate')
    wide = make_policy(arm.contract, action=(0.1, 0.2, 0.3))
    offer(bench, wide)
    assert 'actor.0' in bench.event('policy_refused')['reason']
    assert bench.node._policies.newest[0] == -1


@pytest.mark.parametrize('verdict', ['success', 'failure'])
def test_a_persons_verdict_ends_the_episode_as_terminated(serve, verdict):
    bench, arm = serve(mute=True)
    bench.set(run_episodes=1)
    run(bench)
    bench.until(lambda: len(arm.actions) == 1)
    label(bench, verdict)
    bench.until(lambda: bench.node._requests.label)
    arm.observe()
    end = bench.event('end')
    assert (end['reason'], end['success']) == (verdict, str(verdict == 'success'))
    bench.until(lambda: arm.steps[-1].status is Status.TERMINATED)


def test_a_discard_aborts_the_episode(serve):
    bench, arm = serve(mute=True)
    bench.set(run_episodes=1)
    run(bench)
    bench.until(lambda: len(arm.actions) == 1)
    label(bench, 'discard')
    assert bench.event('end')['reason'] == 'discard'


def test_success_at_the_goal_terminates(serve):
    bench, arm = serve(mute=True)
    bench.set(run_episodes=1)
    run(bench)
    bench.until(lambda: len(arm.actions) == 1)
    arm.tip = AT_GOAL
    arm.observe()
    assert bench.event('end')['reason'] == 'success'
    bench.until(lambda: arm.steps[-1].status is Status.TERMINATED)
    assert arm.steps[-1].success


def test_a_reset_service_that_is_not_there_is_named_with_a_warning(serve):
    bench, arm = serve({'service: sim_bridge/reset': 'service: arm/reset'})
    statuses = bench.listen('diagnostic_msgs/msg/DiagnosticArray', 'policy_server/status', LATCHED)
    waits = 'waiting for the reset service /arm/reset: nobody serves it'
    assert run(bench).message == f'accepted, not yet running: {waits}'
    text = f'random: idle, {waits}'
    bench.until(lambda: statuses and statuses[-1].status[0].message == text)
    assert statuses[-1].status[0].level == DiagnosticStatus.WARN
    bench.probe.create_service(Trigger, 'arm/reset', arm._on_reset)
    bench.event('start')


def test_a_reset_that_fails_ends_the_run_with_its_reason(serve):
    bench, arm = serve()
    arm.accepts_resets = False
    run(bench)
    assert bench.event('reset')['reason'] == 'reset_failed: the cable is out'
    bench.says(text='random: idle')
    assert not arm.actions


def test_a_reset_that_never_answers_ends_the_run_with_its_reason(serve):
    bench, arm = serve(reset_timeout=0.1)
    bench.until(lambda: bench.node.reset.ready)
    bench.node.reset.client.call_async = lambda request: Future()
    run(bench)
    assert bench.event('reset')['reason'] == 'reset_timeout'


def test_silence_of_the_robot_ends_a_lockstep_episode(serve):
    bench, arm = serve(mute=True, observation_timeout=0.1)
    bench.set(run_episodes=1)
    run(bench)
    assert bench.event('end')['reason'] == 'observation_timeout'
    bench.until(lambda: len(arm.actions) == 2)
    assert np.array_equal(arm.actions[1], np.zeros(2))


def test_a_closing_server_sends_the_stop_action(serve):
    bench, arm = serve(mute=True)
    run(bench)
    bench.until(lambda: len(arm.actions) == 1)
    bench.node.close()
    bench.until(lambda: len(arm.actions) == 2)
    assert np.array_equal(arm.actions[1], np.zeros(2))
    assert bench.event('end')['reason'] == 'shutdown'


def test_an_episode_waits_until_the_actor_has_learned_from_the_one_before(serve):
    bench, arm = serve(mode='learn', max_policy_lag=0)
    run(bench)
    bench.event('end')
    bench.says(text='learn (no policy yet: random actions): idle, waiting for the next policy of '
               'sac_learner')
    arrays, manifest = unpack(make_policy(arm.contract, version=9), 'test')
    manifest['provenance'] = {'learned_stamp': arm.steps[-1].stamp}
    assert len(ends(bench)) == 1
    offer(bench, pack(arrays, manifest))
    bench.until(lambda: len(ends(bench)) == 2)
    assert ends(bench)[-1]['policy_version'] == '9'
