"""The gate in the running policy_server: people, watchdog, clear_stop, take-over, heartbeat."""

from __future__ import annotations

import time

from arm import Arm, make_policy
import numpy as np
import pytest
from robot_rl.data.steps import Source, Status
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import COMMAND, DRIVER, LATCHED
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool, UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

E_STOP = 'e_stop: {topic: e_stop, type: std_msgs/msg/Bool, timeout: %s}'
STICK = ('intervention: {topic: joy, type: sensor_msgs/msg/Joy, timeout: 30.0, blend: 0.5, '
         'axes: [0, 1], enable: 0, buttons: {success: 1, failure: 2, discard: 3, start: 4}}')


@pytest.fixture
def serve(start, make_contract):
    """Start a lockstep policy server with a section `safety` and its robot; it idles."""
    def begin(*section: str, mode: str = 'random', mute: bool = True):
        lines = '\n'.join(f'  {line}' for line in section)
        contract = make_contract(**{'episode:\n': f'safety:\n{lines}\n\nepisode:\n'})
        bench = start(PolicyServer, contract=str(contract.file), mode=mode, lockstep=True)
        arm = Arm(bench, contract, mute)
        bench.until(lambda: bench.status.get('text', '').endswith('idle'))
        return bench, arm
    return begin


def run(bench):
    return bench.call(SetBool, 'policy_server/run', data=True)


def trigger(bench, name: str):
    return bench.call(Trigger, f'policy_server/{name}')


def act(bench, arm) -> None:
    """Start an episode; return after its first action, while the world waits."""
    assert run(bench).success
    bench.until(lambda: arm.actions)


def say(bench, publisher, message, role: str) -> None:
    """Publish until the server has taken the message."""
    panel = bench.node.guard._panel
    before = panel._said.get(role)
    publisher.publish(message)
    bench.until(lambda: panel._said.get(role) is not before)


@pytest.fixture
def guarded(serve):
    """Start a server with an e-stop that has spoken; `press(True)` presses it."""
    def begin(timeout: float = 30.0, **arguments):
        bench, arm = serve(E_STOP % timeout, **arguments)
        publisher = bench.publisher(Bool, 'e_stop', DRIVER)

        def press(pressed: bool) -> None:
            say(bench, publisher, Bool(data=pressed), 'e_stop')

        press(False)
        return bench, arm, press
    return begin


def stopped(bench, arm, reason: str) -> None:
    """Wait for a stop: its action, its record and its reason."""
    bench.until(lambda: arm.steps and arm.steps[-1].status in (Status.ABORTED, Status.BROKEN))
    assert arm.steps[-1].source is Source.SAFETY
    bench.until(lambda: np.array_equal(arm.actions[-1], np.zeros(2)))
    for kind in ('end', 'stop'):
        assert bench.event(kind)['reason'].startswith(reason)
    bench.until(lambda: bench.status['text'].startswith(f'stopped: {reason}'))


def test_an_e_stop_stops_between_ticks_and_latches_until_it_is_released_and_cleared(guarded):
    bench, arm, press = guarded()
    act(bench, arm)
    press(True)
    stopped(bench, arm, 'e_stop_pressed')
    assert run(bench).message == 'stopped: e_stop_pressed; call clear_stop first'
    assert trigger(bench, 'clear_stop').message == 'still stopped: e_stop_pressed'
    press(False)
    assert run(bench).message == 'stopped: e_stop_pressed; call clear_stop first'
    assert trigger(bench, 'clear_stop').message == 'cleared: e_stop_pressed'
    assert run(bench).success


def test_an_e_stop_that_was_pressed_for_a_moment_between_ticks_stops(guarded):
    bench, arm, press = guarded()
    act(bench, arm)
    press(True)
    press(False)
    stopped(bench, arm, 'e_stop_pressed')


def test_an_e_stop_that_is_pressed_while_nothing_runs_latches_as_well(guarded):
    bench, arm, press = guarded()
    press(True)
    bench.until(lambda: bench.status['text'].startswith('stopped: e_stop_pressed'))
    assert not run(bench).success and not arm.actions


def test_an_e_stop_that_falls_silent_stops(guarded):
    bench, arm, press = guarded(timeout=0.5)
    act(bench, arm)
    stopped(bench, arm, 'e_stop_silent: e_stop silent for 0.5')
    assert trigger(bench, 'clear_stop').message.startswith('still stopped: e_stop_silent')
    press(False)
    assert trigger(bench, 'clear_stop').success


