from __future__ import annotations

from dataclasses import replace
import tracemalloc

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.learning.coverage import Coverage, FeatureMap
from robot_rl.learning.robot_coverage import (Comparison, EPISODES, LEAST_CELLS, LEAST_VARIANCE,
                                              RobotCoverage)

PUCK = load_contract('puck_push')
N, LENGTH = len(PUCK.layout), 50


def observations(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, N)).astype(np.float32)


def certificate(count: int = EPISODES * LENGTH) -> Coverage:
    seen = observations(count, 99)
    return Coverage.empty(FeatureMap.fit(PUCK, seen)).add(seen)


def monitor(episodes: list[np.ndarray], simulator: Coverage) -> RobotCoverage:
    found = RobotCoverage(PUCK)
    found.certify(simulator)
    for episode in episodes:
        found.add(episode, True)
    return found


def same(found: Coverage, expected: Coverage) -> bool:
    return (found.count == expected.count and np.array_equal(found.cells, expected.cells)
            and np.allclose(found.moment, expected.moment, rtol=1e-12))


def test_without_a_certificate_there_is_nothing_to_compare():
    found = RobotCoverage(PUCK)
    found.add(observations(5), True)
    assert found.comparison is None


def test_the_running_coverage_is_that_of_all_observations_at_once():
    simulator, found = certificate(), RobotCoverage(PUCK)
    found.certify(simulator)
    episodes = [(observations(LENGTH, seed), seed % 3 == 0) for seed in range(7)]
    for episode, explored in episodes:
        found.add(episode, explored)
    comparison, nothing = found.comparison, Coverage.empty(simulator.features)
    every = np.concatenate([episode for episode, _ in episodes])
    explored = np.concatenate([episode for episode, explored in episodes if explored])
    assert same(comparison.robot, nothing.add(every))
    assert same(comparison.explorers, nothing.add(explored))
    assert comparison.episodes == 3 and comparison.simulator is simulator


def test_episodes_from_before_the_certificate_count_and_a_new_one_counts_anew():
    early, late = RobotCoverage(PUCK), RobotCoverage(PUCK)
    late.certify(certificate(300))      # another grid
    early.certify(certificate())
    for seed in range(4):
        early.add(observations(LENGTH, seed), seed > 1)
        late.add(observations(LENGTH, seed), seed > 1)
    late.certify(certificate())
    assert early.comparison.summary() == late.comparison.summary()


def test_a_robot_that_covers_what_the_simulator_did_gives_no_warning():
    episodes = [observations(LENGTH, seed) for seed in range(EPISODES)]
    found = monitor(episodes, certificate()).comparison
    assert found.explorers.count == found.simulator.count and found.warning == ''


def test_a_direction_that_does_not_move_is_warned_of_after_enough_episodes():
    found = monitor([], certificate(10_000))        # far more than the robot will have made
    still = certificate().features.columns[-1]
    for seed in range(EPISODES):
        assert found.comparison.warning == ''
        episode = observations(LENGTH, seed)
        episode[:, still] = 0.0
        found.add(episode, True)
    warning = found.comparison.warning
    assert 'lambda_min' in warning and 'cells' not in warning
    assert 'domain randomisation' in warning and 'same units and frames' in warning


def test_units_that_are_not_the_simulators_are_warned_of_at_equal_counts():
    episodes = [1000.0 * observations(LENGTH, seed) for seed in range(EPISODES)]
    before = monitor(episodes, certificate(EPISODES * LENGTH + 1)).comparison
    assert before.warning == ''         # one observation short: cells may still be found
    found = monitor(episodes, certificate()).comparison
    assert f'cells {len(found.explorers.cells)} of {len(found.simulator.cells)}' in found.warning
    assert 'lambda_min' not in found.warning


def with_cells(count: int) -> Comparison:
    simulator = certificate()
    found = replace(simulator, cells=simulator.cells[:count])
    return Comparison(simulator, found, found, EPISODES)


def test_the_limit_of_cells_is_a_share_of_the_simulators():
    limit = int(np.ceil(LEAST_CELLS * len(certificate().cells)))
    assert with_cells(limit).warning == '' and 'cells' in with_cells(limit - 1).warning


@pytest.mark.parametrize(('share', 'warned'), [(1.01, False), (0.99, True)])
def test_the_limit_of_lambda_min_is_a_share_of_the_simulators(share, warned):
    simulator = certificate()
    found = replace(simulator, moment=share * LEAST_VARIANCE * simulator.moment)
    comparison = Comparison(simulator, found, found, EPISODES)
    assert ('lambda_min' in comparison.warning) == warned
    assert replace(comparison, episodes=EPISODES - 1).warning == ''


def test_episodes_that_no_explorer_ran_do_not_hide_what_explorers_miss():
    still = certificate().features.columns[0]
    found = monitor([], certificate())
    for seed in range(EPISODES):
        episode = observations(LENGTH, seed)
        found.add(episode.copy(), False)
        episode[:, still] = 0.0
        found.add(episode, True)
    comparison = found.comparison
    assert 'lambda_min' in comparison.warning
    assert comparison.robot.lambda_min > LEAST_VARIANCE * comparison.simulator.lambda_min


def test_the_figures_name_whose_they_are():
    comparison = monitor([observations(LENGTH)], certificate()).comparison
    figures = comparison.figures()
    for whose, coverage in (('simulator', comparison.simulator), ('robot', comparison.robot),
                            ('explorers', comparison.explorers)):
        assert {name: figures[f'coverage_{whose}_{name}'] for name in coverage.summary()} == (
            coverage.summary())
    summary = comparison.summary()
    assert summary['robot']['explorers'] == comparison.explorers.summary()
    assert summary['robot']['explorer_episodes'] == 1


def test_what_is_kept_of_many_episodes_is_one_block_of_memory():
    found, episodes = RobotCoverage(PUCK), [observations(10, seed) for seed in range(200)]
    tracemalloc.start()
    try:
        for episode in episodes:
            found.add(episode, True)
        arrays = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
    finally:
        tracemalloc.stop()
    assert len(arrays.traces) <= 2      # the table, and the last episode's columns
    simulator = certificate()
    found.certify(simulator)
    assert same(found.comparison.explorers, monitor(episodes, simulator).comparison.explorers)
