from __future__ import annotations

from dataclasses import dataclass, replace

from made_policies import actor, explorers
import numpy as np
import pytest
from robot_rl.agenda import Agenda
from robot_rl.casting import (Casting, NO_ACTOR, NO_DEMONSTRATOR, NO_EXPLORERS, NO_PERSON,
                              NO_RIVAL, NO_SIM_OPTIMAL, WAITING)
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.evaluation import MAX_REPEATS
from robot_rl.policies import NO_POLICY, PolicyShelf
from robot_rl.rollout import Tick

REACH = load_contract('reach')


@dataclass(frozen=True)
class Settings:
    """Of policy_server, as far as an agenda reads them."""

    mode: str = 'random'
    seed: int = 0
    run_episodes: int = 0
    random_tail: bool = True
    explore_fraction: float = 1.0
    explore_least: float = 0.0
    explore_episodes: int = 1
    evaluation_episodes: int = 2
    max_policy_lag: int = -1
    policy_wait: float = 20.0


class Desk:
    """An agenda with its settings, and what it tells."""

    def __init__(self, everything: bool = True, **settings):
        self.settings, self.events, self.episode = Settings(**settings), [], 0
        self.shelf = PolicyShelf(REACH)
        self.agenda = Agenda(Casting(REACH, self.shelf),
                             lambda kind, **values: self.events.append((kind, values)))
        if everything:
            self.shelf.offer(actor(REACH, 7), 'actor')
            self.shelf.offer(actor(REACH, 800), 'sim_optimal')
            self.shelf.offer(explorers(REACH, (0.1, 0.1)), 'explorers')

    def set(self, **values):
        self.settings = replace(self.settings, **values)

    def run(self, on: bool = True, active: bool = True, reset: str = ''):
        return self.agenda.run(on, self.settings, active, reset)

    def evaluate(self, active: bool = True, busy: bool = False):
        return self.agenda.evaluate_and_keep(self.settings, active, busy)

    def may_start(self, waited: float = 0.0) -> bool:
        return self.agenda.may_start(self.settings, waited)

    def episodes(self, count: int = 1, status: Status = Status.TERMINATED,
                 reason: str = 'success', helped: bool = False, **successes: bool):
        """Run so many episodes; `successes` of a mode, by its name; return the last outcome."""
        kept, zeros = None, np.zeros(2)
        for _ in range(count):
            assert self.may_start()
            self.episode += 1
            mode, policy = self.agenda.cast(self.settings, self.episode)
            step = Step(self.episode, self.episode, 5, status, Source.SAFETY, mode,
                        policy.version, successes.get(mode.name.lower(), False), np.zeros(6),
                        zeros, zeros)
            kept = self.agenda.ended(Tick(step, reason, helped))
        return kept


def test_nothing_starts_unasked():
    assert not Desk().may_start()


def test_a_run_goes_on_until_told_otherwise():
    desk = Desk()
    assert desk.run() == (True, 'running')
    desk.episodes(9)
    assert desk.run(False) == (True, 'ends after this episode')
    assert not desk.may_start()


def test_a_run_of_so_many_episodes_ends_by_itself():
    desk = Desk(run_episodes=3)
    desk.run()
    desk.episodes(3)
    assert not desk.may_start()


def test_a_stop_ends_the_run_and_refuses_everything_until_it_is_cleared():
    desk = Desk()
    desk.run()
    assert desk.agenda.stop('operator') == (True, 'stopped until clear_stop')
    assert not desk.may_start()
    refused = (False, 'stopped: operator; call clear_stop first')
    assert desk.run() == desk.evaluate() == refused
    assert desk.agenda.clear_stop() == (True, 'cleared: operator')
    assert desk.agenda.clear_stop() == (False, 'was not stopped')
    assert desk.run().success
    assert [kind for kind, _ in desk.events] == ['stop', 'clear_stop']


def test_an_inactive_server_refuses():
    desk = Desk()
    assert desk.run(active=False) == desk.evaluate(active=False) == (False, 'not active')


@pytest.mark.parametrize(('mode', 'reason'), [
    ('explore', NO_EXPLORERS), ('mixed', NO_EXPLORERS), ('transfer', NO_SIM_OPTIMAL),
    ('demonstrate', NO_DEMONSTRATOR), ('evaluate', NO_ACTOR)])
def test_no_episode_starts_without_its_policy_and_answer_and_status_say_why(mode, reason):
    desk = Desk(everything=False, mode=mode)
    assert desk.run() == (True, f'accepted, not yet running: {reason}')
    assert not desk.may_start()
    assert desk.agenda.status(desk.settings, idle=True) == (mode, reason)


