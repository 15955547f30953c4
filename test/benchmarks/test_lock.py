"""The combination lock: the theory's steps one by one, and what breaks without each of them."""

from __future__ import annotations

import itertools
import json

from benchmark_files import load
import numpy as np
import pytest

OPENS_WITH_SECOND = np.array([0, 1, 0, 1, 1])   # no tie-break, which takes the first, ends so
lock = load('lock')


def every_policy(horizon: int) -> np.ndarray:
    """Return all deterministic policies (n, H, 2)."""
    return np.array(list(itertools.product((0, 1), repeat=2 * horizon))).reshape(-1, horizon, 2)


def worth(mdp, policy: np.ndarray) -> float:
    return float((lock.visits(mdp.transition, policy) * mdp.reward).sum())


def random_mdp(seed: int, horizon: int = 4, states: int = 3):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(states, 0.5), size=(horizon, states, 2))
    return lock.Mdp(transition, rng.random((horizon, states, 2)))


def side_by_side(*mdps):
    return lock.Mdp(np.stack([mdp.transition for mdp in mdps], axis=1),
                    np.stack([mdp.reward for mdp in mdps], axis=1))


def first(method, pair, budget: int = 2_000, **options) -> int | None:
    """Return the episodes after which a method's policy is optimal in the first of its locks."""
    progress = method(*pair, budget, np.random.default_rng(0), **options)
    return next((spent for spent, policy in progress if lock.optimal(pair[0], policy)[0]), None)


def test_real_and_simulated_locks_differ_in_the_last_transition_only():
    real, simulator = lock.lock(OPENS_WITH_SECOND)
    differs = np.argwhere((real.transition != simulator.transition).any(axis=-1))
    assert differs.tolist() == [[3, lock.OPEN, 1]]
    assert (real.reward == simulator.reward).all()


def test_the_optimal_policy_of_the_simulator_earns_a_quarter_in_both():
    real, simulator = lock.lock(OPENS_WITH_SECOND)
    policy = lock.greedy(lock.plan(simulator.transition, simulator.reward))
    assert worth(simulator, policy) == pytest.approx(0.25)
    assert worth(real, policy) == pytest.approx(0.25)
    assert lock.plan(real.transition, real.reward)[0, 0].max() == pytest.approx(1.0)


def test_the_plan_is_the_best_of_all_policies():
    mdp = random_mdp(seed=1, states=2)
    best = max(worth(mdp, policy) for policy in every_policy(4))
    assert lock.plan(mdp.transition, mdp.reward)[0, 0].max() == pytest.approx(best)


def test_only_one_sequence_of_actions_opens_the_real_lock():
    real, _ = lock.lock(np.array([1, 0, 1]))
    played = {tuple(policy[:, lock.OPEN]) for policy in every_policy(3)
              if lock.optimal(real, policy)}
    assert played == {(1, 0, 1)}


def test_the_exploration_set_covers_every_feature_that_any_policy_reaches():
    _, simulator = lock.lock(OPENS_WITH_SECOND[:, None])
    transition = simulator.transition[:, 0]
    reached = np.any([lock.visits(transition, policy) > 0 for policy in every_policy(5)], axis=0)
    policies, needed, _ = lock.exploration_set(simulator)
    covered = np.stack([np.any([lock.visits(transition, policies[:, 0, h, r])[h] > 0
                                for r in np.flatnonzero(needed[0, h])], axis=0)
                        for h in range(5)])
    assert (covered == reached).all()
    assert not reached[-1, lock.OPEN].any()     # it lies behind the gap


@pytest.mark.parametrize('horizon', [2, 5, 20])
def test_the_certificate_of_the_lock_is_the_best_possible(horizon):
    _, simulator = lock.lock(np.ones((horizon, 1), int))
    features = 4 if horizon > 2 else 2      # of one step; one policy visits one of them
    assert lock.exploration_set(simulator)[2].tolist() == [1 / features]


def test_the_certificate_of_a_stochastic_simulator_is_its_least_coverage():
    alone = [random_mdp(seed) for seed in (2, 3)]
    policies, needed, lambda_min = lock.exploration_set(side_by_side(*alone))
    for n, simulator in enumerate(alone):
        coverage = [np.mean([lock.visits(simulator.transition, policies[:, n, h, r])[h]
                             for r in np.flatnonzero(needed[n, h])], axis=0) for h in range(4)]
        assert (np.array(coverage[1:]) > 0).all()
        assert lambda_min[n] == pytest.approx(min(step[step > 0].min() for step in coverage))


def test_tables_side_by_side_are_worked_on_as_if_each_were_alone():
    alone = [random_mdp(seed) for seed in (4, 5)]
    both = side_by_side(*alone)
    q = lock.plan(both.transition, both.reward)
    visits = lock.visits(both.transition, lock.greedy(q))
    for n, mdp in enumerate(alone):
        assert np.allclose(q[:, n], lock.plan(mdp.transition, mdp.reward))
        assert np.allclose(visits[:, n], lock.visits(mdp.transition, lock.greedy(q[:, n])))
        assert lock.optimal(both, lock.greedy(q))[n]


