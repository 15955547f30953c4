from __future__ import annotations

from arm import Arm, AT_GOAL
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from made_policies import actor, explorers
import numpy as np
import pytest
from robot_rl.data.steps import Mode, Source
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import LATCHED
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

SHORT = {'horizon: 50': 'horizon: 6'}
LEARNED, SIM_OPTIMAL = (0.5, 0.0), (-0.5, 0.0)
EXPLORERS = ((0.1, 0.1), (0.2, 0.2), (0.3, 0.3))


class Judge(Arm):
    """A world in which the arm is at its goal after any action towards `right`."""

    right = 1.0

    def observe(self):
        first = self.actions[-1][0] if self.actions else 0.0
        self.tip = AT_GOAL if first * self.right > 0.0 else (0.0, 0.0)
        super().observe()


@pytest.fixture
def serve(start, make_contract):
    """Start a lockstep policy server with its robot; it idles. `topics` are offered first."""
    def begin(*topics: str, world: type = Arm, mute: bool = False, **parameters):
        contract = make_contract(**SHORT)
        bench = start(PolicyServer, contract=str(contract.file), lockstep=True, **parameters)
        arm = world(bench, contract, mute)
        bench.until(lambda: bench.status.get('text', '').endswith('idle'))
        for topic in topics:
            offer(bench, topic, made(contract, topic))
        return bench, arm
    return begin


def made(contract, topic: str, **values) -> bytes:
    if topic == 'explorers':
        return explorers(contract, *EXPLORERS)
    version, action = {'actor': (7, LEARNED), 'sim_optimal': (800, SIM_OPTIMAL)}[topic]
    return actor(contract, **{'version': version, 'action': action, **values})


def offer(bench, topic: str, data: bytes) -> None:
    """Publish an artifact; wait until the server has taken or refused it."""
    def refusals() -> int:
        return sum(kind == 'policy_refused' for kind, _ in bench.events)

    shelf, before, refused = bench.node._policies, getattr(bench.node._policies, topic), refusals()
    bench.publisher(UInt8MultiArray, topic, LATCHED).publish(bytes_message(data))
    bench.until(lambda: getattr(shelf, topic) is not before or refusals() > refused)


def run(bench, on: bool = True, **parameters):
    if parameters:
        assert all(result.successful for result in bench.set(**parameters))
    return bench.call(SetBool, 'policy_server/run', data=on)


def evaluate(bench):
    return bench.call(Trigger, 'policy_server/evaluate_and_keep')


def ends(bench) -> list[dict[str, str]]:
    return [values for kind, values in bench.events if kind == 'end']


def episodes(bench, arm, count: int, **parameters) -> list[list]:
    """Run so many episodes; return their step records."""
    before = len(ends(bench))
    assert run(bench, run_episodes=count, **parameters).success
    bench.until(lambda: len(ends(bench)) == before + count)
    numbers = [int(values['episode']) for values in ends(bench)[before:]]
    bench.until(lambda: arm.steps and arm.steps[-1].episode == numbers[-1]
                and arm.steps[-1].status.value)
    return [[step for step in arm.steps if step.episode == number] for number in numbers]


@pytest.mark.parametrize(('mode', 'topic', 'missing'), [
    ('explore', 'explorers', 'no explorers yet: call sim_bridge/train_explorers, or remap the '
     'topic explorers'),
    ('mixed', 'explorers', 'no explorers yet: call sim_bridge/train_explorers, or remap the '
     'topic explorers'),
    ('transfer', 'sim_optimal', 'no sim-optimal policy yet: call sim_bridge/train_explorers, or '
     'remap the topic sim_optimal')])
def test_no_episode_starts_before_its_policy_came_and_the_status_says_what_to_do(
        serve, mode, topic, missing):
    bench, arm = serve('actor', mode=mode)
    assert run(bench).success
    bench.says(text=f'{mode}: idle, {missing}')
    assert arm.resets == 0
    offer(bench, topic, made(arm.contract, topic))
    assert bench.event('start')['mode'] == ('explore' if mode == 'mixed' else mode)


def test_each_episode_of_explore_has_an_explorer_and_a_random_tail(serve):
    bench, arm = serve('explorers', mode='explore')
    found = episodes(bench, arm, 12)
    assert {step.mode for steps in found for step in steps} == {Mode.EXPLORE}
    assert {steps[0].policy_version for steps in found} == {0, 1, 2}
    lengths = set()
    for steps in found:
        assert len({step.policy_version for step in steps}) == 1
        sources = [step.source for step in steps[:-1]]
        explored = sources.count(Source.POLICY)
        assert sources == [Source.POLICY] * explored + [Source.RANDOM] * (6 - explored)
        lengths.add(explored)
    assert len(lengths) > 2 and min(lengths) >= 1