@pytest.mark.parametrize(('version', 'note'), [
    (None, ' (no policy yet: random actions)'), (0, ' (nothing learned yet: random actions)'),
    (7, '')])
def test_the_status_says_where_random_actions_stand_in_for_the_learner(version, note):
    desk = Desk(everything=False, mode='learn')
    if version is not None:
        desk.shelf.offer(actor(REACH, version), 'actor')
    assert desk.agenda.status(desk.settings, idle=True) == (f'learn{note}', '')
    assert desk.agenda.cast(desk.settings, 1)[1].version == (version or NO_POLICY)
    assert desk.run() == (True, 'running' + (f'; {note[2:-1]}' if note else ''))


@pytest.mark.parametrize(('version', 'note'), [
    (0, 'nothing learned yet: an untrained policy acts'), (7, '')])
def test_evaluate_says_where_the_learned_policy_knows_nothing(version, note):
    desk = Desk(everything=False, mode='evaluate')
    desk.shelf.offer(actor(REACH, version), 'actor')
    assert desk.run() == (True, '; '.join(filter(None, ['running', note])))
    shown = f'evaluate ({note})' if note else 'evaluate'
    assert desk.agenda.status(desk.settings, idle=False) == (shown, '')


def test_a_run_of_a_person_that_the_contract_does_not_name_is_refused():
    desk = Desk(mode='scripted')
    assert desk.run() == (False, NO_PERSON) and not desk.agenda.running


def test_the_answer_says_which_reset_is_waited_for():
    desk = Desk(mode='explore')
    assert desk.run(reset='a reset') == (True, 'accepted, not yet running: a reset')
    assert desk.may_start()


def test_the_status_says_which_reset_is_waited_for_once_a_policy_is_there():
    desk = Desk(everything=False, mode='explore')
    assert desk.agenda.status(desk.settings, True, 'a reset') == ('explore', '')   # not asked
    desk.run()
    assert desk.agenda.status(desk.settings, True, 'a reset') == ('explore', NO_EXPLORERS)
    desk.shelf.offer(explorers(REACH, (0.1, 0.1)), 'explorers')
    assert desk.agenda.status(desk.settings, True, 'a reset') == ('explore', 'a reset')
    assert desk.agenda.status(desk.settings, True) == ('explore', '')


@pytest.mark.parametrize('mode', ['learn', 'mixed'])
def test_an_episode_waits_for_the_learner_in_the_modes_that_feed_it(mode):
    desk = Desk(mode=mode, max_policy_lag=0)
    desk.run()
    desk.episodes()
    assert not desk.may_start()
    assert desk.agenda.status(desk.settings, idle=True) == (mode, WAITING)
    desk.shelf.offer(actor(REACH, 8, learned_stamp=desk.episode), 'actor')
    assert desk.may_start()


def test_episodes_of_explorers_count_as_well_as_the_learners():
    desk = Desk(mode='mixed', max_policy_lag=1, explore_fraction=1.0)
    desk.run()
    desk.episodes()                                 # an explorer's
    desk.set(explore_fraction=0.0)
    desk.episodes()                                 # the learner's
    assert not desk.may_start()
    desk.shelf.offer(actor(REACH, 8, learned_stamp=1), 'actor')
    assert desk.may_start()


@pytest.mark.parametrize('mode', ['random', 'explore', 'evaluate', 'transfer'])
def test_the_other_modes_wait_for_nobody(mode):
    desk = Desk(mode=mode, max_policy_lag=0)
    desk.run()
    desk.episodes(3)
    assert desk.may_start()


def test_a_learner_that_is_too_late_is_waited_for_once():
    desk = Desk(mode='learn', max_policy_lag=0, policy_wait=3.0)
    desk.run()
    desk.episodes()
    assert not desk.may_start(2.9) and not desk.may_start(3.1)
    assert desk.events == [('policy_late', {'waited': '3.1 s', 'policy_version': 7})]
    assert desk.may_start()


def test_an_evaluation_runs_both_policies_whatever_the_mode_and_ends_by_itself():
    desk = Desk(mode='random')
    assert desk.evaluate() == (True, 'evaluating 1 of 4')
    assert desk.agenda.status(desk.settings, idle=False) == ('evaluating 1 of 4', '')
    assert desk.episodes(3, transfer=True) is None
    kept = desk.episodes(transfer=True)
    assert kept.mode is Mode.TRANSFER
    assert desk.events == [('kept', kept.values())]
    assert not desk.may_start() and desk.agenda.status(desk.settings, True) == ('random', '')


