from __future__ import annotations

from dataclasses import replace
import itertools
import json

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile, UserError
from robot_rl.learning.coverage import (Coverage, feature_names, FeatureMap, MAX_CELLS,
                                        read_coverage, RIDGE, select)

REACH, PUCK = load_contract('reach'), load_contract('puck_push')
N = len(PUCK.layout)


def observations(count: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, N)) * np.arange(1, N + 1)


def features() -> FeatureMap:
    return FeatureMap.fit(PUCK, observations(5000, 9))


def naming(*names: str):
    return replace(PUCK, simulation=replace(PUCK.simulation, features=names))


def test_features_are_what_is_not_of_the_arms_joints():
    assert feature_names(REACH) == ('tip.point.x', 'tip.point.y')
    assert feature_names(PUCK) == ('tip.point.x', 'tip.point.y', 'puck.pose.position.x',
                                   'puck.pose.position.y')


def test_without_the_simulator_the_features_are_the_same():
    assert feature_names(replace(PUCK, simulation=None)) == feature_names(PUCK)


def test_an_arm_that_sees_nothing_but_its_joints_has_those_as_features():
    alone = replace(REACH, observations=REACH.observations[:1])
    assert feature_names(alone) == alone.layout.names


def test_a_contract_names_its_features_in_the_order_of_the_observation():
    assert feature_names(naming('puck', 'arm.position.wrist')) == (
        'arm.position.wrist', 'puck.pose.position.x', 'puck.pose.position.y')


def test_a_feature_that_is_not_observed_is_refused_by_name(tmp_path):
    text = PUCK.text.replace('simulation:', 'simulation:\n  features: [puck, ball]', 1)
    (tmp_path / 'x.yaml').write_text(text)
    with pytest.raises(InvalidFile, match=r"simulation\.features: .*found 'ball'"):
        load_contract(tmp_path / 'x.yaml')


def test_features_read_from_a_file_are_used(tmp_path):
    text = PUCK.text.replace('simulation:', 'simulation:\n  features: [puck.pose]', 1)
    (tmp_path / 'x.yaml').write_text(text)
    assert feature_names(load_contract(tmp_path / 'x.yaml')) == (
        'puck.pose.position.x', 'puck.pose.position.y')


def test_more_features_than_a_grid_can_have_are_refused_with_advice():
    wide = replace(PUCK, observations=PUCK.observations * 2)
    with pytest.raises(UserError, match='simulation.features: expected at most 13 numbers'):
        FeatureMap.fit(replace(wide, simulation=replace(PUCK.simulation, features=wide.layout.names
                                                        )), np.zeros((2, 2 * N)))


def test_the_features_of_the_data_they_were_fitted_to_are_standard():
    phi = features()(observations(5000, 9))
    assert np.allclose(phi.mean(axis=0), 0) and np.allclose(phi.std(axis=0), 1)


def test_the_grid_never_has_more_cells_than_a_manifest_can_hold():
    for names in (('puck',), ('puck', 'tip'), ('puck', 'tip', 'arm')):
        found = FeatureMap.fit(naming(*names), observations())
        assert 2 <= found.bins and found.bins ** len(found.names) <= MAX_CELLS


def test_what_lies_beyond_the_grid_counts_to_its_last_cells():
    found = features()
    far = np.full((1, N), 1e9)
    assert found.cells(far).tolist() == [found.bins ** 4 - 1]
    assert found.cells(-far).tolist() == [0]


def test_one_cell_is_one_place_on_the_grid():
    found = features()
    here = found.low + (np.array([3, 1, 4, 1]) + 0.5) * (found.high - found.low) / found.bins
    row = np.zeros((1, N))
    row[0, found.columns] = here
    assert found.cells(row).tolist() == [3 + found.bins + 4 * found.bins ** 2 + found.bins ** 3]


def test_a_certificate_of_parts_is_that_of_the_whole():
    whole = Coverage.empty(features()).add(observations())
    parts = Coverage.empty(features())
    for part in np.split(observations(), 8):
        parts = parts.add(part)
    left = Coverage.empty(features()).add(observations()[:90])
    merged = left.merge(Coverage.empty(features()).add(observations()[90:]))
    for found in (parts, merged):
        assert found.count == 200 and found.cells.tolist() == whole.cells.tolist()
        assert np.allclose(found.moment, whole.moment)


