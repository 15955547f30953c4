"""What the learner leaves on disk, and takes up again."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus
from episodes import make_record
import pytest
from recorder_probe import versions
from robot_rl.curves import read_curves
from robot_rl.errors import UserError
from std_srvs.srv import SetBool, Trigger


def test_a_checkpoint_is_written_when_asked_and_taken_up_by_the_next_learner(learn, tmp_path):
    recorder = learn(autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 15))
    recorder.until(updates=15)
    assert recorder.bench.call(Trigger, 'sac_learner/save_checkpoint').success
    path = tmp_path / 'checkpoints' / 'checkpoint_000000015.safetensors'
    recorder.bench.until(path.is_file)
    recorder = learn()
    recorder.until(updates=15, episodes_received=0)
    recorder.bench.until(lambda: versions(recorder) == [15])


def test_a_learner_that_came_back_paused_says_so_until_somebody_decides(learn):
    recorder = learn(autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 15))
    recorder.until(updates=15)
    recorder.bench.node.close()
    recorder = learn()
    recorder.warns('paused after a restart at 15 updates: call sac_learner/train true')
    recorder.bench.call(SetBool, 'sac_learner/train', data=False)
    recorder.bench.says(text='paused')
    recorder.bench.until(
        lambda: recorder.levels[-1].status[0].level == DiagnosticStatus.OK)
    recorder = learn(autotrain=True)
    recorder.bench.says(updates=15)
    assert 'restart' not in recorder.bench.status['text']


def test_a_checkpoint_folder_that_cannot_be_written_is_refused_at_start(learn, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file/below: Not a directory; name a folder that can be'):
        learn(checkpoint_dir=str(tmp_path / 'file' / 'below'))


def test_a_damaged_checkpoint_is_told_on_status_and_events_and_the_one_before_taken(
        learn, tmp_path):
    recorder = learn(autotrain=True, checkpoint_period=10)
    for number in (1, 2):
        recorder.send(make_record(recorder.contract, number, number, 15))
        recorder.until(updates=15 * number)
    recorder.bench.node.close()
    path = tmp_path / 'checkpoints' / 'checkpoint_000000030.safetensors'
    path.write_bytes(path.read_bytes()[:-9])
    recorder = learn()
    recorder.until(updates=15)
    moved = path.parent / 'refused' / path.name
    values = recorder.bench.event('checkpoint_refused')
    assert (values['file'], values['moved_to']) == (str(path), str(moved))
    assert 'damaged' in values['reason'] or 'not a file of this package' in values['reason']
    recorder.warns(f'skipped {path}: ')
    assert moved.is_file() and not path.exists()


def test_a_checkpoint_that_cannot_be_written_is_told_and_training_goes_on(learn, tmp_path):
    recorder = learn(autotrain=True)
    folder = tmp_path / 'checkpoints'
    recorder.bench.until(lambda: any(folder.glob('curves/*')))  # the last that is made below it
    folder.rename(tmp_path / 'moved')
    folder.write_text('a file in the way')
    assert recorder.bench.call(Trigger, 'sac_learner/save_checkpoint').success
    assert 'File exists' in recorder.bench.event('checkpoint_failed')['reason']
    recorder.bench.until(lambda: recorder.levels
                         and recorder.levels[-1].status[0].level == DiagnosticStatus.ERROR)
    recorder.send(make_record(recorder.contract, 1, 1, 12))
    recorder.until(updates=12)


def test_closing_writes_a_last_checkpoint(learn, tmp_path):
    recorder = learn(autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 11))
    recorder.until(updates=11)
    recorder.bench.node.close()
    assert (tmp_path / 'checkpoints' / 'checkpoint_000000011.safetensors').is_file()


def test_curves_of_the_training_are_left_beside_the_checkpoints(learn, tmp_path):
    recorder = learn(autotrain=True)
    recorder.send(make_record(recorder.contract, 1, 1, 11))
    recorder.until(updates=11)
    recorder.bench.node.close()
    found = read_curves(tmp_path / 'checkpoints' / 'curves')
    assert found['learner/critic_loss'].steps[-1] == found['progress/owed'].steps[-1] == 11
    assert found['episode/length'].values == [11.0]
