from __future__ import annotations

from made_policies import actor
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode, Source, Status, Step
from robot_rl.evaluation import Evaluation, MAX_REPEATS
from robot_rl.policies import PolicyShelf

REACH = load_contract('reach')
SUCCESS, FAILURE = (True, 10), (False, 50)


def make_evaluation(episodes: int, learned: int = 7, alone: bool = False) -> Evaluation:
    shelf = PolicyShelf(REACH)
    shelf.offer(actor(REACH, learned), 'actor')
    shelf.offer(actor(REACH, 800), 'sim_optimal')
    rival = {} if alone else {Mode.TRANSFER: shelf.sim_optimal}
    return Evaluation({Mode.EVALUATE: shelf.actor, **rival}, episodes)


def end(evaluation: Evaluation, success: bool = True, steps: int = 10,
        status: Status = Status.TERMINATED) -> Mode:
    """End the episode that is due; return its mode."""
    mode, policy = evaluation.cast()
    zeros = np.zeros(2)
    evaluation.ended(Step(1, 1, steps, status, Source.SAFETY, mode, policy.version, success,
                          np.zeros(6), zeros, zeros))
    return mode


def outcome(learned: list, sim_optimal: list):
    """Return what is kept after these (success, steps) of each policy."""
    evaluation = make_evaluation(len(learned))
    for pair in zip(learned, sim_optimal):
        for success, steps in pair:
            assert evaluation.kept is None
            end(evaluation, success, steps)
    return evaluation.kept


def test_the_policies_take_turns_and_the_learned_one_begins():
    evaluation = make_evaluation(3)
    assert [end(evaluation) for _ in range(6)] == [Mode.EVALUATE, Mode.TRANSFER] * 3
    assert evaluation.kept


def test_it_says_how_far_it_is():
    evaluation, said = make_evaluation(2), []
    for _ in range(4):
        said.append(str(evaluation))
        end(evaluation)
    assert said == [f'evaluating {number} of 4' for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(('learned', 'sim_optimal', 'better'), [
    ([SUCCESS, FAILURE], [FAILURE, FAILURE], Mode.EVALUATE),
    ([SUCCESS, FAILURE], [SUCCESS, SUCCESS], Mode.TRANSFER),
    ([(True, 40), (True, 40)], [SUCCESS, FAILURE], Mode.EVALUATE)])
def test_more_successes_win(learned, sim_optimal, better):
    assert outcome(learned, sim_optimal).mode is better


@pytest.mark.parametrize(('learned', 'sim_optimal', 'better'), [
    ([(True, 20), (True, 21)], [(True, 10), (True, 30)], Mode.TRANSFER),
    ([(True, 20), (True, 19)], [(True, 10), (True, 30)], Mode.EVALUATE),
    ([(True, 20), (False, 1)], [(False, 50), (True, 19)], Mode.TRANSFER)])
def test_of_as_many_successes_the_shorter_ones_win(learned, sim_optimal, better):
    assert outcome(learned, sim_optimal).mode is better


@pytest.mark.parametrize('both', [[SUCCESS, FAILURE], [FAILURE, FAILURE]])
def test_on_a_tie_the_learned_policy_is_kept(both):
    assert outcome(both, both).mode is Mode.EVALUATE


def test_a_policy_without_an_update_is_never_kept():
    evaluation = make_evaluation(1, learned=0)
    end(evaluation, success=True)
    end(evaluation, success=False)
    assert evaluation.kept.mode is Mode.TRANSFER


def test_failures_do_not_count_by_their_length():
    assert outcome([(False, 50)], [(False, 1)]).mode is Mode.EVALUATE


def test_the_outcome_holds_the_artifact_and_every_figure():
    kept = outcome([FAILURE, SUCCESS], [SUCCESS, SUCCESS])
    assert kept.artifact.data == actor(REACH, 800) and kept.learned_version == 7
    assert kept.values() == {
        'policy': 'sim_optimal',
        'learned_version': 7, 'learned_successes': 1, 'learned_episodes': 2,
        'sim_optimal_version': 800, 'sim_optimal_successes': 2, 'sim_optimal_episodes': 2}
    assert str(kept) == 'learned 1 of 2, sim_optimal 2 of 2'


@pytest.mark.parametrize('status', [Status.ABORTED, Status.BROKEN])
def test_a_stopped_episode_is_run_again_and_does_not_count(status):
    evaluation = make_evaluation(1)
    assert [end(evaluation, status=status), end(evaluation)] == [Mode.EVALUATE] * 2
    assert str(evaluation) == 'evaluating 2 of 2'


def test_it_is_hopeless_once_too_many_episodes_in_a_row_were_stopped():
    evaluation = make_evaluation(2)
    for _ in range(MAX_REPEATS - 1):
        end(evaluation, status=Status.ABORTED)
    end(evaluation)
    for _ in range(MAX_REPEATS):
        assert not evaluation.hopeless
        end(evaluation, status=Status.ABORTED)
    assert evaluation.hopeless and evaluation.kept is None


def test_a_learned_policy_alone_is_kept_once_it_has_succeeded():
    evaluation = make_evaluation(2, alone=True)
    assert evaluation.alone and str(evaluation) == 'evaluating 1 of 2 (nothing to compare with)'
    assert [end(evaluation, success) for success in (False, True)] == [Mode.EVALUATE] * 2
    kept = evaluation.kept
    assert kept.mode is Mode.EVALUATE and kept.artifact.data == actor(REACH, 7)
    assert kept.values() == {'policy': 'learned', 'learned_version': 7, 'learned_successes': 1,
                             'learned_episodes': 2, 'note': 'nothing to compare with'}
    assert str(kept) == 'learned 1 of 2, nothing to compare with'


@pytest.mark.parametrize(('version', 'success', 'why'), [
    (0, True, 'the learned policy has no update yet'), (7, False, 'none of 1 episodes succeeded')])
def test_a_learned_policy_alone_that_shows_nothing_is_not_kept(version, success, why):
    evaluation = make_evaluation(1, version, alone=True)
    assert not evaluation.done
    end(evaluation, success)
    assert evaluation.done and evaluation.kept is None
    assert evaluation.unworthy == why


def test_it_compares_what_another_would_of_the_same_policies_as_often():
    evaluation = make_evaluation(2)
    assert evaluation.compares(make_evaluation(2))
    for other in (make_evaluation(3), make_evaluation(2, 8), make_evaluation(2, alone=True)):
        assert not evaluation.compares(other) and not other.compares(evaluation)


def test_what_goes_on_is_hopeless_only_after_as_many_stops_again():
    evaluation = make_evaluation(2)
    end(evaluation)
    for _ in range(MAX_REPEATS):
        end(evaluation, status=Status.ABORTED)
    assert evaluation.hopeless and evaluation.measured
    assert not evaluation.resume().hopeless
    assert evaluation.progress == '2 of 4'
