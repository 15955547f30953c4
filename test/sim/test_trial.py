from __future__ import annotations

from dataclasses import replace

from made_policies import demonstrator, explorers
import numpy as np
import pytest
from robot_rl.casting import NO_EXPLORERS, NO_SIM_OPTIMAL
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode, Source
from robot_rl.data.transitions import derive_transitions
from robot_rl.errors import UserError
from robot_rl.learning import imitation
from robot_rl.learning.chunks import ChunkRunner
from robot_rl.learning.config import FitConfig, LearnerConfig, SacConfig
from robot_rl.learning.demonstrations import Demonstrations
from robot_rl.learning.diffusion_policy import decode_demonstrator
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.learning.learner import Learner
from robot_rl.learning.policy import decode_policy, HeldRandom
from robot_rl.learning.posterior import Fit
from robot_rl.sim import trial
from robot_rl.sim.episodes import run_episode
from robot_rl.sim.explorer_run import Result
from robot_rl.sim.gap import Gap
from robot_rl.sim.trial import Budget, FineTuning, Greedy, measure, Method, run_trial, Zeta
from robot_rl.sim.twin import Twin
from robot_rl.tasks.reach import scripted_action

REACH = load_contract('reach')
HORIZON = REACH.episode.horizon
SAC = SacConfig(width=16)
SHORT = Budget(episodes=6, period=3, measured=4, final=5)


@pytest.fixture(scope='module')
def simulated() -> Result:
    use_threads(1)
    return Result(explorers(REACH, (0.1, 0.1), (0.9, -0.9)),
                  Learner(REACH, LearnerConfig(seed=9), SAC).actor(), {})


def run(method: Method, simulated: Result | None, budget: Budget = SHORT, seed: int = 0,
        gap: Gap = Gap()):
    return run_trial(REACH, gap, method, simulated, budget, seed, SAC)


class Scripted:
    """The task's own demonstrator as a policy."""

    version, source = 1, Source.HUMAN

    def act(self, observation, rng):
        return scripted_action(REACH.layout.view(observation), np.random.default_rng(0))


class Still:
    """Does nothing."""

    version = 1

    def act(self, observation, rng):
        return np.zeros(2)


def test_every_episode_of_a_policy_that_succeeds_counts_once():
    assert measure(REACH, Scripted(), Gap(), 7, seed=0) == 7


def test_a_policy_that_never_arrives_is_measured_as_such():
    assert measure(REACH, Still(), Gap(), 7, seed=0) == 0


def test_the_gap_is_the_world_that_a_policy_is_measured_in():
    assert measure(REACH, Scripted(), Gap('stuck', action_bound=0.02), 7, seed=0) == 0


def test_direct_transfer_is_measured_and_learns_nothing(simulated):
    found = run(Method('transfer'), simulated)
    assert len(found.curve) == 1 and found.final.measured == 5
    assert found.final.episodes == 0 and found.final.minutes == 0.0 and not found.explored


def test_until_the_learner_knows_more_than_chance_every_mixed_episode_explores(simulated):
    found = run(Method('mixed'), simulated)
    assert found.explored == 6
    assert [point.episodes for point in found.curve] == [0, 3, 6]
    assert [point.successes for point in found.curve] == [0, 0, 0] and found.reached is None


def test_minutes_are_those_of_the_robot_whose_periods_are_its_own(simulated):
    slow = Gap('slow', control_rate=0.5)
    nominal, slowed = (run(Method('mixed', tail=False), simulated, gap=gap).final.minutes
                       for gap in (Gap(), slow))
    most = SHORT.episodes * HORIZON / REACH.control_rate / 60
    assert 0 < nominal <= most * 1.001
    assert nominal < slowed <= 2 * most * 1.001


def test_a_trial_is_deterministic_in_its_arguments(simulated):
    one, other = (run(Method('mixed'), simulated, seed=3) for _ in range(2))
    assert one == other
    assert run(Method('mixed'), simulated, seed=4) != one


def test_fine_tuning_begins_as_the_sim_optimal_policy(simulated, monkeypatch):
    seen = []
    monkeypatch.setattr(trial, 'measure', lambda _, policy, *rest: seen.append(policy) or 0)
    run(Method('learn', 'sim_optimal'), simulated)
    expected = decode_policy(simulated.sim_optimal, REACH, 'x').layers
    assert all(np.array_equal(*pair) for layers in zip(expected, seen[0].layers)
               for pair in zip(*layers))


def test_a_trial_ends_early_after_two_good_measurements_in_a_row(simulated, monkeypatch):
    results = iter([4, 3, 4, 4])
    monkeypatch.setattr(trial, 'measure', lambda *_: next(results, 5))
    found = run(Method('learn', 'sim_optimal'), simulated, replace(SHORT, episodes=12, period=1))
    assert [point.success for point in found.curve] == [1.0, 0.75, 1.0, 1.0]
    assert found.reached == found.curve[0]
    assert found.final.episodes == 3 and found.final.success == 1.0


def test_a_measurement_starts_elsewhere_than_the_others(simulated, monkeypatch):
    seeds = []
    monkeypatch.setattr(trial, 'measure', lambda *given: seeds.append(given[-1]) or 0)
    run(Method('learn', 'sim_optimal'), simulated)
    assert len(set(seeds)) == len(seeds) == 4


def test_a_learner_makes_an_update_per_transition_of_the_robot(monkeypatch):
    versions = []
    monkeypatch.setattr(trial, 'measure', lambda _, policy, *rest: versions.append(
        policy.version) or 0)
    found = run(Method('learn', zeta=0.5), None, replace(SHORT, episodes=26, period=26))
    steps = round(found.final.minutes * 60 * REACH.control_rate)
    assert versions == [steps, steps] and steps >= 1000


