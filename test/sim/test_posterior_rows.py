from __future__ import annotations

from math import inf
from types import SimpleNamespace

import pytest
from robot_rl.sim.posterior_cells import FitCell, TuneCell
from robot_rl.sim.posterior_rows import (check, fitted, median_interval, ratio, standard_error,
                                         steps_in_time, steps_to_goal, summarise, tuned)
from robot_rl.sim.trial import Budget


def fit_row(successes: int, covered=(0.5, 0.8, 0.9, 0.95), measured: int = 100) -> dict:
    return {'successes': successes, 'measured': measured, 'covered': list(covered),
            'alpha': 1.0, 'wall_seconds': 60.0}


def tune_row(*shares: float, final: float | None = None, seconds: float = 60.0) -> dict:
    """Return a trial with a measurement per 5 episodes of 80 steps."""
    curve = [{'episodes': 5 * index, 'steps': 400 * index, 'successes': round(50 * share),
              'measured': 50} for index, share in enumerate(shares)]
    final = shares[-1] if final is None else final
    last = {**curve[-1], 'successes': round(100 * final), 'measured': 100}
    return {'curve': curve, 'final': last, 'wall_seconds': seconds}


def cell(method: str, demos: int = 10, seed: int = 0, task: str = 'puck_push') -> FitCell:
    return FitCell(task, method, demos, seed, 100)


def tune(fit: FitCell) -> TuneCell:
    return TuneCell(fit, 'steer', Budget())


def run(found: dict, failed: tuple = ()) -> SimpleNamespace:
    """Return what the rows read of a folder of cells."""
    return SimpleNamespace(cells=[*found, *failed], found=found)


def claims(found: dict) -> dict[str, dict]:
    """Return the claims by what comes after the task and its demonstrations."""
    folder = run(found)
    return {claim['claim'].partition(': ')[2]: claim
            for claim in check(folder, *summarise(folder))}


@pytest.mark.parametrize(('shares', 'final', 'steps'), [
    ((0.2, 0.9, 0.92), 0.9, 400), ((0.2, 0.9, 0.8, 0.9, 0.96), 0.9, 1200),
    ((0.2, 0.5, 0.9), 0.9, 800), ((0.2, 0.5, 0.9), 0.89, inf), ((0.95, 0.9), 0.9, 0),
    ((0.2, 0.88), 0.99, inf)])
def test_the_goal_is_reached_where_two_measurements_in_a_row_come_to_it(shares, final, steps):
    assert steps_to_goal(tune_row(*shares, final=final)) == steps


@pytest.mark.parametrize(('count', 'rank'), [(1, 0), (4, 0), (5, 0), (7, 0), (8, 1), (11, 2),
                                             (13, 3)])
def test_the_interval_of_a_median_is_that_of_the_binomial(count, rank):
    values = [float(value) for value in range(count)]
    assert median_interval(values[::-1]) == (rank, count - 1 - rank)


def test_the_error_of_one_seed_is_that_of_its_episodes():
    assert standard_error([0.5], 100) == pytest.approx(0.05)
    assert standard_error([0.4, 0.6], 100) == pytest.approx(0.1)


def test_fits_are_taken_together_over_their_seeds():
    row = fitted([fit_row(20), fit_row(40, covered=(0.1, 0.2, 0.3, 0.35))])
    assert (row['success'], row['measured'], row['seeds']) == (0.3, 200, 2)
    assert row['covered'] == pytest.approx([0.3, 0.5, 0.6, 0.65])
    assert row['interval'][0] < 0.3 < row['interval'][1]


def test_a_seed_that_failed_or_never_arrived_counts_as_unsolved():
    row = tuned([tune_row(0.2, 0.9, 0.9), tune_row(0.2, 0.4, 0.4), None])
    assert (row['solved'], row['seeds'], row['steps']) == (1, 3, [400, None, None])
    assert row['median'] is None and row['spent'] == 800
    assert row['interval'] == [400, None]


