"""What a demo refuses before anything starts, and what it tells."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from robot_rl.cli import main
from robot_rl.contract import load_contract
from robot_rl.demo import Demo
from robot_rl.demo_demonstrations import DemonstrationsDemo
from robot_rl.demo_options import SimulatorOptions
from robot_rl.demo_simulator import SimulatorDemo
from robot_rl.errors import UserError
from robot_rl.report.run import write_report

REACH = load_contract('reach').text


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Look at no graph: ros/test_alone.py does."""
    monkeypatch.setattr(Demo, 'look_around', lambda demo: None)


@pytest.fixture
def earlier(tmp_path):
    """Return the folder of an earlier run."""
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'report.json').write_text('{}')
    return folder


@pytest.fixture
def refused(capsys, monkeypatch):
    """Run a demo that is refused; return its error. Nothing of it may start."""
    monkeypatch.setattr(Demo, 'run', lambda demo: pytest.fail('it was started'))

    def run(*argv, command: str = 'demo') -> str:
        assert main([command, *map(str, argv)]) == 2
        printed = capsys.readouterr()
        assert printed.out == '' and printed.err.startswith('error: ')
        return printed.err
    return run


@pytest.mark.parametrize(('options', 'said'), [
    (('--gap', 'nonsense'), 'gap: value: expected one of none, mild'),
    (('--gap', '{geom_offset: {nose: [0.1, 0, 0]}}'),
     'gap: geom_offset.nose: expected a geom of the model'),
    (('--sim-steps', '100'), 'explorers: --sim-steps: expected two rounds of '),
    (('--contract', 'absent'), 'absent')])
def test_what_cannot_work_is_refused_and_an_earlier_run_stays(earlier, refused, options, said):
    printed = refused('--run-dir', earlier, *options)
    assert said in printed and 'gap: gap' not in printed
    assert [path.name for path in earlier.parent.iterdir()] == ['run']
    assert (earlier / 'report.json').is_file()


def test_the_first_stage_tells_which_nodes_are_up(monkeypatch, tmp_path):
    demo = SimulatorDemo(SimulatorOptions(contract='reach', run_dir=tmp_path / 'run'))
    monkeypatch.setattr(demo.session, 'operator', SimpleNamespace(status={}))
    assert demo.line('start').split(maxsplit=1) == ['start', 'up: none of the nodes']
    demo.session.operator.status |= {'sim_bridge': {}, 'data_recorder': {}}
    assert demo.line('start').split(maxsplit=1) == ['start', 'up: data_recorder, sim_bridge']


def test_a_stage_whose_end_is_not_known_yet_tells_no_time(monkeypatch, tmp_path):
    demo = SimulatorDemo(SimulatorOptions(contract='reach', run_dir=tmp_path / 'run'))
    status = {'training_eta': '0', 'training_percent': '0'}
    monkeypatch.setattr(demo.session, 'operator', SimpleNamespace(status={'sim_bridge': status}))
    assert 'left' not in demo.line('train explorers')
    status['training_eta'] = '12.3'
    assert demo.line('train explorers').endswith('  12 s left')


@pytest.mark.parametrize('demo', [SimulatorDemo, DemonstrationsDemo])
def test_a_run_that_ended_at_once_is_told_without_a_none(tmp_path, demo):
    (tmp_path / 'bags').mkdir()
    (tmp_path / 'contract.yaml').write_text(REACH)
    report = write_report(tmp_path) | {'wall_seconds': 6.0, 'target': 0.9}
    assert 'None' not in demo.summary(None, report)
    assert '0 updates' in demo.summary(None, report)


@pytest.mark.parametrize('command', ['demo', 'demo-demonstrations'])
def test_a_contract_without_simulation_is_refused(earlier, refused, command):
    path = earlier / 'mine.yaml'
    path.write_text(REACH.partition('\nsimulation:')[0] + '\n')
    assert 'simulation: expected a mapping, as a twin plays the robot' in refused(
        '--contract', path, '--run-dir', earlier, command=command)
    assert path.is_file()


def test_alpha_between_its_ranges_is_refused(earlier, refused):
    printed = refused('--alpha', '-0.5', '--run-dir', earlier, command='demo-demonstrations')
    assert '--alpha: expected from 0 to 10, or -1, found -0.5' in printed


def test_company_is_refused_before_an_earlier_run_is_renamed(earlier, refused, monkeypatch):
    def look(demo):
        raise UserError('ROS domain 5: expected nobody')
    monkeypatch.setattr(Demo, 'look_around', look)
    assert 'expected nobody' in refused('--run-dir', earlier, '--contract', 'reach')
    assert [path.name for path in earlier.parent.iterdir()] == ['run']


def test_what_was_learned_from_is_counted_in_steps_of_training_episodes(tmp_path):
    demo = SimulatorDemo(SimulatorOptions(contract='reach', run_dir=tmp_path / 'run'))
    for mode, steps in (('explore', 10), ('transfer', 100), ('learn', 7), ('evaluate', 100)):
        demo.session._on_event('end', {'mode': mode, 'success': 'True', 'steps': str(steps)})
    assert demo._learned_from() == {'episodes': 2, 'robot_steps': 17}


def test_a_file_in_place_of_a_folder_is_refused(tmp_path, refused):
    (tmp_path / 'file').write_text('x')
    for folder in (tmp_path / 'file', tmp_path / 'file' / 'run'):
        printed = refused('--run-dir', folder)
        assert f'--run-dir {folder}: expected a folder that can be written' in printed
    assert (tmp_path / 'file').read_text() == 'x'


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='/proc is of Linux')
def test_a_folder_that_cannot_be_written_is_refused(refused):
    assert '--run-dir /proc/run: expected a folder that can be written' in refused(
        '--run-dir', '/proc/run')
