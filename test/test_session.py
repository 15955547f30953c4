"""What an operator's session waits for, and when it asks again; test/system runs whole graphs."""

from __future__ import annotations

import pytest
from robot_rl import session as sessions
from robot_rl.bringup import NodeSpec
from robot_rl.errors import UserError
from robot_rl.processes import Exit
from robot_rl.progress import ProgressLine
from robot_rl.session import Session

IDLE, RUNNING = 'learn: idle', 'learn: running'


class Heard:
    """Stands for the operator: what the nodes have said does not change while it is waited for."""

    def __init__(self, **status: dict[str, str]):
        self.status = {'policy_server': {'text': IDLE}, 'data_recorder': {'bag': ''}, **status}
        self.actor = b''

        self.triggered: list[str] = []
        self.refuses = False

    def trigger(self, service: str) -> None:
        self.triggered.append(service)
        if self.refuses:
            raise UserError(f'{service}: still stopped')

    def number(self, node: str, key: str) -> int:
        return int(self.status.get(node, {}).get(key, '0'))

    def until(self, condition, timeout, meanwhile) -> bool:
        for _ in range(3):
            if condition():
                return True
            meanwhile()
        return False


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Return the session of a graph that has a learner; its nodes are what the test says."""
    monkeypatch.setattr(sessions, 'STATUS_AGE', -1.0)
    session = Session((NodeSpec('sac_learner', 'sac_learner', '', {}, (), ''),), tmp_path,
                      lambda phase: phase)
    session.operator = Heard()
    return session


def die(session: Session, name: str) -> None:
    session._exits.append(Exit(name, -9, '', 1.0))


def test_a_stage_that_is_over_says_so(session, capsys):
    session._progress = ProgressLine()      # to where the test listens
    session.wait('start', lambda: True)
    session.wait('start', lambda: True)
    assert capsys.readouterr().out == 'start  done\n'


def test_settling_goes_on_while_the_learner_comes_further(session):

    class Slow(Heard):

        def until(self, condition, timeout, meanwhile) -> bool:
            done = super().until(condition, timeout, meanwhile)
            learner = self.status['sac_learner']
            learner['updates'] = str(min(int(learner['updates']) + 10, self.most))
            learner['owed'] = str(50 - int(learner['updates']))
            return done

    nodes = {'data_recorder': {'bag': '', 'published': '3'},
             'sac_learner': {'episodes_received': '3', 'updates': '0', 'owed': '50'}}
    session.operator = Slow(**nodes)
    session.operator.most = 50
    session.settle('last updates', trained=True)
    assert session.operator.status['sac_learner']['owed'] == '0'
    nodes['sac_learner'] |= {'updates': '0', 'owed': '50'}
    session.operator.most = 20          # it hangs
    with pytest.raises(UserError, match='last updates: not done after 60 s'):
        session.settle('last updates', trained=True)


def test_settling_waits_until_the_learner_holds_what_was_recorded(session):
    session.operator = Heard(data_recorder={'bag': '', 'published': '3'},
                             sac_learner={'episodes_received': '2'})
    with pytest.raises(UserError, match='last bags'):
        session.settle('last bags')
    session.operator.status['sac_learner']['episodes_received'] = '3'
    session.settle('last bags')


def test_settling_waits_for_a_recorder_that_has_not_got_the_last_step_yet(session):
    session.operator = Heard(policy_server={'last_episode': '3', 'last_steps': '100'},
                             data_recorder={'bag': '', 'newest_episode': '3',
                                            'newest_index': '99'})
    with pytest.raises(UserError, match='last bags'):
        session.settle('last bags')
    session.operator.status['data_recorder']['newest_index'] = '100'
    session.settle('last bags')


def test_settling_waits_for_owed_updates_only_where_they_are_made(session):
    session.operator = Heard(sac_learner={'owed': '7'})
    session.settle('last bags')
    with pytest.raises(UserError, match='last updates'):
        session.settle('last updates', trained=True)


@pytest.mark.parametrize('name', ['policy_server', 'sim_bridge'])
def test_what_is_not_done_is_asked_for_again_when_a_node_of_the_robot_died(session, name):
    asked = []
    session.ask(lambda: asked.append(name))
    session.wait('run', lambda: len(asked) == 1)
    die(session, name)
    session.operator.status['policy_server']['text'] = RUNNING
    assert len(asked) == 1
    session.operator.until(lambda: False, 0.0, lambda: session._follow_exits(lambda: False))
    assert len(asked) == 1      # it goes on by itself, or has not said anything yet
    session.operator.status['policy_server'] = {'text': IDLE}
    session.wait('run', lambda: len(asked) == 2)


def test_what_is_done_is_not_asked_for_again(session):
    asked = []
    session.ask(lambda: asked.append(1))
    die(session, 'sim_bridge')
    session._follow_exits(lambda: True)
    assert asked == [1]


def test_the_policy_server_is_asked_again_once_it_has_the_demonstrator_again(session):
    asked = []
    session.operator.status['demo_ingest'] = {'fit': 'done'}
    session.ask(lambda: asked.append(1))
    die(session, 'policy_server')
    session._follow_exits(lambda: False)
    for version, count in (('-1', 1), ('2', 2)):
        session.operator.status['policy_server'] = {'text': IDLE, 'demonstrator': version}
        session._follow_exits(lambda: False)
        assert len(asked) == count


def test_a_node_that_stays_down_ends_the_session(session):
    session._exits.append(Exit('sac_learner', 2, 'bad parameter', None))
    with pytest.raises(UserError, match='sac_learner ended with code 2'):
        session.wait('learn', lambda: False)


@pytest.mark.parametrize('name', ['policy_server', 'safety_stop'])
def test_a_stop_is_cleared_and_what_is_not_done_is_asked_for_again(session, name, capsys):
    asked, status = [], session.operator.status
    session.ask(lambda: asked.append(1))
    status['policy_server'] = {'text': RUNNING}
    status[name] = {'text': 'stopped: observation_timeout; call clear_stop'}
    session._follow_exits(lambda: False)
    assert session.operator.triggered == [f'{name}/clear_stop']
    assert 'observation_timeout' in capsys.readouterr().out
    status |= {name: {'text': 'armed'}, 'policy_server': {'text': IDLE}}
    session._follow_exits(lambda: False)
    assert len(asked) == 2


def test_the_watchdog_is_cleared_before_the_policy_server_that_it_stopped(session):
    text = {'text': 'stopped: heartbeat_silent'}
    session.operator.status |= {'policy_server': text, 'safety_stop': text}
    session._follow_exits(lambda: False)
    assert session.operator.triggered == ['safety_stop/clear_stop', 'policy_server/clear_stop']


def test_a_stop_whose_cause_lasts_is_tried_again_but_not_for_ever(session):
    session.operator.status['policy_server'] = {'text': 'stopped: e_stop_pressed'}
    session.operator.refuses = True
    for _ in range(sessions.MAX_STOPS):
        session._follow_exits(lambda: False)
    assert len(session.operator.triggered) == sessions.MAX_STOPS
    with pytest.raises(UserError, match='stopped: e_stop_pressed'):
        session._follow_exits(lambda: False)
