from __future__ import annotations

from dataclasses import replace

from made_policies import actor, demonstrator, explorers, steered
import numpy as np
import pytest
from robot_rl.casting import (Casting, NO_ACTOR, NO_DEMONSTRATOR, NO_EXPLORERS, NO_PERSON,
                              NO_SIM_OPTIMAL, Schedule, WINDOW)
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.errors import UserError
from robot_rl.learning.policy import CannotAct, RandomTail
from robot_rl.policies import PolicyShelf

REACH = load_contract('reach')
PLAN = np.zeros((4, 2))
EXPLORERS = ((0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4))
HALF = Schedule(0.5, 0.5, 1)
ALWAYS, NEVER = Schedule(1.0, 1.0, 1), Schedule(0.0, 0.0, 1)


def make_casting(version: int | None = 7, **provenance) -> Casting:
    """Return the casting of a server that has received everything; no actor without a version."""
    casting = Casting(REACH, PolicyShelf(REACH))
    casting.shelf.offer(explorers(REACH, *EXPLORERS), 'explorers')
    casting.shelf.offer(actor(REACH, 800, (0.9, 0.9)), 'sim_optimal')
    casting.shelf.offer(demonstrator(REACH, PLAN, version=3), 'demonstrator')
    if version is not None:
        casting.shelf.offer(actor(REACH, version, **provenance), 'actor')
    return casting


def cast(casting: Casting, mode: str, episode: int = 1, tail: bool = True, seed: int = 0,
         schedule: Schedule = HALF):
    return casting.cast(mode, schedule, tail, seed, episode)


def last(success: bool = True, mode: Mode = Mode.LEARN, version: int = 7, index: int = 5,
         status: Status = Status.TERMINATED) -> Step:
    zeros = np.zeros(2)
    return Step(1, 1, index, status, Source.SAFETY, mode, version, success, np.zeros(6), zeros,
                zeros)


@pytest.mark.parametrize(('mode', 'missing'), [
    ('random', ''), ('learn', ''), ('evaluate', NO_ACTOR), ('explore', NO_EXPLORERS),
    ('mixed', NO_EXPLORERS), ('transfer', NO_SIM_OPTIMAL), ('demonstrate', NO_DEMONSTRATOR)])
def test_what_a_mode_lacks_is_named_until_it_was_received(mode, missing):
    assert Casting(REACH, PolicyShelf(REACH)).missing(mode) == missing
    assert make_casting().missing(mode) == ''


@pytest.mark.parametrize(('mode', 'recorded', 'version'), [
    ('random', Mode.RANDOM, -1), ('learn', Mode.LEARN, 7), ('evaluate', Mode.EVALUATE, 7),
    ('transfer', Mode.TRANSFER, 800), ('demonstrate', Mode.DEMONSTRATE, 3)])
def test_the_mode_decides_what_is_recorded_and_who_acts(mode, recorded, version):
    found, policy = cast(make_casting(), mode)
    assert (found, policy.version) == (recorded, version)


@pytest.mark.parametrize(('version', 'provenance', 'expected'), [
    (None, {}, -1), (0, {}, -1), (0, {'started_from': ''}, -1), (1, {}, 1),
    (0, {'started_from': 'sim_optimal'}, 0)])
def test_learn_is_random_until_the_actor_knows_more_than_chance(version, provenance, expected):
    mode, policy = cast(make_casting(version, **provenance), 'learn')
    assert (mode, policy.version) == (Mode.LEARN, expected)
    assert policy.source is (Source.RANDOM if expected < 0 else Source.POLICY)


class Person:
    """Acts by a number that it drew when it came."""

    def __init__(self, rng):
        self.drawn = rng.uniform(-1.0, 1.0, 2)

    def __call__(self, observation):
        return self.drawn + observation['tip']


class Clumsy(Person):
    """Stumbles."""

    def __call__(self, observation):
        raise RuntimeError('ouch')


def with_person(person: type = Person, name: str = 'my_task:Person') -> Casting:
    simulation = replace(REACH.simulation, demonstrator=person, demonstrator_name=name)
    contract = replace(REACH, simulation=simulation)
    return Casting(contract, PolicyShelf(contract))


def test_a_scripted_person_is_recorded_as_a_human_in_a_mode_of_its_own():
    casting = with_person()
    mode, policy = cast(casting, 'scripted')
    assert casting.missing('scripted') == ''
    assert (mode, policy.source, policy.version) == (Mode.SCRIPTED, Source.HUMAN, -1)
    there = policy.act(np.full(6, 5.0), None)
    assert np.allclose(there - policy.act(np.zeros(6), None), 5.0)


