from __future__ import annotations

from math import nan
import os
import time
from types import SimpleNamespace

import pytest
from robot_rl.learning.trainer import Progress
from robot_rl.vitals.learning import LearningVitals
from robot_rl.vitals.limits import ERROR, OK, WARN, worst

LIMITS = SimpleNamespace(warn_behind=300.0, error_behind=3000.0, warn_transition_age=60.0,
                         warn_unsaved=1800.0)


def look(vitals, now: float = 0.0, **progress):
    """Return (level, reason, figures)."""
    [found] = vitals.parts(LIMITS, now, Progress(**progress))
    return *worst(found.findings), found.values


def saved(folder, updates: int, age: float):
    path = folder / f'checkpoint_{updates:09d}.safetensors'
    path.write_bytes(b'')
    os.utime(path, (time.time() - age,) * 2)


@pytest.mark.parametrize('owed, level', [(3000, OK), (3001, WARN), (30001, ERROR)])
def test_what_is_owed_is_told_as_time(tmp_path, owed, level):
    found, _, figures = look(LearningVitals(tmp_path), owed=owed, updates_per_second=10.0)
    assert (found, figures['behind_s']) == (level, owed / 10.0)


def test_the_ratio_that_was_reached_is_updates_per_transition_of_the_robot(tmp_path):
    figures = look(LearningVitals(tmp_path), updates=300, transitions_trained_on=400)[2]
    assert figures['updates_per_transition'] == 0.75
    assert look(LearningVitals(tmp_path))[2]['updates_per_transition'] is None


def test_the_age_of_the_newest_transition_begins_when_it_comes(tmp_path):
    vitals = LearningVitals(tmp_path)
    assert look(vitals, 0.0)[2]['newest_transition_age_s'] is None
    assert look(vitals, 5.0, transitions_received=6)[2]['newest_transition_age_s'] == 0.0
    level, reason, _ = look(vitals, 66.0, transitions_received=6)
    assert (level, reason) == (WARN, 'age of the newest transition: 61 s, at most 60 expected')
    assert look(vitals, 67.0, transitions_received=7)[0] == OK


def test_the_newest_checkpoint_is_told_and_its_age(tmp_path):
    saved(tmp_path, 9000, age=1.0)
    saved(tmp_path, 10_000, age=50.0)
    figures = look(LearningVitals(tmp_path), updates=10_000)[2]
    assert figures['checkpoint_updates'] == 10_000
    assert figures['checkpoint_age_s'] == pytest.approx(50.0, abs=5.0)


@pytest.mark.parametrize('updates, age, level', [
    (500, 9999.0, OK), (501, 1000.0, OK), (501, 9999.0, WARN)])
def test_updates_that_no_checkpoint_has_warn_after_a_while(tmp_path, updates, age, level):
    saved(tmp_path, 500, age)
    vitals = LearningVitals(tmp_path)
    assert look(vitals, 0.0, updates=updates)[0] == OK      # not at the start of a learner
    assert look(vitals, 2000.0, updates=updates)[0] == level


def test_updates_without_any_checkpoint_warn_too(tmp_path):
    vitals = LearningVitals(tmp_path / 'nowhere')
    look(vitals, 0.0, updates=1)
    level, reason, figures = look(vitals, 1801.0, updates=900)
    assert (level, figures['checkpoint_age_s']) == (WARN, None)
    assert reason == 'updates not in a checkpoint for: 1801 s, at most 1800 expected'


def test_losses_that_are_not_finite_are_an_error(tmp_path):
    level, reason, figures = look(LearningVitals(tmp_path), metrics=(('critic_loss', nan),
                                                                     ('entropy', 1.0)))
    assert (level, reason) == (ERROR, 'critic_loss: nan, a finite number expected')
    assert figures['entropy'] == 1.0


def test_a_file_of_a_stranger_is_no_checkpoint(tmp_path):
    (tmp_path / 'checkpoint_mine.safetensors').write_bytes(b'')
    assert look(LearningVitals(tmp_path))[2]['checkpoint_age_s'] is None