def test_without_a_word_of_the_e_stop_nothing_starts(serve):
    bench, arm = serve(E_STOP % 0.5)
    answer = run(bench)
    assert not answer.success
    assert answer.message == 'e_stop_silent: e_stop never heard, timeout 0.5 s'


def test_an_episode_waits_for_the_dead_man_and_stops_when_it_is_released(serve):
    bench, arm = serve('dead_man: {topic: grip, type: std_msgs/msg/Bool, timeout: 30.0}')
    publisher = bench.publisher(Bool, 'grip', DRIVER)
    run(bench)
    bench.until(lambda: bench.status['text'].endswith(': dead_man_released'))
    assert not arm.actions
    say(bench, publisher, Bool(data=True), 'dead_man')
    arm.observe()
    bench.until(lambda: arm.actions)
    say(bench, publisher, Bool(data=False), 'dead_man')
    stopped(bench, arm, 'dead_man_released')


def test_a_limit_that_is_crossed_stops_and_is_cleared_once_the_robot_is_back(serve):
    bench, arm = serve('limits: {tip.point.x: [-0.1, 0.1]}')
    act(bench, arm)
    arm.tip = (0.2, 0.0)
    arm.observe()
    stopped(bench, arm, 'observation_outside: tip.point.x is 0.2, limits -0.1 to 0.1')
    assert arm.steps[-1].status is Status.ABORTED
    assert trigger(bench, 'clear_stop').message == (
        'still stopped: observation_outside: tip.point.x is 0.2, limits -0.1 to 0.1')
    arm.tip = (0.0, 0.0)
    arm.observe()
    bench.until(lambda: bench.node.look().values[4] == 0.0)
    assert trigger(bench, 'clear_stop').success


def test_the_watchdog_stops_and_is_cleared_first(serve):
    bench, arm = serve('policy_late: 3')
    publisher = bench.publisher(Bool, 'safety_stop/stopped', LATCHED)
    act(bench, arm)
    publisher.publish(Bool(data=True))
    stopped(bench, arm, 'watchdog')
    held = 'safety_stop holds the robot; call safety_stop/clear_stop first'
    assert trigger(bench, 'clear_stop').message == f'still stopped: {held}'
    bench.says(text=f'stopped: watchdog; {held}')
    publisher.publish(Bool(data=False))
    bench.until(lambda: not bench.node.guard.stop)
    bench.says(text='stopped: watchdog; call clear_stop')
    assert trigger(bench, 'clear_stop').success


@pytest.fixture
def live(start, make_contract):
    """Start a server that ticks by its timer, and a robot that speaks 50 times a second."""
    def begin(**replaced: str):
        contract = make_contract(**replaced)
        bench = start(PolicyServer, contract=str(contract.file), mode='random')
        arm = Arm(bench, contract, mute=True)
        bench.probe.create_timer(0.02, lambda: _observe_now(bench, arm))
        return bench, arm
    return begin


def test_a_policy_whose_ticks_come_late_stops(live):
    bench, arm = live()
    act(bench, arm)
    bench.until(lambda: len(arm.actions) > 2)
    bench.node._lateness._last -= 10.0
    stopped(bench, arm, 'policy_late: ')


def test_a_process_that_was_held_up_says_so_and_not_that_others_were_silent(live):
    bench, arm = live()
    act(bench, arm)
    bench.node._watched -= 10.0         # as after a SIGSTOP
    stopped(bench, arm, 'policy_late: ')


def test_neither_a_pause_between_episodes_nor_a_first_plan_that_takes_long_is_late(
        live, monkeypatch):
    bench, arm = live(**{'max_age: 0.15': 'max_age: 60.0', 'horizon: 50': 'horizon: 4'})
    pauses = iter([0.3])
    monkeypatch.setattr(type(bench.node._casting.random), 'act',
                        lambda *_: time.sleep(next(pauses, 0.0)) or np.full(2, 0.1))
    bench.set(run_episodes=1)
    act(bench, arm)
    bench.event('end')
    bench.says(text='random: idle')
    bench.node._lateness._last -= 10.0
    run(bench)
    bench.until(lambda: sum(kind == 'end' for kind, _ in bench.events) == 2)
    assert [values['reason'] for kind, values in bench.events if kind == 'end'] == ['horizon'] * 2


def _observe_now(bench, arm) -> None:
    arm.now = bench.probe.get_clock().now().nanoseconds
    arm.observe()


