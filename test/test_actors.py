from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from robot_rl.actors import (actor_of, DEMONSTRATOR, explorer_color, LEARNER, PERSON, RANDOM,
                             SIM_OPTIMAL, STOPPED)
from robot_rl.data.steps import Mode, Source, Status, Step


def step(mode: Mode, source: Source = Source.POLICY, version: int = 7) -> Step:
    return Step(0, 1, 0, Status.RUNNING, source, mode, version, False, np.zeros(2), np.zeros(1),
                np.zeros(1))


@pytest.mark.parametrize(('mode', 'source', 'name', 'color'), [
    (Mode.LEARN, Source.POLICY, 'learner, version 7', LEARNER),
    (Mode.EVALUATE, Source.POLICY, 'learner, version 7', LEARNER),
    (Mode.EXPLORE, Source.POLICY, 'explorer 7', explorer_color(7)),
    (Mode.EXPLORE, Source.RANDOM, 'chance, after explorer 7', RANDOM),
    (Mode.TRANSFER, Source.POLICY, 'sim-optimal policy, version 7', SIM_OPTIMAL),
    (Mode.DEMONSTRATE, Source.POLICY, 'demonstrator, version 7', DEMONSTRATOR),
    (Mode.RANDOM, Source.RANDOM, 'chance', RANDOM),
    (Mode.LEARN, Source.HUMAN, 'a person', PERSON),
    (Mode.SCRIPTED, Source.HUMAN, 'a person', PERSON),
    (Mode.EXPLORE, Source.SAFETY, 'nobody', STOPPED)])
def test_who_acts_has_a_name_and_a_colour(mode, source, name, color):
    actor = actor_of(step(mode, source))
    assert (actor.name, actor.color) == (name, color)


def test_the_first_explorers_and_all_others_differ_in_colour():
    colors = [LEARNER, DEMONSTRATOR, SIM_OPTIMAL, PERSON, RANDOM, STOPPED,
              *map(explorer_color, range(8))]
    assert min(np.abs(np.subtract(*pair)).max() for pair in combinations(colors, 2)) > 0.1


@pytest.mark.parametrize('number', range(64))
def test_the_colour_of_an_explorer_is_a_colour(number):
    assert all(0.0 <= part <= 1.0 for part in explorer_color(number))