@pytest.mark.parametrize(('method', 'reason'), [
    (Method('mixed'), NO_EXPLORERS), (Method('transfer'), NO_SIM_OPTIMAL),
    (Method('learn', 'sim_optimal'), 'sim_optimal: expected a policy to start from')])
def test_what_a_method_lacks_is_named(method, reason):
    with pytest.raises(UserError, match=reason[:40]):
        run(method, None)


@pytest.mark.parametrize('zeta', [0.0, 0.25, 1.0])
def test_zeta_is_the_share_of_random_actions(zeta):
    limits, rng = REACH.action, np.random.default_rng(0)
    acting = Zeta(Marked(), HeldRandom(limits.low, limits.high), zeta)
    sources = []
    for _ in range(2000):
        acting.act(np.zeros(6), rng)
        sources.append(acting.source)
    assert sources.count(Source.RANDOM) / 2000 == pytest.approx(zeta, abs=0.03)


def test_without_random_numbers_the_mode_of_the_policy_acts():
    limits = REACH.action
    acting = Zeta(Marked(), HeldRandom(limits.low, limits.high), 1.0)
    assert acting.act(np.zeros(6), None) == 'mode' and acting.source is Source.POLICY
    acting.act(np.zeros(6), np.random.default_rng(0))
    assert acting.source is Source.RANDOM


class Marked:
    """Tells that it was asked."""

    version, source = 1, Source.POLICY

    def act(self, observation, rng):
        return 'mode'


DEMONSTRATOR = demonstrator(REACH, [[0.5, -0.5]] * 3, spread=2.0)
STEER = FineTuning('learn', config=LearnerConfig(
    method='steer', start_transitions=100, utd_ratio=0.1, batch=16))


def fine_tune(method: FineTuning, monkeypatch, demonstrations=()) -> list:
    """Run a trial; return the policies that were measured."""
    seen = []
    monkeypatch.setattr(trial, 'measure', lambda _, policy, *rest: seen.append(policy) or 0)
    run_trial(REACH, Gap(), method, None, SHORT, 0, SAC, DEMONSTRATOR, demonstrations)
    return seen


def test_steering_begins_with_the_base_and_learns_in_chunks(monkeypatch):
    seen = fine_tune(STEER, monkeypatch)
    assert [policy.manifest['kind'] for policy in seen] == ['steered'] * 4
    assert [policy.version for policy in seen] == [0, 15, 30, 30]


def test_an_actor_that_starts_as_the_demonstrator_needs_states(monkeypatch):
    monkeypatch.setattr(imitation, 'UPDATES', 10)
    method = FineTuning('learn', config=LearnerConfig(start_from='demonstrator', batch=16))
    with pytest.raises(UserError, match='demonstrator: expected demonstrations to imitate it in'):
        fine_tune(method, monkeypatch)
    steps = run_episode(Twin(REACH, seed=1), Still(), Mode.DEMONSTRATE, 1)
    seen = fine_tune(method, monkeypatch, [derive_transitions(steps, REACH)])
    assert seen[0].manifest['provenance']['started_from'] == 'demonstrator'


@pytest.fixture(scope='module')
def taught() -> tuple:
    """Return a demonstrator that reaches the goal, and the demonstrations that it is fitted to."""
    use_threads(1)
    twin = Twin(REACH)
    people = [run_episode(twin, Scripted(), Mode.SCRIPTED, number) for number in range(12)]
    found = [derive_transitions(steps, REACH) for steps in people if len(steps) > 2]
    config = FitConfig(chunk=2, replan=1, members=2, updates=1500, ensemble_updates=1, width=48,
                       depth=2, member_width=16, sampling_steps=4, folds=2, alpha=0.0)
    fit = Fit(Demonstrations.build(found, REACH, config.chunk, config.folds, 0), config)
    while not fit.done:
        fit.round()
    return fit.artifact(REACH, 1, {}), found


def worst_success(taught: tuple, seed: int, **changes) -> float:
    """Return the least success on the way of an actor that starts as the demonstrator."""
    method = FineTuning('learn', config=LearnerConfig(
        start_from='demonstrator', start_transitions=200, utd_ratio=1.0, **changes))
    budget = Budget(episodes=12, period=3, measured=20, final=1, enough=2.0)
    found = run_trial(REACH, Gap(), method, None, budget, seed,
                      SacConfig(width=32, target_rate=0.02), *taught)
    assert found.curve[0].success >= 0.9
    return min(point.success for point in found.curve)


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_an_actor_that_starts_well_is_never_worse(taught, seed):
    assert worst_success(taught, seed) >= 0.9


def test_one_that_is_not_held_is(taught):
    assert min(worst_success(taught, seed, teacher_weight=0.0) for seed in (0, 1, 2)) < 0.5


def test_without_a_demonstrator_there_is_nothing_to_steer():
    with pytest.raises(UserError, match='demonstrator: expected a policy to start from'):
        run(STEER, None)


def test_many_worlds_are_planned_for_as_one_robot_is():
    policy = decode_demonstrator(DEMONSTRATOR, REACH, 'made')
    seen = np.random.default_rng(0).normal(size=(7, 3, 6))      # ticks, worlds
    many, ones = Greedy(policy), [ChunkRunner(policy, REACH) for _ in range(3)]
    for row in seen:
        expected = [one.act(observation, None) for one, observation in zip(ones, row)]
        assert np.allclose(many(row), expected, atol=1e-6)


def test_a_demonstrator_is_measured_greedy():
    still = decode_demonstrator(demonstrator(REACH, [[0.0, 0.0]] * 3), REACH, 'made')
    assert measure(REACH, still, Gap(), 5, seed=0) == 0