def test_episodes_visit_features_as_often_as_computed():
    mdp, episodes = random_mdp(seed=3), 20_000
    policy = lock.greedy(lock.plan(mdp.transition, mdp.reward))
    counts = lock.run_episodes(mdp.transition, lock.acting(policy, 2), episodes,
                               np.random.default_rng(0))
    assert counts.sum() == 4 * episodes
    assert np.abs(counts.sum(axis=-1) / episodes
                  - lock.visits(mdp.transition, policy)).max() < 0.02
    assert (counts.sum(axis=-1) * mdp.reward).sum() / episodes == pytest.approx(
        worth(mdp, policy), abs=0.02)


def test_counts_vary_from_batch_to_batch_as_those_of_episodes_run_one_by_one():
    mdp, batches, episodes = random_mdp(seed=6), 20_000, 3
    chances = lock.acting(np.zeros((4, 3), int), 2, uniform=0.5)
    counts = lock.run_episodes(mdp.transition[:, None], chances[:, None],
                               np.full(batches, episodes), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    state, expected = np.zeros((batches, episodes), int), np.zeros(counts.shape, int)
    for h in range(4):
        action = (rng.random(state.shape) < chances[h, state, 1]).astype(int)
        bounds = mdp.transition[h].cumsum(axis=-1)[state, action, :-1]
        following = (rng.random((*state.shape, 1)) >= bounds).sum(axis=-1)
        np.add.at(expected[h], (np.arange(batches)[:, None], state, action, following), 1)
        state = following
    for h, k in ((0, 3), (2, 2), (2, 3)):
        found, right = (np.einsum('nsat,nuvw->satuvw', table[h], table[k]) / batches
                        for table in (counts, expected))
        assert np.abs(found - right).max() < 0.05


def test_every_episode_that_enters_a_state_leaves_it():
    mdp = random_mdp(seed=7)
    counts = lock.run_episodes(mdp.transition, np.full((4, 3, 2), 0.5), 1000,
                               np.random.default_rng(0))
    assert (counts[:-1].sum(axis=(1, 2)) == counts[1:].sum(axis=(2, 3))).all()


def test_uniform_steps_ignore_the_policy():
    real, _ = lock.lock(OPENS_WITH_SECOND)
    first = np.arange(5)[:, None, None] == 0
    opens = OPENS_WITH_SECOND[:, None].repeat(2, axis=1)
    counts = lock.run_episodes(real.transition, lock.acting(opens, 2, first), 1000,
                               np.random.default_rng(0))
    tried = counts.sum(axis=-1)
    assert 400 < tried[0, lock.OPEN, 0] < 600
    assert tried[1, lock.OPEN].tolist() == [0, tried[0, lock.OPEN, 0]]


def test_fitted_q_iteration_is_exact_on_complete_data():
    real, _ = lock.lock(OPENS_WITH_SECOND, gap=0.5)
    counts = np.round(10 * real.transition).astype(int)
    q = lock.fitted_q(counts, real.reward, np.full(real.reward.shape, np.nan))
    assert np.allclose(q, lock.plan(real.transition, real.reward))


def test_fitted_q_iteration_averages_the_targets_of_a_cell_and_keeps_the_prior_elsewhere():
    counts = np.zeros((2, 2, 1, 2), int)
    counts[0, 0, 0] = (3, 1)                    # to state 0 three times, to state 1 once
    counts[1, 0, 0, 0] = 1
    reward = np.array([[[0.5], [9.0]], [[1.0], [9.0]]])
    q = lock.fitted_q(counts, reward, np.full((2, 2, 1), 0.25))
    assert q[..., 0].tolist() == [[0.5 + (3 * 1.0 + 1 * 0.25) / 4, 0.25], [1.0, 0.25]]


@pytest.mark.parametrize('budget', [3, 4, 7, 1001, 50_000])
def test_batches_use_the_budget_but_for_less_than_one_batch(budget):
    batches = list(lock.batches(budget))
    sizes = [size for size, _ in batches]
    assert [total for _, total in batches] == list(itertools.accumulate(sizes))
    assert 0 <= budget - sum(sizes) < 4
    assert all(4 <= size <= max(4, sum(sizes[:i]) / 4) for i, size in enumerate(sizes))


def test_exploration_transfer_opens_every_lock():
    assert None not in lock.solve('exploration transfer', 10, seeds=5, budget=2_000)


def test_the_random_tail_starts_after_each_step_equally_often(monkeypatch):
    calls, run_episodes = [], lock.run_episodes

    def watch(transition, chances, episodes, rng):
        calls.append((chances, episodes))
        return run_episodes(transition, chances, episodes, rng)

    monkeypatch.setattr(lock, 'run_episodes', watch)
    pair = lock.lock(OPENS_WITH_SECOND[:, None])
    list(lock.exploration_transfer(*pair, 20_000, np.random.default_rng(0)))
    (data, _), tests = calls[0], [chances for chances, _ in calls[1::2]]
    episodes = np.sum([number for _, number in calls[::2]], axis=0)
    uniform = (data == 0.5).all(axis=(-2, -1))              # (H, N, H, R)
    share = (uniform * episodes).sum(axis=(1, 2, 3)) / episodes.sum()
    assert share == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8], abs=0.02)
    assert set(np.unique(tests)) == {0.0, 1.0}