@pytest.fixture
def steered(serve):
    """Start a server whose policy asks for the highest action; `stick(x, y)` takes over."""
    def begin():
        bench, arm = serve(STICK, mode='evaluate')
        bench.publisher(UInt8MultiArray, 'actor', LATCHED).publish(bytes_message(
            make_policy(arm.contract, action=(0.999, 0.999))))
        bench.until(lambda: bench.node._policies.newest[0] == 1)
        publisher = bench.publisher(Joy, 'joy', DRIVER)

        def stick(x: float = 0.0, y: float = 0.0, enable: int = 0, **buttons: int) -> None:
            names = ('success', 'failure', 'discard', 'start')
            say(bench, publisher, Joy(axes=[x, y], buttons=[
                enable, *(buttons.get(name, 0) for name in names)]), 'intervention')

        stick()
        return bench, arm, stick
    return begin


def go_on(bench, arm, count: int) -> None:
    """Let the world make so many steps."""
    for _ in range(count):
        before = len(arm.steps)
        arm.observe()
        bench.until(lambda: len(arm.steps) == before + 1)


def test_take_over_and_hand_back_go_without_a_jump_and_are_recorded(steered):
    bench, arm, stick = steered()
    act(bench, arm)
    stick(-1.0, 1.0, enable=1)
    go_on(bench, arm, 12)
    stick()
    go_on(bench, arm, 12)
    sources = [step.source for step in arm.steps]
    assert sources == [Source.POLICY] + [Source.HUMAN] * 12 + [Source.POLICY] * 12
    executed = np.array([step.executed for step in arm.steps])
    assert np.abs(np.diff(executed, axis=0)).max() <= 5.0 / 10 + 1e-9       # 0.5 s for the range
    assert executed[12].tolist() == [-2.5, 2.5] and (executed[-1] > 2.4).all()
    assert all((step.requested > 2.4).all() for step in arm.steps)      # the policy's, kept
    bench.until(lambda: np.array_equal(arm.actions, executed))
    assert [(kind, values['index']) for kind, values in bench.events
            if kind.startswith('intervention')] == [
        ('intervention_began', '1'), ('intervention_ended', '13')]


@pytest.mark.parametrize(('button', 'status'), [('success', True), ('failure', False)])
def test_a_button_gives_the_persons_verdict(steered, button, status):
    bench, arm, stick = steered()
    act(bench, arm)
    stick(**{button: 1})
    arm.observe()
    end = bench.event('end')
    assert (end['reason'], end['success']) == (button, str(status))
    bench.until(lambda: arm.steps[-1].status is Status.TERMINATED)
    assert not bench.node._agenda.stopped


def test_a_button_starts_episodes_and_says_why_it_cannot(steered):
    bench, arm, stick = steered()
    stick(start=1)
    bench.event('start')
    trigger(bench, 'stop')
    stick()
    stick(start=1)
    assert bench.event('start_refused')['reason'] == 'stopped: operator; call clear_stop first'


def test_a_button_discards_without_a_recorder(steered):
    bench, arm, stick = steered()
    act(bench, arm)
    stick(discard=1)
    assert bench.event('end')['reason'] == 'discard'
    assert not bench.node._agenda.stopped


def test_a_button_lets_the_recorder_discard_where_there_is_one(steered):
    bench, arm, stick = steered()
    calls = []

    def discard(request, response):
        calls.append(request)
        response.success = True
        return response

    bench.probe.create_service(Trigger, 'data_recorder/discard_episode', discard)
    bench.until(bench.node.guard._recorder.service_is_ready)
    act(bench, arm)
    stick(discard=1)
    bench.until(lambda: calls)
    assert bench.node.running       # until the recorder says that it has


def test_a_message_that_cannot_be_used_is_shown_in_the_status(steered):
    bench, arm, stick = steered()
    bench.publisher(Joy, 'joy', DRIVER).publish(Joy(axes=[0.0]))
    bench.until(lambda: 'out of range' in bench.status.get('refused_intervention', ''))


def test_the_heart_beats_while_active_and_its_last_beat_says_that_the_end_is_orderly(serve):
    bench, arm = serve('policy_late: 3')
    beats = bench.listen('std_msgs/msg/UInt64', 'policy_server/heartbeat', COMMAND)
    bench.until(lambda: len(beats) > 3)
    counts = [beat.data for beat in beats]
    assert counts == sorted(set(counts)) and counts[0] > 0
    bench.node.close()
    bench.until(lambda: beats[-1].data == 0)
