"""A disk that is really full costs a checkpoint, and neither the last good one nor the training.

The two tests run this file as a script, on a file system of their own.
"""

from __future__ import annotations

import json
from pathlib import Path
import sys

import pytest
from robot_rl.learning.checkpoint import newest_checkpoint
from small_disk import fill, run_on_small_disk
from trainer_probe import DEMONSTRATOR, episode, REACH, Training


def main(disk: str, method: str) -> None:
    """Train 20 updates with room, 20 without, 20 with room again; print what was seen."""
    training = Training(Path(disk) / 'checkpoints', method=method, checkpoint_period=20)

    def newest() -> int:
        found, _ = newest_checkpoint(training.folder, REACH)
        return found[2]['updates'] if found else 0

    training.trainer.train(True)
    training.trainer.start()
    training.trainer.receive_demonstrator(DEMONSTRATOR)
    for number in (1, 2):
        training.trainer.receive(episode(number))
    training.until(lambda progress: progress.updates == newest() == 20)
    ballast = fill(Path(disk))
    for number in (3, 4):
        training.trainer.receive(episode(number))
    full = training.until(lambda progress: progress.updates == 40 and progress.error)
    seen = {'error': full.error, 'newest': newest(), 'events': training.events,
            'left': [path.name for path in training.folder.iterdir()]}
    ballast.unlink()
    for number in (5, 6):
        training.trainer.receive(episode(number))
    training.until(lambda progress: progress.updates == newest() == 60 and not progress.error)
    training.trainer.close()
    print(json.dumps(seen))


@pytest.mark.parametrize('method', ['full', 'steer'])
def test_a_full_disk_keeps_the_last_good_checkpoint_and_training_goes_on(tmp_path, method):
    seen = json.loads(run_on_small_disk(tmp_path / 'disk', '256k', Path(__file__), method))
    assert seen['error'].startswith('checkpoint not saved, the last good one stays')
    assert 'No space left on device' in seen['error'] and seen['newest'] == 20
    assert not [name for name in seen['left'] if name.endswith('.tmp')]
    [kind, values] = seen['events'][-1]
    assert (kind, values['updates']) == ('checkpoint_failed', 40)


if __name__ == '__main__':
    main(*sys.argv[1:])
