from __future__ import annotations

from robot_rl.vitals.company import ALONE, Company, PAUSE


def come(company: Company, begin: float, end: float) -> None:
    """Let it come ten times a second."""
    for tenth in range(round(begin * 10), round(end * 10) + 1):
        company.come(tenth / 10)


def test_what_goes_on_alone_is_told_after_a_while():
    company = Company()
    assert not company.alone(0.0)
    come(company, 5.0, 5.0 + ALONE - 0.1)
    assert not company.alone(5.0 + ALONE)
    company.come(5.0 + ALONE)
    assert company.alone(5.0 + ALONE)


def test_what_has_company_is_not_alone():
    company = Company()
    come(company, 5.0, 5.0 + ALONE)
    company.join()
    assert not company.alone(5.0 + ALONE)
    come(company, 8.0, 8.0 + ALONE)
    assert company.alone(8.0 + ALONE)


def test_what_has_ended_is_not_alone_any_more():
    company = Company()
    come(company, 5.0, 5.0 + ALONE)
    assert company.alone(5.0 + ALONE + PAUSE)
    assert not company.alone(5.1 + ALONE + PAUSE)


def test_now_and_then_is_not_going_on():
    company = Company()
    for count in range(10):
        company.come(count * (PAUSE + 0.1))
    assert not company.alone(9 * (PAUSE + 0.1))
