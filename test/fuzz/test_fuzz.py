"""Mutants of good inputs, and what once got through: nothing but the declared errors."""

from __future__ import annotations

import os
from pathlib import Path

from fuzzing import fuzz, mutate, Result, Target, try_input
import pytest
from targets import TARGETS

INPUTS = int(os.environ.get('ROBOT_RL_FUZZ', '400'))
CORPUS = sorted(path for path in (Path(__file__).parent / 'corpus').rglob('*') if path.is_file())
ANY_TARGET = pytest.mark.parametrize('name', TARGETS)
# A float64 that no float32 holds, in a reward's arithmetic: refused later, with its reason.
pytestmark = pytest.mark.filterwarnings('ignore::RuntimeWarning')


@pytest.fixture
def target(tmp_path):
    def find(name: str) -> Target:
        if name == 'robomimic':
            pytest.importorskip('h5py')
        return TARGETS[name](tmp_path)
    return find


@ANY_TARGET
def test_the_good_inputs_are_taken(target, name):
    found, result = target(name), Result()
    for data in found.seeds:
        try_input(found, data, result)
    assert not result.crashes and result.accepted == len(found.seeds), result


@ANY_TARGET
def test_mutants_meet_declared_errors_only(target, name):
    result = fuzz(target(name), INPUTS, seed=name)
    assert not result.crashes, result.crashes[0]
    assert 0 < result.accepted < result.inputs == INPUTS


@pytest.mark.parametrize('path', CORPUS, ids=lambda path: f'{path.parent.name}/{path.name}')
def test_what_once_got_through_is_refused(target, path):
    found, result = target(path.parent.name), Result()
    try_input(found, path.read_bytes(), result)
    assert not result.crashes, result.crashes
    assert result.errors.total() == 1


def test_the_same_seed_gives_the_same_mutants():
    seen = []
    fuzz(Target(seen.append, (b'some text: [1, 2]',), ()), 100, seed=3)
    first = seen[:]
    seen.clear()
    fuzz(Target(seen.append, (b'some text: [1, 2]',), ()), 100, seed=3)
    assert seen == first and len(set(seen)) > 80


def test_an_undeclared_error_is_a_crash_and_kept():
    result = fuzz(Target(lambda data: data.decode('ascii'), (b'abc',), (KeyError,)), 200)
    assert result.crashes and 'UnicodeDecodeError' in result.crashes[0][1]
    with pytest.raises(UnicodeDecodeError):
        result.crashes[0][0].decode('ascii')


def test_an_empty_input_can_be_mutated():
    import random

    rng = random.Random(0)
    assert {mutate(b'', rng)[:1] for _ in range(200)} > {b'', b'{'}