def test_mode_evaluate_acts_with_what_was_kept():
    desk = Desk(mode='evaluate', evaluation_episodes=1)
    desk.evaluate()
    desk.episodes(2, transfer=True)
    mode, policy = desk.agenda.cast(desk.settings, 1)
    assert (mode, policy.version) == (Mode.TRANSFER, 800)


def test_an_evaluation_is_not_cut_short_by_run_episodes():
    desk = Desk(run_episodes=3)
    desk.run()
    desk.run(False)
    desk.evaluate()
    assert desk.episodes(4)


def test_an_evaluation_keeps_comparing_the_policies_that_were_there_when_it_began():
    desk = Desk()
    desk.evaluate()
    desk.shelf.offer(actor(REACH, 9), 'actor')
    desk.shelf.offer(actor(REACH, 900), 'sim_optimal')
    values = desk.episodes(4).values()
    assert (values['learned_version'], values['sim_optimal_version']) == (7, 800)


def test_an_evaluation_is_refused_while_episodes_run():
    desk = Desk()
    busy = (False, 'already running episodes; ~/run false ends them')
    assert desk.evaluate(busy=True) == busy
    desk.run()
    assert desk.evaluate() == busy


def test_an_evaluation_refuses_a_run_and_another_evaluation():
    desk = Desk()
    desk.evaluate()
    desk.episodes()
    assert desk.run() == desk.evaluate() == (False, 'evaluating 2 of 4; ~/run false ends it')
    assert desk.episodes(3)


def test_an_evaluation_is_refused_without_a_learned_policy():
    desk = Desk()
    desk.shelf.actor = None
    assert desk.evaluate() == (False, NO_ACTOR)
    assert not desk.may_start()


def test_what_is_compared_is_in_use():
    desk = Desk()
    desk.evaluate()
    assert (desk.shelf.version, desk.shelf.swaps) == (7, 1)


def test_without_a_rival_the_learned_policy_is_measured_alone_and_kept():
    desk = Desk()
    desk.shelf.sim_optimal = None
    assert desk.evaluate() == (True, f'evaluating 1 of 2; {NO_RIVAL}')
    assert desk.agenda.status(desk.settings, True) == (
        'evaluating 1 of 2 (nothing to compare with)', '')
    kept = desk.episodes(2, evaluate=True)
    assert kept.mode is Mode.EVALUATE and desk.events == [('kept', kept.values())]
    assert not desk.may_start()


def test_a_learned_policy_alone_that_never_succeeds_is_not_kept_and_the_event_says_why():
    desk = Desk()
    desk.shelf.sim_optimal = None
    desk.evaluate()
    assert desk.episodes(2) is None
    [(kind, values)] = desk.events
    assert (kind, values['reason']) == ('evaluation_ended',
                                        'nothing is kept: none of 2 episodes succeeded')
    assert not desk.may_start() and not desk.agenda.evaluation
    assert desk.evaluate() == (True, f'evaluating 1 of 2; {NO_RIVAL}')     # anew


def cut_off(desk: Desk) -> None:
    """Have an evaluation stopped in its third episode, and the stop cleared."""
    desk.evaluate()
    desk.episodes(2, transfer=True)
    desk.episodes(status=Status.ABORTED, reason='observation_stale')
    desk.agenda.clear_stop()


def test_an_evaluation_that_a_stop_cut_off_goes_on_with_what_was_measured():
    desk = Desk()
    cut_off(desk)
    assert desk.evaluate() == (
        True, 'evaluating 3 of 4; goes on after stop: observation_stale')
    kept = desk.episodes(2, transfer=True)
    assert (kept.mode, str(kept)) == (Mode.TRANSFER, 'learned 0 of 2, sim_optimal 2 of 2')
    assert desk.evaluate() == (True, 'evaluating 1 of 4')


def test_the_status_says_that_an_evaluation_was_cut_off_until_it_goes_on():
    desk, note = Desk(), ('evaluation cut off at 3 of 4 by stop: observation_stale: '
                          'call evaluate_and_keep to go on')
    cut_off(desk)
    assert desk.agenda.status(desk.settings, True) == (f'random ({note})', '')
    assert desk.agenda.figures(desk.settings)['evaluation'] == note
    desk.evaluate()
    assert desk.agenda.status(desk.settings, False) == ('evaluating 3 of 4', '')
    assert 'evaluation' not in desk.agenda.figures(desk.settings)


@pytest.mark.parametrize('change', [
    lambda desk: desk.shelf.offer(actor(REACH, 8), 'actor'),
    lambda desk: desk.shelf.offer(actor(REACH, 801), 'sim_optimal'),
    lambda desk: setattr(desk.shelf, 'sim_optimal', None),
    lambda desk: desk.set(evaluation_episodes=3),
    lambda desk: desk.run(False)])