def test_the_covariance_is_the_mean_outer_product_of_the_features():
    phi = features()(observations())
    found = Coverage.empty(features()).add(observations())
    assert np.allclose(found.covariance, phi.T @ phi / 200)
    assert np.isclose(found.lambda_min, np.linalg.eigvalsh(phi.T @ phi / 200)[0])
    expected = np.log(np.linalg.det(found.covariance + RIDGE * np.eye(4)))
    assert np.isclose(found.log_det, expected)


def test_nothing_covers_nothing():
    found = Coverage.empty(features())
    assert found.summary() == {'observations': 0, 'cells': 0, 'fraction': 0.0, 'lambda_min': 0.0,
                               'log_det': pytest.approx(4 * np.log(RIDGE))}


def test_standing_still_covers_one_cell_and_no_direction():
    found = Coverage.empty(features()).add(np.tile(features().mean.mean(), (50, N)))
    assert len(found.cells) == 1 and found.lambda_min == pytest.approx(0.0, abs=1e-9)


def test_certificates_of_different_grids_are_not_merged():
    other = FeatureMap.fit(PUCK, observations(5000, 8))
    with pytest.raises(UserError, match='same features and grid'):
        Coverage.empty(features()).merge(Coverage.empty(other))


def test_a_certificate_survives_json():
    sent = Coverage.empty(features()).add(observations())
    found = read_coverage(json.loads(json.dumps(sent.numbers())), PUCK, 'x')
    assert found.numbers() == sent.numbers()
    assert found.merge(sent).count == 400


def damaged(**changes) -> dict:
    numbers = Coverage.empty(features()).add(observations()).numbers()
    scales = {key: changes.pop(key) for key in list(changes) if key in numbers['features']}
    return numbers | changes | {'features': numbers['features'] | scales}


@pytest.mark.parametrize('numbers', [
    None, [], {}, damaged(count=-1), damaged(count=True), damaged(cells=[3, 3]),
    damaged(cells=[10_000]), damaged(cells=[-1]), damaged(cells=[1 << 70]), damaged(cells='x'),
    damaged(cells=[0.5]), damaged(moment=[[1.0]]), damaged(moment=(-np.eye(4)).tolist()),
    damaged(moment=np.tri(4).tolist()), damaged(names=['a'] * 4), damaged(std=[0.0] * 4),
    damaged(std=[1e-9] * 4), damaged(mean=[1e39] * 4),
    damaged(std=[1.0, 1.0, 1.0, float('nan')]), damaged(low=[1e9] * 4), damaged(mean=[0.0])])
def test_a_damaged_certificate_is_refused_naming_the_source(numbers):
    with pytest.raises(UserError, match='x: coverage: not a certificate of this contract'):
        read_coverage(numbers, PUCK, 'x')


def moments(count: int, seed: int, d: int = 3) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 2, d))
    return np.einsum('pki,pkj->pij', rows, rows)


def gain(chosen, ridge: float = RIDGE) -> float:
    empty = ridge * np.eye(chosen.shape[-1])
    return np.linalg.slogdet(empty + chosen.sum(axis=0))[1] - np.linalg.slogdet(empty)[1]


@pytest.mark.parametrize('seed', range(10))
def test_selection_reaches_its_bound_against_every_subset(seed):
    every = moments(8, seed)
    for k in (1, 2, 3, 4):
        best = max(gain(every[list(subset)]) for subset in itertools.combinations(range(8), k))
        found = gain(every[select(every, k)])
        assert (1 - 1 / np.e) * best <= found <= best + 1e-9
        assert k > 1 or found == pytest.approx(best)


def test_each_choice_is_the_one_that_gains_most():
    every = moments(30, 1)
    chosen = select(every, 6)
    for k in range(6):
        gains = [gain(every[[*chosen[:k], index]]) for index in range(30)]
        assert gains[chosen[k]] == pytest.approx(max(
            gains[index] for index in range(30) if index not in chosen[:k]))


def test_selection_prefers_a_new_direction_to_more_of_the_same():
    big, same, new = np.diag([9.0, 0.0]), np.diag([9.0, 0.0]), np.diag([0.0, 0.1])
    assert select(np.array([big, same, new]), 2) == [0, 2]


def test_no_policy_is_selected_twice_and_few_are_all_taken():
    assert sorted(select(moments(3, 0), 9)) == [0, 1, 2]
    assert select(moments(3, 0), 0) == [] and select(np.zeros((0, 3, 3)), 2) == []
