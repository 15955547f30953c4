"""Compiled updates beside eager ones, and where there is nothing to compile with."""

from __future__ import annotations

import os
import shutil

from demonstrators import demonstrator
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.transitions import Transitions
from robot_rl.learning.compiled import CACHE, compiled
from robot_rl.learning.config import KickstartConfig, LearnerConfig, SacConfig, SteerConfig
from robot_rl.learning.diffusion_policy import decode_demonstrator
from robot_rl.learning.kickstarting import Kickstarting
from robot_rl.learning.learner import Learner
from robot_rl.learning.sac import Batch, Sac
from robot_rl.learning.steering import Base, Steering
from robot_rl.learning.xqc import Xqc
import torch
from torch._dynamo.utils import counters
import torch._inductor.config

REACH = load_contract('reach')
N, M, K, R, B = 6, 2, 3, 2, 16
with_compiler = pytest.mark.skipif(not shutil.which('g++'), reason='needs g++')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return where these tests share what is compiled; nothing of before them is found."""
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(autouse=True)
def caching(monkeypatch, folder):
    monkeypatch.setenv('XDG_CACHE_HOME', str(folder))
    monkeypatch.delenv(CACHE, raising=False)
    torch._dynamo.reset()
    yield
    os.environ.pop(CACHE, None)     # compiled set it


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setattr(torch._inductor.config.cpp, 'cxx', ('no-such-compiler',))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))


def sac() -> Sac:
    return Sac(N, M, SacConfig(width=16, critics=3, learning_rate=1e-3))


def xqc() -> Xqc:
    return Xqc(N, M, SacConfig(width=16, depth=2, learning_rate=1e-3))


def kickstarting() -> Kickstarting:
    return Kickstarting(N, M, KickstartConfig(width=16, learning_rate=1e-3))


def steering() -> Steering:
    policy = decode_demonstrator(demonstrator(REACH, K, R, spread='latent'), REACH, 'made')
    return Steering(N, Base.of(policy, 'made'), SteerConfig(width=16, learning_rate=1e-3))


def batch(size: int) -> Batch:
    g = torch.Generator().manual_seed(1)
    return Batch(torch.randn(B, N, generator=g), 2 * torch.rand(B, size, generator=g) - 1,
                 torch.randn(B, generator=g), torch.randn(B, N, generator=g),
                 (torch.rand(B, generator=g) < 0.3).float())


def after(rule, start, given: Batch) -> dict[str, torch.Tensor]:
    g, state = torch.Generator().manual_seed(2), start
    for update in range(20):
        state, _ = rule.update(state, given, g, update % 2 == 1)
    return state.tensors()


@with_compiler
@pytest.mark.parametrize(('make', 'size'), [
    (sac, M), (kickstarting, M), (xqc, M), (steering, R * M)])
def test_compiled_updates_give_the_numbers_of_eager_ones(make, size, folder):
    rule, failures = make(), []
    start = rule.init(torch.Generator().manual_seed(0))
    expected = after(rule, start, batch(size))
    found = after(compiled(rule, failures.append), start, batch(size))
    assert not failures
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, rtol=1e-3, atol=2e-5), name
    moved = (expected['actor.value'] - start.actor.value).abs().max()
    assert moved > 1e-3                                 # what is compared is not the start
    assert any((folder / 'robot_rl' / 'compiled').rglob('*.so'))


def test_without_a_compiler_updates_are_eager_and_it_tells_why_once(no_compiler):
    rule, failures = sac(), []
    start = rule.init(torch.Generator().manual_seed(0))
    expected = after(rule, start, batch(M))
    found = after(compiled(rule, failures.append), start, batch(M))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert len(failures) == 1 and 'it goes on slower' in failures[0]


class Rule:
    """One of many, each with a number of its own."""

    def __init__(self, factor: float):
        self.factor = factor

    def step(self, value):
        return self.factor * value


@with_compiler
def test_nothing_that_runs_is_kept_where_others_may_write(folder):
    assert compiled(Rule(20.0), pytest.fail).step(torch.ones(1)) == 20
    kept = folder / 'robot_rl' / 'compiled'
    assert any(kept.rglob('*.so'))
    assert any((kept / 'headers').rglob('*.gch'))   # torch's default: /tmp, whatever we say


@with_compiler
def test_every_learner_of_a_process_is_compiled():
    failures, before = [], counters['stats']['unique_graphs']
    for number in range(12):                # torch compiles the same code 8 times at most
        assert compiled(Rule(number), failures.append).step(torch.ones(1)) == number
    assert not failures and counters['stats']['unique_graphs'] == before + 12


def test_the_rule_that_is_given_stays_eager():
    rule = sac()
    assert compiled(rule, print) is not rule
    assert rule.step.__func__ is Sac.step


def test_a_cache_that_the_user_names_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE, str(tmp_path / 'elsewhere'))
    rule = sac()
    rule.step = lambda value: torch.ones(1) * value
    assert compiled(rule, print).step(2.0) == 2.0
    assert os.environ[CACHE] == str(tmp_path / 'elsewhere')


def test_a_learner_that_cannot_compile_learns_the_same_and_says_why(no_compiler):
    learners = [Learner(REACH, LearnerConfig(start_transitions=20, batch=32, compiled=asked),
                        SacConfig(width=16)) for asked in (False, True)]
    rng = np.random.default_rng(0)
    columns = (rng.normal(size=(40, 6)), rng.uniform(-2.5, 2.5, (40, 2)), rng.normal(size=40),
               rng.normal(size=(40, 6)), np.zeros(40), np.zeros(40))
    experience = Transitions(*(np.asarray(column, np.float32) for column in columns))
    for learner in learners:
        learner.add('a', experience, 1)
        learner.train(learner.owed)
    plain, asked = learners
    assert not plain.not_compiled and 'goes on slower' in asked.not_compiled
    assert plain.actor() == asked.actor()
