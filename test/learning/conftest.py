from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)        # small networks: more threads only wait for each other


@pytest.fixture
def start(tmp_path):
    """Start trainers under test; they end with the test."""
    from trainer_probe import Training      # on use: not every test needs a trainer
    started = []

    def begin(train: bool = True, **settings) -> Training:
        training = Training(tmp_path / 'checkpoints', **settings)
        training.trainer.train(train)
        training.trainer.start()
        started.append(training)
        return training
    yield begin
    for training in started:
        training.trainer.close()
