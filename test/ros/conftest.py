from __future__ import annotations

from isolation import claim_domain
import pytest
from robot_rl.contract import load_contract
from robot_rl.paths import contract_path

pytest.importorskip('rclpy', reason='make setup installs it')
LOCK = claim_domain()       # before any context is made

from bench import Bench  # noqa: E402, I100, I202


@pytest.fixture
def make_contract(tmp_path):
    """Load contract `reach` with pieces of its text replaced; the file is its `file`."""
    def make(**replaced: str):
        text = contract_path('reach').read_text()
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / 'contract.yaml'
        path.write_text(text)
        return load_contract(path)
    return make


@pytest.fixture
def start():
    """Start nodes under test, one after the other; each ends before the next or with the test."""
    benches = []

    def begin(kind: type, **parameters) -> Bench:
        while benches:
            benches.pop().close()
        benches.append(Bench(kind, **{'contract': 'reach', **parameters}))
        return benches[-1]

    yield begin
    while benches:
        benches.pop().close()


@pytest.fixture
def learn(start, make_contract, tmp_path, monkeypatch):
    """Start a small sac_learner, whose recorder sends episodes (number, total, ...) when asked."""
    from episodes import make_record        # on use: not every test needs the learner
    from recorder_probe import Recorder
    from robot_rl.nodes import sac_learner
    monkeypatch.setattr(sac_learner, 'ASK_AGAIN', 0.1)

    def begin(sent=(), **parameters) -> Recorder:
        contract = make_contract()
        bench = start(sac_learner.SacLearner, contract=str(contract.file), **{
            'width': 8, 'batch': 8, 'start_transitions': 10,
            'checkpoint_dir': str(tmp_path / 'checkpoints'), **parameters})
        return Recorder(bench, contract, [make_record(contract, *item) for item in sent])
    return begin


@pytest.fixture
def recorder(start, make_contract, tmp_path):
    """Start a data_recorder, and what sends it steps and hears its transitions."""
    from listener import Listener           # on use: not every test needs the recorder
    from robot_rl.nodes.data_recorder import DataRecorder
    contract = make_contract()
    root = tmp_path / 'bags'
    bench = start(DataRecorder, contract=str(contract.file), bag_root=str(root))
    return Listener(bench, contract, root)


@pytest.fixture
def watched(recorder):
    """Start a data_recorder whose statuses are kept, with their levels."""
    from robot_rl.ros.qos import LATCHED
    recorder.bench.levels = recorder.bench.listen(
        'diagnostic_msgs/msg/DiagnosticArray', 'data_recorder/status', LATCHED)
    return recorder