def test_only_explorers_that_cover_something_new_are_followed(monkeypatch):
    numbers, run_episodes = [], lock.run_episodes

    def watch(transition, chances, episodes, rng):
        numbers.append(episodes)
        return run_episodes(transition, chances, episodes, rng)

    monkeypatch.setattr(lock, 'run_episodes', watch)
    pair = lock.lock(OPENS_WITH_SECOND[:, None])
    list(lock.exploration_transfer(*pair, 2_000, np.random.default_rng(0)))
    followed = np.sum(numbers[::2], axis=0) > 0
    assert (followed == lock.exploration_set(pair[1])[1]).all()
    assert not followed.all()       # the first step has two features, the others have four


def test_without_the_random_tail_what_lies_behind_the_gap_is_never_learned():
    pair = lock.lock(OPENS_WITH_SECOND[:, None])
    assert first(lock.exploration_transfer, pair, tail=False) is None
    assert first(lock.exploration_transfer, pair) is not None


def test_without_explorers_a_long_lock_stays_shut():
    assert lock.solve('ablation: no explorers', 20, seeds=1, budget=2_000) == [None]
    assert lock.solve('exploration transfer', 20, seeds=1, budget=2_000) != [None]


@pytest.mark.parametrize('method', ['direct transfer', 'direct transfer + zeta-greedy',
                                    'zeta-greedy, no simulator'])
def test_the_other_methods_leave_a_long_lock_shut(method):
    assert lock.solve(method, 20, seeds=1, budget=2_000) == [None]


def test_zeta_greedy_opens_a_short_lock():
    assert None not in lock.solve('zeta-greedy, no simulator', 4, seeds=2, budget=2_000)


@pytest.mark.parametrize('method', ['exploration transfer', 'direct transfer',
                                    'direct transfer + zeta-greedy'])
def test_an_exact_simulator_solves_at_once_by_transfer(method):
    pair = lock.lock(np.array([[0], [1]] * 10), gap=0.0)
    assert first(lock.METHODS[method], pair) == 4       # the first batch


def test_without_transfer_and_exploration_nothing_but_the_first_choice_is_tried():
    pair = lock.lock(np.array([[0], [1]] * 10), gap=0.0)
    assert first(lock.zeta_greedy, pair, 1_000, transfer=False, zeta=0.0) is None


def test_a_run_can_be_repeated_and_seeds_differ():
    runs = [lock.solve('exploration transfer', 10, 6, 2_000) for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 1


def test_the_fit_recovers_a_power_and_an_exponential():
    def rows(law):
        return [{'horizon': h, 'mean': law(h), 'solved': 2, 'episodes': [1, 1]}
                for h in (5, 8, 10, 14)]

    power, exponential = lock.fit(rows(lambda h: 3 * h ** 2)), lock.fit(rows(lambda h: 2.5 ** h))
    assert (power['degree'], power['degree_r2']) == (2.0, 1.0)
    assert (exponential['base'], exponential['base_r2']) == (2.5, 1.0)


def test_the_fit_leaves_out_horizons_that_few_seeds_solved():
    few = [{'horizon': h, 'mean': 10.0, 'solved': 1, 'episodes': [None] * 7 + [10]}
           for h in (5, 8, 10)]
    assert lock.fit(few) == {}


def test_the_benchmark_writes_claims_and_a_plot(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lock, 'BUDGET', 400)
    monkeypatch.setattr(lock, 'FAST_HORIZONS', (3, 4, 20))
    lock.main(['--fast', '--seeds', '2', '--out', str(tmp_path / 'new' / 'lock.json')])
    result = json.loads((tmp_path / 'new' / 'lock.json').read_text())
    assert len(result['rows']) == 3 * len(lock.METHODS)
    assert all(set(claim) == {'claim', 'value', 'goal', 'holds'} for claim in result['claims'])
    assert (tmp_path / 'new' / 'lock.png').read_bytes().startswith(b'\x89PNG')
    assert 'exploration transfer, H = 20' in capsys.readouterr().out


@pytest.mark.parametrize('arguments', [['--seeds', '0'], ['--seeds', 'x'], ['--unknown']])
def test_bad_arguments_are_refused_before_anything_runs(arguments, monkeypatch, capsys):
    monkeypatch.setattr(lock, 'measure', None)
    with pytest.raises(SystemExit) as refusal:
        lock.main(arguments)
    assert refusal.value.code == 2
    assert 'Traceback' not in capsys.readouterr().err