def test_rows_name_what_they_are_of_and_cells_that_failed_are_no_fits():
    folder = run({cell('bc'): fit_row(30), tune(cell('bc')): tune_row(0.3, 0.9, 0.9)},
                 (cell('bc', seed=1), tune(cell('bc', seed=1)), cell('postbc')))
    (fit,), (steered,) = summarise(folder)
    assert (fit['method'], fit['demos'], fit['seeds']) == ('bc', 10, 1)
    assert (steered['tuner'], steered['solved'], steered['seeds']) == ('steer', 1, 2)


@pytest.mark.parametrize(('successes', 'holds'), [(60, True), (42, True), (38, False)])
def test_the_posterior_may_be_one_standard_error_below_bc(successes, holds):
    found = claims({cell('bc', seed=0): fit_row(40), cell('bc', seed=1): fit_row(60),
                    cell('postbc', seed=0): fit_row(successes),
                    cell('postbc', seed=1): fit_row(successes)})
    assert found['pretrained success of postbc, not below bc']['holds'] is holds


@pytest.mark.parametrize(('share', 'cloned', 'holds'), [
    (0.9, 0.4, True), (0.84, 0.4, False), (0.96, 0.4, False), (0.9, 0.9, False)])
def test_regions_of_the_posterior_hold_what_they_say_and_those_of_bc_do_not(share, cloned, holds):
    found = claims({cell('bc'): fit_row(40, (0.1, 0.2, cloned, 0.9)),
                    cell('postbc'): fit_row(40, (0.5, 0.8, share, 0.99))})
    assert found['actions in the 90 % regions']['holds'] is holds


@pytest.mark.parametrize(('successes', 'holds'), [(95, True), (80, False)])
def test_with_all_demonstrations_bc_and_the_posterior_coincide(successes, holds):
    found = claims({cell('bc', 0): fit_row(95), cell('postbc', 0): fit_row(successes)})
    assert found['pretrained success coincides']['holds'] is holds
    assert 'pretrained success coincides' not in claims(
        {cell('bc'): fit_row(95), cell('postbc'): fit_row(95)})


@pytest.mark.parametrize(('post', 'other', 'value', 'holds'), [
    (400, 800, '0.50', True), (401, 800, '0.50', False), (400, None, '<= 0.20', True),
    (1600, None, '<= 0.80', False), (None, 800, 'never in 2000', False),
    (None, None, 'never in 2000', False), (0, 0, '0 of 0 steps', True),
    (400, 0, '400 of 0 steps', False)])
def test_what_never_came_took_longer_than_all_that_was_spent(post, other, value, holds):
    rows = [{'median': median, 'spent': 2000} for median in (post, other)]
    assert ratio(*rows, 0.5) == (value, '<= 0.5', holds)


def test_robot_steps_are_claimed_against_both_clones_where_demonstrations_are_few():
    found = {}
    for method, good in (('bc', 4), ('sigma_bc', 2), ('postbc', 1)):
        for demos in (10, 0):
            fit = cell(method, demos)
            found[fit] = fit_row(30)
            found[tune(fit)] = tune_row(*[0.6] * good, 0.9, 0.9)
    held = {name: (claim['value'], claim['holds']) for name, claim in claims(found).items()
            if name.startswith('robot steps')}
    assert held == {'robot steps to 0.9, of those of bc': ('0.25', True),
                    'robot steps to 0.9, of those of sigma_bc': ('0.50', True)}


@pytest.mark.parametrize(('shares', 'seconds', 'holds'), [
    ((0.3, 0.9, 0.9), 60, True), ((0.3, *[0.6] * 9, 0.9, 0.9), 60, True),
    ((0.3, *[0.6] * 10, 0.9, 0.9), 60, False), ((0.3, 0.9, 0.9), 1801, False)])
def test_steering_has_so_many_steps_and_minutes(shares, seconds, holds):
    assert steps_in_time(tune_row(*shares, seconds=seconds)) is holds


@pytest.mark.parametrize(('base', 'claimed'), [(0.1, False), (0.2, True), (0.5, True),
                                               (0.6, False)])
def test_only_an_imperfect_base_is_there_to_be_repaired(base, claimed):
    fit = cell('postbc')
    found = claims({fit: fit_row(30), tune(fit): tune_row(base, 0.9, 0.9)})
    assert any('steering takes a base' in name for name in found) is claimed
