"""SAC held near its start: the penalty exactly, its decay, and what a checkpoint keeps of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from robot_rl.learning.config import KickstartConfig, SacConfig
from robot_rl.learning.kickstarting import CALM, HALVED, Kickstarting, KickstartState
from robot_rl.learning.sac import Batch, Sac
import torch

N, M, B = 5, 2, 64


def kickstarting(**changes) -> Kickstarting:
    return Kickstarting(N, M, KickstartConfig(width=16, **changes))


def fresh(rule: Sac, seed: int = 0):
    return rule.init(torch.Generator().manual_seed(seed))


def batch() -> Batch:
    g = torch.Generator().manual_seed(1)
    return Batch(torch.randn(B, N, generator=g), 2 * torch.rand(B, M, generator=g) - 1,
                 torch.randn(B, generator=g), torch.randn(B, N, generator=g), torch.zeros(B))


def after(rule: Sac, state, updates: int):
    g = torch.Generator().manual_seed(2)
    for _ in range(updates):
        state, _ = rule.update(state, batch(), g, True)
    return state


def modes(rule: Sac, actor: torch.Tensor) -> torch.Tensor:
    return torch.tanh(rule.distribution(actor, batch().observation)[0])


def left(rule: Kickstarting, updates: int) -> float:
    """Return how far the actor goes from its teacher in so many updates."""
    state = after(rule, fresh(rule), updates)
    return float((modes(rule, state.actor.value) - modes(rule, state.teacher)).abs().mean())


def test_the_penalty_is_the_squared_distance_of_the_modes_per_value_and_halves():
    rule, value = kickstarting(teacher_weight=0.7), torch.tensor([-3.0, 5.0])
    state, other = fresh(rule), fresh(rule, 1).actor.value
    seen = batch().observation
    apart = ((modes(rule, other) - modes(rule, state.actor.value)) ** 2).sum(-1).mean()
    assert apart > 0.01
    for updates, share in ((0.0, 1.0), (HALVED, 0.5), (3 * HALVED, 0.125)):
        found = rule.penalty(replace(state, actor_updates=torch.tensor(updates)), other, seen,
                             value)
        assert float(found) == pytest.approx(0.7 * 4.0 * share * float(apart), rel=1e-5)
    assert rule.penalty(state, state.teacher, seen, value) == 0.0


def test_who_is_not_held_learns_as_sac_does_to_the_bit():
    free, sac = kickstarting(teacher_weight=0.0), Sac(N, M, SacConfig(width=16))
    start = fresh(sac)
    assert torch.equal(start.actor.value, fresh(free).actor.value)
    held = KickstartState(**vars(start), teacher=fresh(sac, 1).actor.value)
    expected, found = after(sac, start, 5), after(free, held, 5)
    for name, tensor in expected.tensors().items():
        assert torch.equal(found.tensors()[name], tensor), name


def test_the_teacher_holds_the_actor():
    assert left(kickstarting(teacher_weight=10.0), 100) < 0.3 * left(
        kickstarting(teacher_weight=0.0), 100)


def test_a_start_becomes_the_teacher_and_stays_it():
    rule = kickstarting()
    start = fresh(rule, 1).actor.value
    state = rule.begin(fresh(rule), start)
    assert torch.equal(state.actor.value, start) and not state.actor.mean.any()
    learned = after(rule, state, 3)
    assert torch.equal(learned.teacher, start)
    assert not torch.equal(learned.actor.value, start)


def test_it_begins_calm():
    held, sac = fresh(kickstarting()), fresh(Sac(N, M, SacConfig(width=16)))
    assert torch.allclose(held.temperature.value.exp(), CALM * sac.temperature.value.exp())


def test_a_state_is_taken_apart_and_rebuilt():
    state = after(kickstarting(), fresh(kickstarting()), 2)
    rebuilt = KickstartState.from_tensors(state.tensors())
    assert all(torch.equal(tensor, rebuilt.tensors()[name])
               for name, tensor in state.tensors().items())
