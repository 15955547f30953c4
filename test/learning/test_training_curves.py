"""What a training run leaves of itself over time."""

from __future__ import annotations

from dataclasses import replace
import time

from demonstrators import demonstrator
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.curves import read_curves
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.transitions import Transitions
from robot_rl.learning import training_curves
from robot_rl.learning.config import LearnerConfig, SacConfig
from robot_rl.learning.learner import Learner
from robot_rl.learning.trainer import Progress, Trainer, TrainerSettings
from robot_rl.learning.training_curves import expectation, TrainingCurves

REACH = load_contract('reach')
LENGTH = 10
DISCOUNT = 0.5


def learner(**config) -> Learner:
    return Learner(REACH, LearnerConfig(start_transitions=20, batch=16, utd_ratio=1.0, **config),
                   SacConfig(width=8, discount=DISCOUNT))


def record(number: int, total: int = 0, mode: str = 'learn', outcome: str = 'truncated'
           ) -> EpisodeRecord:
    rng = np.random.default_rng(number)
    n, m = len(REACH.layout), len(REACH.action.layout)
    columns = (rng.normal(size=(LENGTH, n)), rng.uniform(-1, 1, (LENGTH, m)),
               np.full(LENGTH, -float(number)), rng.normal(size=(LENGTH, n)), np.zeros(LENGTH),
               np.zeros(LENGTH))
    transitions = Transitions(*(column.astype(np.float32) for column in columns))
    return EpisodeRecord(f'episode_{number}', number, total or number, transitions, outcome, '',
                         's', 1000 * number, mode, 0)


def run(folder, records, curves=None) -> tuple[Trainer, list]:
    """Have a trainer learn all it is given; return it once it has ended, and its events."""
    events = []
    trainer = Trainer(learner(), TrainerSettings(folder, curves=curves or folder / 'curves'),
                      lambda data: None, lambda text: None,
                      lambda kind, values: events.append(kind))
    trainer.train(True)
    trainer.start()
    wanted = LENGTH * len(records)
    for one in records:
        trainer.receive(encode_episode(one, REACH))
    deadline = time.monotonic() + 20.0
    while trainer.progress.updates < wanted:
        assert trainer.alive and time.monotonic() < deadline, trainer.progress
        time.sleep(0.002)
    trainer.close()
    return trainer, events


def test_a_trainer_leaves_curves_up_to_its_last_update(tmp_path):
    trainer, _ = run(tmp_path, [record(1), record(2, outcome='success'), record(3)])
    found = read_curves(tmp_path / 'curves')
    last = {name: (curve.steps[-1], curve.values[-1]) for name, curve in found.items()}
    for name, value in trainer.progress.metrics:
        assert last[f'learner/{name}'] == (30, pytest.approx(value, rel=1e-6))
    assert last['progress/transitions_trained_on'] == (30, 30.0)
    assert last['progress/policy_version'] == (30, 30.0)
    assert found['episode/return'].values == [-10.0, -20.0, -30.0]
    assert found['episode/success'].values == [0.0, 1.0, 0.0]
    assert found['episode/length'].values == [10.0] * 3


def test_training_goes_on_where_no_curve_can_be_written(tmp_path):
    (tmp_path / 'taken').write_text('')
    trainer, events = run(tmp_path, [record(1), record(2)], tmp_path / 'taken')
    assert trainer.progress.updates == 20 and not trainer.progress.error
    assert events.count('curves_failed') == 1


def test_a_trainer_writes_no_curves_unasked(tmp_path):
    trainer = Trainer(learner(), TrainerSettings(tmp_path), lambda data: None, lambda text: None)
    trainer.start()
    trainer.receive(encode_episode(record(1), REACH))
    trainer.close()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def curves(tmp_path):
    made = TrainingCurves(tmp_path, pytest.fail)
    yield made
    made.close()


def test_an_episode_that_is_sent_again_is_no_news(curves, tmp_path):
    for one in (record(1, total=2), record(2), replace(record(2), total=5)):
        curves.episode(one, learner())
    assert read_curves(tmp_path)['episode/return'].values == [-20.0]


def test_points_are_no_closer_than_their_period_but_for_the_last(curves, tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(training_curves.time, 'monotonic', lambda: now[0])
    for updates, seconds, last in ((1, 0.0, False), (2, 0.5, False), (3, 0.6, False),
                                   (3, 0.0, False), (4, 0.1, False), (5, 0.1, True)):
        now[0] += seconds
        curves.progress(Progress(updates=updates), -1, last)
    assert read_curves(tmp_path)['progress/owed'].steps == [1, 3, 5]


def test_critics_are_asked_about_the_first_action_and_rewards_are_discounted():
    trained = learner()
    for number in (1, 2):
        one = record(number)
        trained.add(one.name, one.transitions, one.stamp)
    trained.train(5)
    found = record(3).transitions
    told = expectation(trained, found)
    assert told['return_discounted'] == pytest.approx(-3.0 * (1 - DISCOUNT ** LENGTH)
                                                      / (1 - DISCOUNT))
    first = expectation(trained, Transitions(*(
        getattr(found, name)[:1] for name in Transitions.__dataclass_fields__)))
    assert first['q_first'] == told['q_first'] and np.isfinite(told['q_first'])
    assert told['q_first'] != expectation(trained, record(4).transitions)['q_first']


def test_critics_that_have_not_learned_are_not_asked(curves, tmp_path):
    curves.episode(record(1), learner())
    assert 'episode/q_first' not in read_curves(tmp_path)


def test_critics_of_a_steered_demonstrator_are_asked_about_its_chunk():
    steered = learner(method='steer')
    steered.start_from(demonstrator(REACH, seed=3), 'made')
    for number in (1, 2):
        one = record(number)
        steered.add(one.name, one.transitions, one.stamp)
    steered.train(3)
    told = expectation(steered, record(3).transitions)
    assert np.isfinite(told['q_first']) and told['return_discounted'] < -3.0


@pytest.mark.parametrize(('mode', 'judged'), [
    ('learn', True), ('evaluate', True), ('explore', False), ('random', False)])
def test_critics_are_asked_about_their_own_policy_only(curves, tmp_path, mode, judged):
    trained = learner()
    for number in (1, 2):
        one = record(number)
        trained.add(one.name, one.transitions, one.stamp)
    trained.train(1)
    curves.episode(record(3, mode=mode), trained)
    assert ('episode/q_first' in read_curves(tmp_path)) is judged
