from __future__ import annotations

import pytest
from recording import Recording
from robot_rl.contract import load_contract

CONTRACT = """\
task: tiny
control_rate: 20.0
observation:
  - name: arm
    topic: joint_states
    type: sensor_msgs/msg/JointState
    select: {position: [j], velocity: [j]}
    max_age: 0.1
action:
  topic: commands
  type: std_msgs/msg/Float64MultiArray
  names: [j]
  low: [-1.0]
  high: [1.0]
  on_stop: zeros
episode: {horizon: 100}
reward: tiny_task:reward
success: tiny_task:success
"""


@pytest.fixture
def make_contract(tmp_path):
    """Load the tiny contract after replacing pieces of its text."""
    def make(**replaced: str):
        text = CONTRACT
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / 'tiny.yaml'
        path.write_text(text)
        return load_contract(path)
    return make


@pytest.fixture
def contract(make_contract):
    return make_contract()


@pytest.fixture
def start(contract, tmp_path):
    """Start recorders on one folder; all are closed at the end."""
    started = []

    def begin(root=None, **settings):
        recording = Recording(root or tmp_path / 'episodes', contract, **settings)
        started.append(recording)
        return recording

    yield begin
    for recording in started:
        recording.recorder.close()


@pytest.fixture
def paid(make_contract):
    """Return the tiny contract with its reward on a topic."""
    return make_contract(**{'tiny_task:reward': (
        '{topic: score, type: std_msgs/msg/Float32, select: [data], max_age: 0.1}')})