def test_without_random_tail_the_explorer_acts_to_the_end_and_is_sampled(serve):
    bench, arm = serve('explorers', mode='explore', random_tail=False)
    [steps] = episodes(bench, arm, 1)
    assert {step.source for step in steps[:-1]} == {Source.POLICY}
    assert len({tuple(step.requested) for step in steps[:-1]}) == 6


def test_the_same_seed_draws_the_same_explorers_and_actions(serve):
    runs = []
    for _ in range(2):
        bench, arm = serve('explorers', mode='explore', seed=5)
        runs.append(np.array([(step.policy_version, *step.requested)
                              for steps in episodes(bench, arm, 3) for step in steps]))
    assert np.array_equal(*runs)


def test_transfer_acts_greedily_with_the_sim_optimal_policy(serve):
    bench, arm = serve('actor', 'sim_optimal', mode='transfer')
    [steps] = episodes(bench, arm, 1)
    assert {(step.mode, step.policy_version) for step in steps} == {(Mode.TRANSFER, 800)}
    assert np.allclose([step.executed for step in steps[:-1]], [-1.25, 0.0], atol=1e-6)


def test_policies_that_were_sent_before_the_server_came_act(start, make_contract):
    contract = make_contract(**SHORT)
    bench = start(PolicyServer, contract=str(contract.file), lockstep=True, mode='explore',
                  autostart=False)
    publisher = bench.probe.create_publisher(UInt8MultiArray, 'explorers', LATCHED)
    publisher.publish(bytes_message(made(contract, 'explorers')))
    change(bench, Transition.TRANSITION_CONFIGURE)
    bench.until(lambda: bench.node._policies.explorers)


def change(bench, transition: int) -> None:
    assert bench.call(ChangeState, 'policy_server/change_state',
                      transition=Transition(id=transition)).success


@pytest.mark.parametrize(('topic', 'mode', 'version'), [('explorers', 'explore', {'0', '1', '2'}),
                                                        ('sim_optimal', 'transfer', {'800'})])
def test_a_bad_artifact_is_refused_with_its_reason_and_the_last_good_one_acts(
        serve, topic, mode, version):
    bench, arm = serve(topic, mode=mode)
    for bad, reason in ((b'\x00garbage' * 20, 'not a file of this package'),
                        (made(arm.contract, topic)[:-8], 'not a file of this package')):
        offer(bench, topic, bad)
        refused = bench.event('policy_refused')['reason']
        assert refused.startswith(f'topic {topic}: ') and reason in refused
    episodes(bench, arm, 1)
    assert ends(bench)[-1]['policy_version'] in version


def test_an_actor_that_started_from_a_policy_acts_before_its_first_update(serve):
    bench, arm = serve(mode='learn')
    offer(bench, 'actor', made(arm.contract, 'actor', version=0))
    [steps] = episodes(bench, arm, 1)
    assert {step.source for step in steps[:-1]} == {Source.RANDOM}
    offer(bench, 'actor', made(arm.contract, 'actor', version=0, started_from='sim_optimal'))
    [steps] = episodes(bench, arm, 1)
    assert {(step.source, step.policy_version) for step in steps[:-1]} == {(Source.POLICY, 0)}


def test_mixed_follows_its_share_while_running(serve):
    bench, arm = serve('explorers', 'actor', mode='mixed', explore_fraction=0.0)
    bench.says(explore_fraction='0.00')
    for steps in episodes(bench, arm, 3):
        assert {(step.mode, step.policy_version) for step in steps} == {(Mode.LEARN, 7)}
    found = episodes(bench, arm, 3, explore_fraction=1.0, explore_least=1.0)
    assert {step.mode for steps in found for step in steps} == {Mode.EXPLORE}
    bench.says(explore_fraction='1.00')


def test_mixed_explores_while_the_learner_knows_nothing(serve):
    bench, arm = serve('explorers', mode='mixed', explore_fraction=0.0)
    offer(bench, 'actor', made(arm.contract, 'actor', version=0))
    found = episodes(bench, arm, 3)
    assert {step.mode for steps in found for step in steps} == {Mode.EXPLORE}
    bench.says(explore_fraction='1.00')


def test_mixed_waits_for_the_learner(serve):
    bench, arm = serve('explorers', 'actor', mode='mixed', max_policy_lag=0, explore_least=1.0)
    run(bench)
    bench.says(text='mixed: idle, waiting for the next policy of sac_learner')
    assert [values['mode'] for values in ends(bench)] == ['explore']
    offer(bench, 'actor', made(arm.contract, 'actor', version=8,
                               learned_stamp=arm.steps[-1].stamp))
    bench.until(lambda: len(ends(bench)) == 2)


