from __future__ import annotations

import json

from made_policies import actor, demonstrator
import numpy as np
import pytest
from robot_rl.bundle import pack
from robot_rl.cli import main
from robot_rl.contract import load_contract

REACH = load_contract('reach')


@pytest.fixture
def file(tmp_path):
    """Return an actor's file."""
    path = tmp_path / 'actor.safetensors'
    path.write_bytes(actor(REACH, version=12, learned_stamp=5,
                           run={'seed': 3, 'gaps': list(range(90))}, started_from=''))
    return path


def test_a_policy_is_shown_with_all_that_it_says(file, capsys):
    assert main(['policy', 'inspect', str(file)]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0] == f'file        {file}, {file.stat().st_size:,} bytes'
    assert lines[2].startswith('kind        gaussian: an actor')
    assert lines[3:5] == ['version     12',
                          f'contract    {REACH.hash}, task reach, 20.0 Hz']
    assert lines[lines.index('networks') + 2].split() == ['actor', '1', '6', '->', '4', '28']
    assert lines[lines.index('observation') + 2].split() == ['0', 'arm.position.shoulder', 'rad']
    assert lines[lines.index('action') + 3].split() == ['1', 'elbow', 'rad/s', '-2.5', '2.5',
                                                        '100.0']
    provenance = lines[lines.index('provenance') + 1:]
    assert provenance[0] == '  learned_stamp: 5'
    assert provenance[1] == '  run:' and provenance[2].startswith('    gaps: [0, 1, 2, ')
    assert provenance[2].endswith('characters)') and len(provenance[2]) < 140
    assert provenance[3:] == ['    seed: 3', '  started_from: ""']
    assert 'fits' not in printed


@pytest.mark.parametrize(('contract', 'code', 'fits'), [
    ('reach', 0, 'fits reach: yes'), ('puck_push', 1, 'fits puck_push: no')])
def test_whether_it_fits_a_contract_is_the_exit_code_and_the_last_word(file, capsys, contract,
                                                                       code, fits):
    assert main(['policy', 'inspect', str(file), '--contract', contract]) == code
    printed = capsys.readouterr().out
    end = printed.rpartition('\n\n')[2].splitlines()
    assert end[0] == fits and 'provenance' not in end
    assert any('task: expected "puck_push", found "reach"' in line for line in end) == (code == 1)


def test_json_has_the_manifest_and_the_layers(tmp_path, capsys):
    path = tmp_path / 'fit.safetensors'
    path.write_bytes(demonstrator(REACH, np.zeros((2, 2))))
    assert main(['policy', 'inspect', '--json', str(path), '--contract', 'reach']) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found['kind'], found['misfit'], found['manifest']['chunk']) == ('diffusion', '', 2)
    assert found['networks'][1] == {'name': 'member', 'count': 2, 'sizes': [6, 4],
                                    'parameters': 56}


def test_a_manifest_cannot_command_the_terminal_or_break_a_table(tmp_path, capsys):
    path = tmp_path / 'odd.safetensors'
    path.write_bytes(pack({}, {
        'kind': '\x1b[2J', 'version': {'a': 1}, 'provenance': 'me\x07',
        'interface': {'observation.names': ['x\n\x07', 3], 'observation.units': [None]}}))
    assert main(['policy', 'inspect', str(path)]) == 0
    printed = capsys.readouterr().out
    assert not {'\x1b', '\x07'} & set(printed)
    assert 'kind        \\x1b[2J: unknown here' in printed and '\n  me\\x07\n' in printed
    assert '  0  x \\x07  null\n' in printed


@pytest.mark.parametrize('content', [b'', b'x' * 100])
def test_a_file_that_is_none_is_bad_input(tmp_path, capsys, content):
    path = tmp_path / 'x.safetensors'
    path.write_bytes(content)
    assert main(['policy', 'inspect', str(path)]) == 2
    assert f'error: {path}: not a file of this package' in capsys.readouterr().err


@pytest.mark.parametrize(('content', 'found'), [
    (None, 'a folder'), ('task: reach\ncontrol_rate: 20\n', 'something else'),
    ('', 'something else')])
def test_what_is_no_safetensors_file_is_told_so(tmp_path, capsys, content, found):
    path = tmp_path / 'mine'
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)
    assert main(['policy', 'inspect', str(path)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f'error: {path}: ')
    assert printed.endswith(f': expected a safetensors file, found {found}\n')


def test_of_a_folder_the_policies_within_are_named(file, capsys):
    deeper = file.parent / 'explorers' / 'round_1'
    deeper.mkdir(parents=True)
    (deeper / 'explorers.safetensors').write_bytes(b'')
    assert main(['policy', 'inspect', str(file.parent)]) == 2
    assert capsys.readouterr().err == (
        f'error: {file.parent}: expected a safetensors file, found a folder; it has '
        'actor.safetensors, explorers/round_1/explorers.safetensors\n')
