from __future__ import annotations

import json

from made_policies import actor
import pytest
from robot_rl.contract import load_contract
from robot_rl.data.steps import Mode
from robot_rl.errors import UserError
from robot_rl.evaluation import Kept, Score
from robot_rl.kept import load_kept, save_kept
from robot_rl.policies import decode
from robot_rl.run_folder import KEPT

REACH = load_contract('reach')
BOTH = {Mode.EVALUATE: Score(10, 8), Mode.TRANSFER: Score(10, 9)}
ALONE = {Mode.EVALUATE: Score(10, 8)}


def make(mode: Mode = Mode.EVALUATE, scores: dict = BOTH, version: int = 7) -> Kept:
    artifact = decode(actor(REACH, version), 'actor', REACH, 'made')
    return Kept(mode, artifact, {Mode.EVALUATE: 7, Mode.TRANSFER: 800} if scores is BOTH
                else {Mode.EVALUATE: 7}, scores)


def edit(folder, **values) -> None:
    facts = json.loads((folder / KEPT).read_text())
    (folder / KEPT).write_text(json.dumps({**facts, **values}))


@pytest.mark.parametrize('kept', [make(), make(Mode.TRANSFER, version=800), make(scores=ALONE)])
def test_what_was_saved_is_loaded_with_every_figure(tmp_path, kept):
    save_kept(tmp_path / 'run' / 'kept', kept, 5)
    found = load_kept(tmp_path / 'run' / 'kept', REACH)
    assert found.artifact.data == kept.artifact.data
    assert (found.mode, found.versions, found.scores) == (kept.mode, kept.versions, kept.scores)
    assert found.values() == kept.values()


def test_an_empty_folder_or_none_holds_nothing(tmp_path):
    assert load_kept(tmp_path, REACH) is None
    assert load_kept(tmp_path / 'missing', REACH) is None


def test_the_artifact_is_written_as_it_came_and_the_facts_tell_when(tmp_path):
    path = save_kept(tmp_path, make(), 5)
    assert path.read_bytes() == actor(REACH, 7)
    facts = json.loads((tmp_path / KEPT).read_text())
    assert (facts['policy'], facts['learned_successes'], facts['stamp']) == ('learned', 8, 5)


def test_a_crash_before_the_facts_are_written_leaves_what_was_kept_before(tmp_path, monkeypatch):
    from robot_rl import kept as module

    save_kept(tmp_path, make(), 5)
    write = module.write_atomic

    def crash(path, data):
        if path.name == KEPT:
            raise OSError('power is out')
        write(path, data)

    monkeypatch.setattr(module, 'write_atomic', crash)
    with pytest.raises(OSError, match='power is out'):
        save_kept(tmp_path, make(Mode.TRANSFER, version=800), 6)
    assert load_kept(tmp_path, REACH).artifact.policy.version == 7


@pytest.mark.parametrize('values', [
    {'policy': '../learned'}, {'policy': []}, {'sha256': '../../etc'}, {'sha256': None},
    {'sha256': 'f' * 64}, {'learned_episodes': -1}, {'learned_version': 'x'},
    {'learned_successes': 1.5}, {'policy': 'demonstrator'}])
def test_facts_that_are_wrong_are_refused_with_their_file(tmp_path, values):
    save_kept(tmp_path, make(), 5)
    edit(tmp_path, **values)
    with pytest.raises(UserError, match=str(tmp_path)):
        load_kept(tmp_path, REACH)


@pytest.mark.parametrize('text', ['', '[]', '{', '\x00', '{}'])
def test_facts_that_are_no_facts_are_refused(tmp_path, text):
    (tmp_path / KEPT).write_text(text)
    with pytest.raises(UserError, match=KEPT):
        load_kept(tmp_path, REACH)


def test_a_damaged_or_missing_artifact_is_refused(tmp_path):
    path = save_kept(tmp_path, make(), 5)
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(UserError, match='it is not the file that'):
        load_kept(tmp_path, REACH)
    path.unlink()
    with pytest.raises(UserError, match='cannot be read'):
        load_kept(tmp_path, REACH)


def test_a_policy_of_another_contract_is_refused(tmp_path):
    save_kept(tmp_path, make(), 5)
    with pytest.raises(UserError, match=r'learned-\w+.safetensors'):
        load_kept(tmp_path, load_contract('puck_push'))