def test_a_mode_that_lacks_its_policy_starts_nothing_though_it_was_set_during_the_reset(serve):
    bench, arm = serve(mode='random')
    observe, arm.observe = arm.observe, lambda: None    # the reset succeeds, nothing is seen
    run(bench)
    bench.until(lambda: bench.node._phase.value == 'waiting for fresh observations')
    bench.set(mode='transfer')
    observe()
    bench.says(text='transfer: idle, no sim-optimal policy yet: call sim_bridge/train_explorers, '
               'or remap the topic sim_optimal')
    assert not arm.actions


@pytest.mark.parametrize(('right', 'kept', 'mode', 'version'), [
    (1.0, 'actor', 'evaluate', '7'), (-1.0, 'sim_optimal', 'transfer', '800')])
def test_evaluate_and_keep_keeps_the_better_policy(serve, right, kept, mode, version):
    bench, arm = serve('actor', 'sim_optimal', world=Judge, mode='random', evaluation_episodes=2)
    arm.right = right
    answer = evaluate(bench)
    assert (answer.success, answer.message) == (True, 'evaluating 1 of 4')
    good, bad = ('learned', 'sim_optimal') if kept == 'actor' else ('sim_optimal', 'learned')
    assert bench.event('kept') == {
        'policy': good, 'learned_version': '7', 'sim_optimal_version': '800',
        f'{good}_successes': '2', f'{good}_episodes': '2',
        f'{bad}_successes': '0', f'{bad}_episodes': '2'}
    assert [values['mode'] for values in ends(bench)] == ['evaluate', 'transfer'] * 2
    learned, sim = ('2', '0') if kept == 'actor' else ('0', '2')
    bench.says(text='random: idle', kept_acts='True',
               kept=f'{good}: learned {learned} of 2, sim_optimal {sim} of 2')
    late = bench.listen('std_msgs/msg/UInt8MultiArray', 'policy_server/kept', LATCHED)
    bench.until(lambda: late)
    assert bytes(late[0].data) == made(arm.contract, kept)
    episodes(bench, arm, 1, mode='evaluate')
    assert (ends(bench)[-1]['mode'], ends(bench)[-1]['policy_version']) == (mode, version)
    offer(bench, 'actor', made(arm.contract, 'actor', version=9))
    episodes(bench, arm, 1)
    assert (ends(bench)[-1]['mode'], ends(bench)[-1]['policy_version']) == ('evaluate', '9')


def test_the_status_tells_the_progress_and_a_mode_that_is_set_meanwhile_waits(serve):
    bench, arm = serve('actor', 'sim_optimal', mode='random', mute=True, evaluation_episodes=2)
    evaluate(bench)
    bench.says(text='evaluating 1 of 4: running')
    bench.set(mode='explore')
    refused = run(bench)
    assert (refused.success, refused.message) == (False,
                                                  'evaluating 1 of 4; ~/run false ends it')
    arm.mute = False
    arm.observe()
    bench.event('kept')
    assert [values['mode'] for values in ends(bench)] == ['evaluate', 'transfer'] * 2
    bench.says(text='explore: idle')


@pytest.mark.parametrize(('end', 'reason', 'ended'), [
    ('stop', 'stop: operator', 'operator'), ('deactivate', 'deactivated', 'deactivated'),
    ('run', 'run: false', 'horizon')])
def test_an_evaluation_that_is_ended_keeps_nothing(serve, end, reason, ended):
    bench, arm = serve('actor', 'sim_optimal', mode='random', mute=True)
    kept = bench.listen('std_msgs/msg/UInt8MultiArray', 'policy_server/kept', LATCHED)
    evaluate(bench)
    bench.until(lambda: len(arm.actions) == 1)
    if end == 'stop':
        bench.call(Trigger, 'policy_server/stop')
    elif end == 'deactivate':
        change(bench, Transition.TRANSITION_DEACTIVATE)
    else:
        run(bench, False)
        arm.mute = False
        arm.observe()
    assert bench.event('evaluation_ended') == {'reason': reason, 'progress': 'evaluating 1 of 40'}
    assert bench.event('end')['reason'] == ended
    bench.until(lambda: bench.node._phase.value in ('idle', 'inactive') or arm.observe())
    bench.settle()
    assert len(ends(bench)) == 1 and not kept
    assert 'kept' not in bench.status


def test_a_reset_that_fails_ends_the_evaluation(serve):
    bench, arm = serve('actor', 'sim_optimal', mode='random')
    arm.accepts_resets = False
    assert evaluate(bench).success
    assert bench.event('evaluation_ended')['reason'] == 'reset_failed: the cable is out'
    bench.says(text='random: idle')
    assert not arm.actions


