"""What training leaves on disk."""

from __future__ import annotations

from robot_rl.learning.learner import Learner
from trainer_probe import episode, REACH


def test_checkpoints_are_written_now_and_then(start):
    training = start(checkpoint_period=20, keep_checkpoints=10)
    for number in range(1, 7):
        training.trainer.receive(episode(number))
    training.until(lambda progress: progress.updates == 60)
    training.trainer.close()
    found = sorted(int(path.stem[-9:]) for path in training.folder.iterdir())
    assert found == [20, 40, 60]


def test_a_checkpoint_can_be_asked_for(start):
    training = start(train=False)
    training.trainer.save()
    training.until(lambda _: training.notes)
    assert training.notes == [f'saved {training.folder}/checkpoint_000000000.safetensors']


def test_closing_saves_what_was_learned(start):
    training = start()
    for number in (1, 2, 3):
        training.trainer.receive(episode(number))
    training.until(lambda progress: progress.updates == 30)
    training.trainer.close()
    assert not training.trainer.alive
    resumed = Learner(REACH, training.learner.config, training.learner.sac)
    resumed.resume(training.folder)
    assert resumed.updates == 30


def test_closing_without_having_learned_writes_nothing(start):
    training = start()
    training.trainer.close()
    assert not training.folder.exists()


def test_a_checkpoint_that_cannot_be_written_is_an_error_and_training_lives_on(start, tmp_path):
    (tmp_path / 'checkpoints').write_text('a file in the way')
    training = start()
    training.trainer.save()
    progress = training.until(lambda progress: progress.error)
    assert progress.error.startswith('checkpoint not saved') and progress.text == progress.error
    [(kind, values)] = training.events
    assert (kind, values['updates']) == ('checkpoint_failed', 0)
    assert 'File exists' in values['reason']
    training.trainer.receive(episode(1))
    training.until(lambda progress: progress.episodes_received == 1)
    assert training.trainer.alive