def test_an_evaluation_of_others_or_that_a_person_ended_begins_anew(change):
    desk = Desk()
    cut_off(desk)
    change(desk)
    assert desk.agenda.status(desk.settings, True) == ('random', '')
    assert desk.evaluate().message.startswith('evaluating 1 of ')


def test_an_evaluation_that_was_cut_off_before_anything_was_measured_leaves_no_note():
    desk = Desk()
    desk.evaluate()
    desk.episodes(status=Status.ABORTED, reason='observation_stale')
    desk.agenda.clear_stop()
    assert desk.agenda.status(desk.settings, True) == ('random', '')


@pytest.mark.parametrize(('end', 'reason'), [
    (lambda desk: desk.run(False), 'run: false'),
    (lambda desk: desk.agenda.stop('operator'), 'stop: operator'),
    (lambda desk: desk.agenda.end('reset_timeout'), 'reset_timeout')])
def test_an_evaluation_that_is_ended_keeps_nothing(end, reason):
    desk = Desk()
    desk.evaluate()
    desk.episodes(3)
    end(desk)
    assert [(kind, values['reason'], str(values['progress'])) for kind, values in desk.events
            if kind == 'evaluation_ended'] == [('evaluation_ended', reason, 'evaluating 4 of 4')]
    assert not desk.may_start() and 'kept' not in desk.agenda.figures(desk.settings)


def test_an_episode_that_outlives_its_evaluation_counts_for_none():
    desk = Desk(evaluation_episodes=1)
    desk.evaluate()
    mode, policy = desk.agenda.cast(desk.settings, 1)
    desk.run(False)
    zeros = np.zeros(2)
    step = Step(1, 1, 5, Status.TERMINATED, Source.SAFETY, mode, policy.version, True,
                np.zeros(6), zeros, zeros)
    assert desk.agenda.ended(Tick(step, 'success')) is None
    desk.evaluate()
    assert str(desk.agenda.evaluation) == 'evaluating 1 of 2'


def test_an_evaluation_whose_episodes_are_all_discarded_ends_with_their_reason():
    desk = Desk()
    desk.evaluate()
    desk.episodes(MAX_REPEATS, status=Status.ABORTED, reason='discard')
    [(kind, values)] = desk.events
    assert (kind, values['reason']) == ('evaluation_ended', 'stopped 5 times in a row: discard')
    assert not desk.may_start()


@pytest.mark.parametrize('status', [Status.ABORTED, Status.BROKEN])
def test_an_episode_that_the_gate_stopped_latches_its_reason(status):
    desk = Desk()
    desk.run()
    desk.episodes(status=status, reason='e_stop_pressed')
    assert desk.agenda.stopped == 'e_stop_pressed' and not desk.may_start()
    assert desk.events == [('stop', {'reason': 'e_stop_pressed'})]


def test_a_stop_in_an_evaluation_ends_it():
    desk = Desk()
    desk.evaluate()
    desk.episodes(status=Status.ABORTED, reason='policy_late')
    assert [kind for kind, _ in desk.events] == ['stop', 'evaluation_ended']
    assert not desk.may_start()


@pytest.mark.parametrize('reason', ['discard', 'deactivated', 'shutdown'])
def test_an_episode_that_was_only_ended_is_no_stop(reason):
    desk = Desk()
    desk.run()
    desk.episodes(status=Status.ABORTED, reason=reason)
    assert not desk.agenda.stopped and desk.may_start()


def test_the_first_reason_of_a_stop_stays():
    desk = Desk()
    desk.agenda.stop('e_stop_pressed')
    assert desk.agenda.stop('operator').success
    assert desk.agenda.stopped == 'e_stop_pressed' and len(desk.events) == 1


def test_a_stop_is_not_cleared_while_its_cause_lasts():
    desk = Desk()
    desk.agenda.stop('e_stop_pressed')
    assert desk.agenda.clear_stop('e_stop_pressed') == (False, 'still stopped: e_stop_pressed')
    assert not desk.run().success
    assert desk.agenda.clear_stop().success and desk.run().success


def test_what_a_person_helped_with_measures_no_policy():
    desk = Desk()
    desk.evaluate()
    assert desk.episodes(helped=True, evaluate=True) is None
    assert str(desk.agenda.evaluation) == 'evaluating 1 of 4'


def test_no_evaluation_no_event_of_its_end():
    desk = Desk()
    desk.run()
    desk.agenda.end('deactivated')
    assert desk.events == [] and not desk.may_start()