def test_evaluate_and_keep_is_refused_without_a_learned_policy(serve):
    bench, arm = serve()
    answer = evaluate(bench)
    assert (answer.success, answer.message) == (
        False, 'no learned policy yet: start sac_learner, or remap the topic actor')
    assert arm.resets == 0


def test_evaluate_and_keep_measures_the_learned_policy_alone_where_there_is_no_other(serve):
    bench, arm = serve('actor', world=Judge, mode='random', evaluation_episodes=2)
    answer = evaluate(bench)
    assert answer.success
    assert answer.message.startswith('evaluating 1 of 2; nothing to compare with: the learned')
    assert bench.event('kept') == {
        'policy': 'learned', 'learned_version': '7', 'learned_successes': '2',
        'learned_episodes': '2', 'note': 'nothing to compare with'}
    bench.says(text='random: idle', kept='learned: learned 2 of 2, nothing to compare with',
               kept_version='7', kept_successes='2', kept_episodes='2', kept_acts='True')


def test_an_evaluation_that_a_stop_cut_off_goes_on_after_it_is_cleared(serve):
    bench, arm = serve('actor', 'sim_optimal', mode='random', evaluation_episodes=2)
    evaluate(bench)
    bench.until(lambda: [kind for kind, _ in bench.events].count('start') == 3)
    arm.mute = True
    bench.call(Trigger, 'policy_server/stop')
    assert bench.event('evaluation_ended') == {'reason': 'stop: operator',
                                               'progress': 'evaluating 3 of 4'}
    bench.call(Trigger, 'policy_server/clear_stop')
    arm.mute = False
    bench.until(lambda: bench.node._phase.value == 'idle' or arm.observe())
    bench.says(text='random (evaluation cut off at 3 of 4 by stop: operator: call '
               'evaluate_and_keep to go on): idle')
    assert evaluate(bench).message == 'evaluating 3 of 4; goes on after stop: operator'
    assert bench.event('kept')['learned_episodes'] == '2'
    assert [values['mode'] for values in ends(bench)] == [
        'evaluate', 'transfer', 'evaluate', 'evaluate', 'transfer']


def test_what_was_kept_is_written_and_acts_after_a_restart(serve, tmp_path):
    folder = tmp_path / 'kept'
    bench, arm = serve('actor', world=Judge, kept_dir=str(folder), evaluation_episodes=1)
    evaluate(bench)
    bench.event('kept')
    bench.until(lambda: (folder / 'kept.json').exists())
    bench, arm = serve(kept_dir=str(folder), mode='evaluate')
    bench.says(text='evaluate: idle', kept='learned: learned 1 of 1, nothing to compare with',
               kept_acts='True', kept_file=str(folder))
    late = bench.listen('std_msgs/msg/UInt8MultiArray', 'policy_server/kept', LATCHED)
    bench.until(lambda: late)
    assert bytes(late[0].data) == made(arm.contract, 'actor')
    episodes(bench, arm, 1)
    assert (ends(bench)[-1]['mode'], ends(bench)[-1]['policy_version']) == ('evaluate', '7')


def test_a_damaged_file_of_what_was_kept_is_refused_and_the_server_works_without_it(
        serve, tmp_path):
    (tmp_path / 'kept.json').write_text('{')
    bench, arm = serve(kept_dir=str(tmp_path), mode='random')
    assert str(tmp_path / 'kept.json') in bench.event('policy_refused')['reason']
    assert 'kept' not in bench.status
    assert len(episodes(bench, arm, 1)) == 1


def test_a_folder_that_cannot_be_written_is_said_and_what_was_kept_acts(serve, tmp_path):
    (tmp_path / 'file').write_text('')
    folder = tmp_path / 'file' / 'kept'
    bench, arm = serve('actor', world=Judge, kept_dir=str(folder), evaluation_episodes=1)
    evaluate(bench)
    bench.event('kept')
    bench.until(lambda: 'cannot be written' in bench.status.get('kept_file', ''))
    assert bench.status['kept_acts'] == 'True'


def test_evaluate_and_keep_is_refused_while_episodes_run_stopped_or_inactive(serve):
    bench, arm = serve('actor', 'sim_optimal', mode='random', mute=True)
    run(bench)
    bench.event('start')
    assert evaluate(bench).message == 'already running episodes; ~/run false ends them'
    run(bench, False)       # this one still runs
    assert evaluate(bench).message == 'already running episodes; ~/run false ends them'
    bench.call(Trigger, 'policy_server/stop')
    assert evaluate(bench).message == 'stopped: operator; call clear_stop first'
    bench.call(Trigger, 'policy_server/clear_stop')
    change(bench, Transition.TRANSITION_DEACTIVATE)
    assert evaluate(bench).message == 'not active'
