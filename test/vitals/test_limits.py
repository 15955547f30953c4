from __future__ import annotations

from math import inf, nan

import pytest
from robot_rl.vitals.limits import (at_least, at_most, ERROR, Finding, finite, OK, short, WARN,
                                    worst)


@pytest.mark.parametrize('found, level', [
    (inf, OK), (18.0, OK), (17.99999, OK), (17.9999, WARN), (10.0, WARN),
    (9.999995, WARN), (9.9999, ERROR), (0.0, ERROR), (-1.0, ERROR), (nan, ERROR)])
def test_at_least_holds_at_the_limit_and_not_a_millionth_below(found, level):
    assert at_least('rate', found, 18.0, 10.0).level == level


@pytest.mark.parametrize('found, level', [
    (-inf, OK), (0.0, OK), (25.0, OK), (25.00001, OK), (25.0001, WARN), (50.0, WARN),
    (50.00002, WARN), (50.001, ERROR), (inf, ERROR), (nan, ERROR)])
def test_at_most_holds_at_the_limit_and_not_a_millionth_above(found, level):
    assert at_most('tick', found, 25.0, 50.0).level == level


@pytest.mark.parametrize('judge', [at_least, at_most])
def test_a_limit_of_0_never_applies(judge):
    assert judge('figure', 5.0, 0.0, 0.0) == judge('figure', nan, 0.0) == Finding()


@pytest.mark.parametrize('judge', [at_least, at_most])
def test_what_is_not_known_is_not_judged(judge):
    assert judge('figure', None, 1.0, 1.0) == Finding()


def test_an_error_limit_alone_applies():
    assert at_most('tick', 51.0, 0.0, 50.0) == (ERROR, 'tick: 51, at most 50 expected')


def test_the_reason_names_figure_value_unit_and_limit():
    assert at_least('observation arm', 12.1, 18.0, 10.0, 'Hz') == (
        WARN, 'observation arm: 12.1 Hz, at least 18 expected')
    assert at_most('tick p99', 61.04, 25.0, 50.0, 'ms') == (
        ERROR, 'tick p99: 61 ms, at most 50 expected')


def test_value_and_limit_never_look_the_same():
    assert at_least('rate', 17.999, 18.0).reason == 'rate: 17.999, at least 18 expected'
    assert at_least('rate', 17.99998, 18.0).reason == 'rate: 17.99998, at least 18 expected'


@pytest.mark.parametrize('value, text', [
    (0.0, '0'), (12.14, '12.1'), (999.4, '999'), (1000.0, '1000'), (52345.6, '52346'),
    (-52345.6, '-52346'), (0.01234, '0.0123'), (1e15, '1e+15'), (nan, 'nan'), (-inf, '-inf')])
def test_a_number_is_short_and_has_every_digit_before_its_point(value, text):
    assert short(value) == text


@pytest.mark.parametrize('found, level', [(1e300, OK), (nan, ERROR), (inf, ERROR), (-inf, ERROR)])
def test_only_finite_numbers_are_of_use(found, level):
    assert finite('critic_loss', found).level == level


def test_what_is_not_finite_is_named():
    assert finite('critic_loss', nan).reason == 'critic_loss: nan, a finite number expected'


def test_the_worst_decides_and_every_reason_is_told_the_worst_first():
    assert worst([]) == worst([Finding()]) == Finding()
    assert worst([Finding(WARN, 'a'), Finding(), Finding(ERROR, 'b'), Finding(WARN, 'c')]) == (
        ERROR, 'b; a; c')
