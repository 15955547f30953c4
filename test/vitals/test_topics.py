from __future__ import annotations

from types import SimpleNamespace

import pytest
from robot_rl.contract import load_contract
from robot_rl.vitals.limits import ERROR, OK, WARN, worst
from robot_rl.vitals.topics import Hearing, Needed, needed_rate


@pytest.mark.parametrize('max_age, rate', [(0.1, 20.0), (0.5, 4.0), (0.05, 20.0)])
def test_two_messages_within_max_age_are_needed_but_none_beyond_the_control_rate(max_age, rate):
    assert needed_rate(SimpleNamespace(max_age=max_age), 20.0) == rate


def test_every_entry_of_a_contract_has_a_rate_that_it_needs():
    contract = load_contract('puck_push')
    rates = [needed_rate(entry, contract.control_rate) for entry in contract.inputs]
    assert all(0.0 < rate <= contract.control_rate for rate in rates)


START = 1_700_000_000_000_000_000       # ns


def at(seconds: float) -> int:
    return START + round(seconds * 1e9)


def heard(rate: int, until: float) -> Hearing:
    """Return what heard a topic that needs 20 Hz at some rate, looked at each second."""
    hearing = Hearing('topic', [Needed('arm', 20.0, 0.1), Needed('other')])
    for index in range(int(until * rate) + 1):
        if index % rate == 0:
            hearing.look(START + index * 10 ** 9 // rate, 0.9, 0.5)
        hearing.heard(0, START + index * 10 ** 9 // rate)
    return hearing


@pytest.mark.parametrize('rate, level', [(20, OK), (18, OK), (17, WARN), (10, WARN), (9, ERROR)])
def test_a_rate_is_held_against_its_share_of_what_is_needed(rate, level):
    _, findings = heard(rate, 10.0).look(at(10.0), 0.9, 0.5)
    assert worst(findings).level == level


def test_the_reason_names_the_topic():
    _, findings = heard(17, 10.0).look(at(10.0), 0.9, 0.5)
    assert worst(findings).reason == 'topic arm: 17 Hz, at least 18 expected'


@pytest.mark.parametrize('share, level', [(2.0, WARN), (2.5, OK), (0.0, OK)])
def test_a_silence_is_held_against_its_share_of_what_is_allowed(share, level):
    _, findings = heard(20, 10.0).look(at(10.25), 0.0, 0.0, share)
    assert worst(findings).level == level


def test_what_never_came_counts_as_no_rate_after_ten_seconds():
    hearing = Hearing('topic', [Needed('arm', 20.0), Needed('other')])
    assert worst(hearing.look(at(100.0), 0.9, 0.5)[1]).level == OK
    assert worst(hearing.look(at(109.9), 0.9, 0.5)[1]).level == OK
    assert worst(hearing.look(at(110.0), 0.9, 0.5)[1]) == (
        ERROR, 'topic arm: 0 Hz, at least 10 expected')


def test_figures_are_told_of_every_topic_also_of_those_that_nobody_judges():
    values, findings = heard(20, 10.0).look(at(10.0), 0.9, 0.5)
    assert values['rate_hz arm'] == pytest.approx(20.0) and values['age_s arm'] == 0.0
    assert {key.partition(' ')[2] for key in values} == {'arm', 'other'}
    assert worst(findings).level == OK


def test_what_comes_before_a_simulated_clock_begins_does_not_count():
    hearing = Hearing('topic', [Needed('arm', 20.0, 0.1)])
    hearing.heard(0, 0)
    assert hearing.look(0, 0.9, 0.5, 1.0) == ({}, [])
    for index in range(41):
        hearing.heard(0, START + index * 50_000_000)
    values, findings = hearing.look(at(2.0), 0.9, 0.5, 1.0)
    assert values['rate_hz arm'] == 20.0 and worst(findings).level == OK


def test_a_clock_that_falls_back_begins_anew():
    hearing = heard(20, 10.0)
    for index in range(41):
        hearing.heard(0, 1 + index * 50_000_000)
    values, findings = hearing.look(1 + 2_000_000_000, 0.9, 0.5, 1.0)
    assert values['rate_hz arm'] == 20.0 and worst(findings).level == OK