def test_each_episode_has_a_scripted_person_of_its_own_that_depends_on_seed_and_episode():
    casting = with_person()
    first, again, other, seeded = (
        cast(casting, 'scripted', episode, seed=seed)[1].act(np.zeros(6), None)
        for episode, seed in ((1, 0), (1, 0), (2, 0), (1, 1)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other) and not np.array_equal(first, seeded)


def test_a_scripted_person_that_fails_cannot_act_and_is_named():
    _, policy = cast(with_person(Clumsy, 'my_task:Clumsy'), 'scripted')
    with pytest.raises(CannotAct, match='^my_task:Clumsy: RuntimeError: ouch$'):
        policy.act(np.zeros(6), None)


@pytest.mark.parametrize('contract', [REACH, replace(REACH, simulation=None)])
def test_without_a_scripted_person_the_contract_says_so(contract):
    assert Casting(contract, PolicyShelf(contract)).missing('scripted') == NO_PERSON


def test_a_steered_actor_learns_and_is_evaluated():
    casting = make_casting(None)
    casting.shelf.offer(steered(REACH, PLAN, version=0), 'actor')
    for mode in ('learn', 'evaluate'):
        found, policy = cast(casting, mode)
        assert (found, policy.version) == (Mode[mode.upper()], 0)


def test_explorers_are_drawn_uniformly():
    casting = make_casting()
    counts = np.bincount([cast(casting, 'explore', number)[1].version for number in range(2000)])
    assert len(counts) == 4
    assert (np.abs(counts - 500) < 80).all()        # 4 standard deviations of 19.4


def test_who_explores_depends_on_seed_and_episode_only():
    drawn = [[cast(make_casting(), 'explore', number, seed=seed)[1].version
              for number in range(20)] for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]
    casting = make_casting()
    backwards = [cast(casting, 'explore', number, seed=3)[1].version
                 for number in reversed(range(20))]
    assert backwards[::-1] == drawn[0]


def test_the_draw_is_independent_of_what_the_policy_samples():
    drawn = [cast(make_casting(), 'explore', number)[1].version for number in range(200)]
    sampled = [np.random.default_rng([0, number]).integers(4) for number in range(200)]
    assert 20 < np.equal(drawn, sampled).sum() < 80         # 50 by chance


def test_an_explorer_gets_a_random_tail_that_begins_anywhere_in_the_episode():
    casting = make_casting()
    acting = [cast(casting, 'explore', number)[1] for number in range(1000)]
    assert all(isinstance(policy, RandomTail) for policy in acting)
    lengths = [policy.left for policy in acting]
    horizon = REACH.episode.horizon
    assert (min(lengths), max(lengths)) == (1, horizon)
    assert abs(np.mean(lengths) - (horizon + 1) / 2) < 4 * horizon / np.sqrt(12 * 1000)


def test_without_a_tail_the_explorer_itself_acts():
    casting = make_casting()
    mode, policy = cast(casting, 'explore', tail=False)
    assert (mode, policy) == (Mode.EXPLORE, casting.shelf.explorers[policy.version])


def test_the_share_that_explores_falls_linearly_and_stays():
    schedule = Schedule(1.0, 0.2, 4)
    assert np.allclose([schedule(number) for number in range(6)], [1.0, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_a_share_that_starts_below_the_least_does_not_rise():
    assert [Schedule(0.05, 0.1, 4)(number) for number in (0, 2, 9)] == [0.05, 0.05, 0.05]


def test_mixed_explores_as_often_as_the_schedule_says():
    casting = make_casting()
    modes = [cast(casting, 'mixed', number, schedule=Schedule(0.7, 0.7, 1))[0]
             for number in range(2000)]
    assert set(modes) == {Mode.EXPLORE, Mode.LEARN}
    assert abs(modes.count(Mode.EXPLORE) / 2000 - 0.7) < 0.041    # 4 standard deviations


def test_mixed_counts_its_own_episodes_only():
    casting, schedule = make_casting(), Schedule(1.0, 0.0, 10)
    for number in range(5):
        cast(casting, 'explore', number, schedule=schedule)
        cast(casting, 'mixed', number, schedule=schedule)
    assert casting.fraction(schedule) == 0.5


@pytest.mark.parametrize(('schedule', 'mode'), [(ALWAYS, Mode.EXPLORE), (NEVER, Mode.LEARN)])
def test_a_share_of_one_or_none_leaves_nothing_to_chance(schedule, mode):
    casting = make_casting()
    assert {cast(casting, 'mixed', number, schedule=schedule)[0] for number in range(50)} == {mode}


@pytest.mark.parametrize('version', [None, 0])
def test_a_learner_that_has_not_learned_never_acts_in_mixed(version):
    casting = make_casting(version)
    modes = {cast(casting, 'mixed', number, schedule=NEVER)[0] for number in range(50)}
    assert modes == {Mode.EXPLORE} and casting.fraction(NEVER) == 1.0


def test_a_learner_that_started_from_a_policy_acts_in_mixed_before_its_first_update():
    mode, policy = cast(make_casting(0, started_from='sim_optimal'), 'mixed', schedule=NEVER)
    assert (mode, policy.version) == (Mode.LEARN, 0)


def test_exploring_never_exceeds_the_share_that_the_learner_fails():
    casting = make_casting()
    for number in range(WINDOW):
        assert casting.fraction(ALWAYS) == 1.0, number
        casting.ended(last(success=number < 15))
    assert casting.fraction(ALWAYS) == 0.25
    assert casting.fraction(Schedule(0.1, 0.1, 1)) == 0.1
    for _ in range(WINDOW):                             # what it did before is forgotten
        casting.ended(last(success=False))
    assert casting.fraction(ALWAYS) == 1.0


@pytest.mark.parametrize('step', [
    last(mode=Mode.EXPLORE), last(mode=Mode.EVALUATE), last(mode=Mode.RANDOM), last(version=-1),
    last(status=Status.ABORTED), last(status=Status.BROKEN)])
def test_only_whole_episodes_in_which_the_learner_acted_measure_it(step):
    casting = make_casting()
    for _ in range(2 * WINDOW):
        casting.ended(step)
    assert casting.fraction(ALWAYS) == 1.0


def kept(casting: Casting, better: Mode):
    """Let one episode each decide."""
    evaluation = casting.compare(1)
    for _ in range(2):
        mode, policy = evaluation.cast()
        evaluation.ended(last(mode is better, mode, policy.version))
    casting.kept = evaluation.kept


@pytest.mark.parametrize(('better', 'version'), [(Mode.EVALUATE, 7), (Mode.TRANSFER, 800)])
def test_evaluate_acts_with_what_was_kept_until_a_newer_actor_comes(better, version):
    casting = make_casting()
    kept(casting, better)
    for offered in (5, 7):          # a learner that was restarted sends what it had
        casting.shelf.offer(actor(REACH, offered), 'actor')
        mode, policy = cast(casting, 'evaluate')
        assert (mode, policy.version, casting.kept_acts) == (better, version, True)
    casting.shelf.offer(actor(REACH, 8), 'actor')
    mode, policy = cast(casting, 'evaluate')
    assert (mode, policy.version, casting.kept_acts) == (Mode.EVALUATE, 8, False)


def test_what_was_kept_does_not_change_the_other_modes():
    casting = make_casting()
    kept(casting, Mode.TRANSFER)
    assert cast(casting, 'learn')[1].version == 7


def test_without_a_sim_optimal_policy_the_demonstrator_is_the_rival():
    casting = make_casting()
    casting.shelf.sim_optimal = None
    kept(casting, Mode.DEMONSTRATE)
    assert str(casting.kept) == 'learned 0 of 1, demonstrator 1 of 1'
    assert casting.kept.values()['demonstrator_version'] == 3
    mode, policy = cast(casting, 'evaluate')
    assert (mode, policy) == (Mode.DEMONSTRATE, casting.shelf.demonstrator.policy)


def test_a_comparison_without_a_learned_policy_is_refused():
    casting = make_casting(None)
    with pytest.raises(UserError) as error:
        casting.compare(1)
    assert str(error.value) == NO_ACTOR


def test_without_a_rival_the_learned_policy_is_measured_alone():
    casting = make_casting()
    assert not casting.compare(1).alone
    casting.shelf.sim_optimal = casting.shelf.demonstrator = None
    evaluation = casting.compare(1)
    assert evaluation.alone and evaluation.cast() == (Mode.EVALUATE, casting.shelf.actor.policy)


def test_what_was_kept_acts_in_evaluate_though_there_is_no_actor():
    casting = make_casting()
    kept(casting, Mode.EVALUATE)
    restarted = Casting(REACH, PolicyShelf(REACH))
    restarted.kept = casting.kept
    assert (restarted.missing('evaluate'), restarted.kept_acts) == ('', True)
    mode, policy = cast(restarted, 'evaluate')
    assert (mode, policy.version) == (Mode.EVALUATE, 7)


def test_the_figures_say_what_is_there():
    casting = make_casting()
    expected = {'explorers': 4, 'sim_optimal': 800, 'demonstrator': 3,
                'explore_fraction': '0.50'}
    assert casting.figures(HALF) == expected
    kept(casting, Mode.TRANSFER)
    assert casting.figures(HALF) == expected | {
        'kept': 'sim_optimal: learned 0 of 1, sim_optimal 1 of 1', 'kept_version': 800,
        'kept_successes': 1, 'kept_episodes': 1, 'kept_acts': True}
    assert Casting(REACH, PolicyShelf(REACH)).figures(HALF) == {
        'explorers': 0, 'sim_optimal': -1, 'demonstrator': -1, 'explore_fraction': '1.00'}
