from __future__ import annotations

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
import pytest
from rcl_interfaces.msg import Log
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.ros.qos import STREAM
from std_srvs.srv import SetBool

UNCONFIGURED, INACTIVE = State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE
ACTIVE, FINALIZED = State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_FINALIZED
CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
SHUTDOWN = {UNCONFIGURED: Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
            INACTIVE: Transition.TRANSITION_INACTIVE_SHUTDOWN,
            ACTIVE: Transition.TRANSITION_ACTIVE_SHUTDOWN}
OBSERVED = ('/joint_states', '/tip', '/actor', '/data_recorder/events')


@pytest.fixture
def managed(start):
    """Start a policy server that waits for its manager."""
    return start(PolicyServer, autostart=False, lockstep=True)


def change(bench, transition: int) -> bool:
    return bench.call(ChangeState, 'policy_server/change_state',
                      transition=Transition(id=transition)).success


def state(bench) -> int:
    return bench.call(GetState, 'policy_server/get_state').current_state.id


def entities(bench) -> tuple[int, ...]:
    """Count what `configure` makes: subscriptions, services, clients, timers, publishers."""
    node = bench.node
    return tuple(len(list(items)) for items in (
        node.subscriptions, node.services, node.clients, node.timers, node.publishers))


def test_without_autostart_it_waits_unconfigured(managed):
    assert state(managed) == UNCONFIGURED
    assert managed.node.count_subscribers('/joint_states') == 0


def test_with_autostart_it_becomes_active_by_itself(start):
    bench = start(PolicyServer)
    bench.until(lambda: state(bench) == ACTIVE)


def test_the_whole_cycle_twice_leaves_nothing_behind(managed):
    before = entities(managed)
    for _ in range(2):
        for transition, expected in ((CONFIGURE, INACTIVE), (ACTIVATE, ACTIVE),
                                     (DEACTIVATE, INACTIVE), (CLEANUP, UNCONFIGURED)):
            assert change(managed, transition)
            assert state(managed) == expected
        assert entities(managed) == before


@pytest.mark.parametrize('path', [(CONFIGURE,), (CONFIGURE, ACTIVATE),
                                  (CONFIGURE, ACTIVATE, DEACTIVATE),
                                  (CONFIGURE, CLEANUP)])
def test_a_transition_twice_in_a_row_is_refused_and_changes_nothing(managed, path):
    for transition in path:
        assert change(managed, transition)
    reached = state(managed)
    assert not change(managed, path[-1])
    assert state(managed) == reached


@pytest.mark.parametrize('path', [(), (CONFIGURE,), (CONFIGURE, ACTIVATE)])
def test_shutdown_from_every_state_finalizes_once(managed, path):
    for transition in path:
        change(managed, transition)
    shutdown = SHUTDOWN[state(managed)]
    assert change(managed, shutdown)
    assert state(managed) == FINALIZED
    assert not change(managed, shutdown)
    assert state(managed) == FINALIZED


def test_run_is_refused_while_inactive(managed):
    change(managed, CONFIGURE)
    answer = managed.call(SetBool, 'policy_server/run', data=True)
    assert (answer.success, answer.message) == (False, 'not active')


def test_an_exception_in_configure_is_logged_with_its_traceback_and_leaves_nothing(
        managed, monkeypatch):
    def fail():
        raise RuntimeError('no such camera')

    before = entities(managed)
    logs = []
    managed.probe.create_subscription(Log, '/rosout', logs.append, STREAM)
    managed.until(lambda: managed.node.count_subscribers('/rosout'))
    monkeypatch.setattr(managed.node, '_warm_up', fail)
    assert not change(managed, CONFIGURE)
    assert state(managed) == UNCONFIGURED
    managed.until(lambda: [log for log in logs if 'Traceback' in log.msg
                           and 'RuntimeError: no such camera' in log.msg])
    assert entities(managed) == before
    monkeypatch.undo()
    assert change(managed, CONFIGURE)
    assert [managed.node.count_subscribers(topic) for topic in OBSERVED] == [1] * 4
