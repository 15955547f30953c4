from __future__ import annotations

import json

from made_bags import write_demonstration
import pytest
from robot_rl.cli import main
from robot_rl.contract import load_contract
from robot_rl.data.bag_metadata import METADATA_FILE

REACH = load_contract('reach')
TOLD = {'mode': 'learn', 'policy_version': '7', 'steps': '21', 'transitions': '20',
        'dropped': '1', 'lost': '0', 'missing_steps': '2'}


@pytest.fixture
def bags(tmp_path):
    """Return a folder with a whole bag, an interrupted and an unreadable one."""
    for number, name in enumerate(('episode_1', 'episode_2', 'episode_3')):
        write_demonstration(tmp_path / name, REACH, number, 20, **TOLD)
    (tmp_path / 'episode_2' / METADATA_FILE).unlink()
    (tmp_path / 'episode_3' / METADATA_FILE).write_text('x: [')
    return tmp_path


def test_a_folder_is_shown_with_a_line_per_bag_whatever_their_state(bags, capsys):
    assert main(['bag', 'inspect', str(bags)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['episode', 'outcome', 'mode', 'policy', 'steps', 'transitions',
                                'duration', '(s)', 'dropped', 'lost', 'missing', 'note']
    assert [line.split()[:2] for line in lines[1:4]] == [
        ['episode_1', 'success'], ['episode_2', 'interrupted'], ['episode_3', 'unreadable']]
    assert lines[1].split()[2:] == ['learn', '7', '21', '20', '1.0', '1', '0', '2']
    assert METADATA_FILE in lines[3]
    assert lines[-1].startswith('3 bags: 1 success, 1 interrupted, 1 unreadable; 40 transitions, ')


def test_one_bag_is_shown_with_its_topics(bags, capsys):
    assert main(['bag', 'inspect', str(bags / 'episode_1')]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[0] == lines[3] == 'episode_1'
    assert lines[4].split('  ')[1] == 'topic' and 'rate (Hz)' in lines[4]
    assert lines[5].split() == ['/policy_server/steps', 'std_msgs/msg/Float64MultiArray', '21',
                                '20.0', '0.050', '0.000', '1.000']
    assert lines[-1].startswith('1 bag: 1 success; ')


def test_the_topics_of_several_bags_are_shown_where_they_are_asked_for(bags, capsys):
    main(['bag', 'inspect', str(bags)])
    assert '/policy_server/steps' not in capsys.readouterr().out
    main(['bag', 'inspect', '--topics', str(bags / 'episode_1'), str(bags / 'episode_2')])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith('/')] == [
        str(bags / 'episode_1'), str(bags / 'episode_2')]
    assert sum('/policy_server/steps' in line for line in lines) == 2


def test_discarded_episodes_are_listed_last_and_counted(bags, capsys):
    write_demonstration(bags / 'discarded' / 'episode_0', REACH, 7, 3, outcome='discarded')
    main(['bag', 'inspect', str(bags)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[4].split()[:2] == ['discarded/episode_0', 'discarded']
    assert lines[-1].startswith('4 bags: 1 success, 1 interrupted, 1 unreadable, 1 discarded; ')


def test_a_folder_in_which_every_episode_was_discarded_is_shown(tmp_path, capsys):
    write_demonstration(tmp_path / 'discarded' / 'episode_0', REACH, 7, 3, outcome='discarded')
    assert main(['bag', 'inspect', str(tmp_path)]) == 0
    assert '1 bag: 1 discarded; ' in capsys.readouterr().out


def test_json_has_every_field(bags, capsys):
    assert main(['bag', 'inspect', '--json', str(bags)]) == 1
    whole, interrupted, unreadable = json.loads(capsys.readouterr().out)
    assert whole == {'name': 'episode_1', 'state': 'complete', 'outcome': 'success', 'label': '',
                     'mode': 'learn', 'policy_version': 7, 'steps': 21, 'transitions': 20,
                     'messages': 21, 'duration': 1.0, 'dropped': 1, 'lost': 0,
                     'missing_steps': 2, 'reason': '', 'topics': None}
    assert (interrupted['state'], unreadable['state']) == ('interrupted', 'unreadable')


def test_a_bag_cannot_command_the_terminal(tmp_path, capsys):
    write_demonstration(tmp_path / 'bag', REACH, 0, 3, mode='\x1b[2J', outcome='\x07')
    assert main(['bag', 'inspect', str(tmp_path / 'bag')]) == 0
    printed = capsys.readouterr().out
    assert '\\x1b[2J' in printed and not {'\x1b', '\x07'} & set(printed)


@pytest.mark.parametrize('name', ['absent', 'empty'])
def test_a_folder_without_bags_is_bad_input(tmp_path, capsys, name):
    (tmp_path / 'empty').mkdir()
    assert main(['bag', 'inspect', str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith(f'error: {tmp_path / name}: no ')
