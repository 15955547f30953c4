from __future__ import annotations

from argparse import _SubParsersAction, ArgumentParser
from dataclasses import replace
import os
from pathlib import Path
import shlex
import subprocess
import sys

import numpy as np
import pytest
from robot_rl import __version__
from robot_rl.cli import build_parser, INTERRUPTED, main
from robot_rl.errors import EXIT_INTERRUPTED


def every_parser(parser: ArgumentParser) -> list[ArgumentParser]:
    """Return a parser and those of its commands."""
    inner = [one for action in parser._actions if isinstance(action, _SubParsersAction)
             for one in action.choices.values()]
    return [parser] + [found for one in inner for found in every_parser(one)]


PARSERS = {parser.prog: parser for parser in every_parser(build_parser())}


def examples(parser: ArgumentParser) -> list[str]:
    """Return the commands that a help gives as examples."""
    lines = parser.epilog.partition('examples:\n')[2].split('\n\n')[0].splitlines()
    return [line.strip().split('  ')[0] for line in lines]


def completions(line: str) -> list[str]:
    """Return what the shell offers for the last word of a line."""
    result = subprocess.run(
        [sys.executable, '-c', 'import sys; from robot_rl.cli import main; main()'],
        env={**os.environ, '_ARGCOMPLETE': '1', '_ARGCOMPLETE_STDOUT_FILENAME': '/dev/stdout',
             'COMP_LINE': line, 'COMP_POINT': str(len(line)), '_ARGCOMPLETE_IFS': '\n'},
        capture_output=True, text=True)
    return [word.strip() for word in result.stdout.splitlines()]


@pytest.fixture
def refused(capsys):
    """Run the command on bad input; return what it printed as its error."""
    def run(*argv) -> str:
        assert main([str(argument) for argument in argv]) == 2
        printed = capsys.readouterr()
        assert 'Traceback' not in printed.out + printed.err
        assert printed.err.startswith('error: ')
        return printed.err
    return run


@pytest.mark.parametrize('name', ['reach', 'puck_push'])
def test_checking_a_good_contract_prints_its_vectors(capsys, name):
    assert main(['check', name]) == 0
    printed = capsys.readouterr().out
    assert 'arm.position.shoulder' in printed and 'every name is in the model' in printed
    assert printed.endswith('ok\n')


def test_checking_a_contract_prints_what_stops_the_robot_and_none_for_what_does_not(capsys):
    main(['check', 'puck_push'])
    printed = capsys.readouterr().out.partition('\nsafety\n')[2]
    rows = [line.split(maxsplit=1) for line in printed.splitlines()]
    assert ['limits', 'tip.point.x is outside -0.6 to 0.6 m'] in rows
    assert [row[0] for row in rows if row[1:] == ['none']] == [
        'e_stop', 'dead_man', 'intervention']


def test_a_bad_contract_is_refused_with_file_and_keys(refused, tmp_path):
    path = tmp_path / 'bad.yaml'
    path.write_text('task: x\ncontrol_rate: fast\nactoin: {}\n')
    printed = refused('check', path)
    for text in (f"{path}: control_rate: expected a finite number > 0.0, found 'fast'",
                 f'{path}: actoin: expected a known key', 'did you mean action?'):
        assert text in printed


@pytest.mark.parametrize('content', [b'', b'\xff\x00', b'a: 2024-13-45', b'[[[', b'x: !!map y'])
def test_a_file_that_is_no_contract_is_refused(refused, tmp_path, content):
    (tmp_path / 'bad.yaml').write_bytes(content)
    assert 'bad.yaml' in refused('check', tmp_path / 'bad.yaml')


def test_a_missing_contract_is_refused(refused, tmp_path):
    assert 'absent.yaml' in refused('check', tmp_path / 'absent.yaml')
    assert 'no_such_task' in refused('check', 'no_such_task')


def test_a_name_that_is_nearly_a_shipped_contract_is_told_with_all_of_them(refused, monkeypatch,
                                                                           tmp_path):
    monkeypatch.chdir(tmp_path)
    printed = refused('check', 'pukc_push')
    assert printed.startswith('error: pukc_push: file: expected a YAML file, or the name of a '
                              'shipped contract (base_cmd_vel, ')
    assert 'ur5e_forward), found neither; did you mean puck_push?' in printed
    assert 'robot_rl,' not in printed


def test_a_contract_whose_model_lacks_a_name_is_refused(refused, tmp_path):
    from robot_rl.contract import load_contract
    path = tmp_path / 'mine.yaml'
    path.write_text(load_contract('reach').text.replace('site: tip', 'site: tipp'))
    assert 'simulation.observation.tip' in refused('check', path)


def test_a_folder_that_is_no_run_is_refused(refused, tmp_path):
    assert 'has no bags/' in refused('report', tmp_path)
    assert 'has no bags/' in refused('report', tmp_path / 'absent')


def test_a_report_that_cannot_be_written_fails_without_a_traceback(capsys, tmp_path):
    from robot_rl.contract import load_contract
    (tmp_path / 'bags').mkdir()
    (tmp_path / 'contract.yaml').write_text(load_contract('reach').text)
    (tmp_path / 'report.json.tmp').mkdir()
    assert main(['report', str(tmp_path)]) == 1
    assert 'report.json.tmp' in capsys.readouterr().err


def test_importing_writes_a_bag_for_each_episode(capsys, tmp_path):
    np.savez(tmp_path / 'demos.npz', state=np.full((6, 5), 100.0), action=np.full((6, 2), 90.0),
             episode_ends=np.array([3, 6]))
    assert main(['import', 'pusht', str(tmp_path / 'demos.npz'), str(tmp_path / 'bags')]) == 0
    assert '2 episodes' in capsys.readouterr().out
    assert len(list((tmp_path / 'bags').iterdir())) == 2


def test_importing_what_is_no_data_set_is_refused(refused, tmp_path):
    (tmp_path / 'demos.npz').write_text('x')
    assert 'demos.npz: file' in refused('import', 'pusht', tmp_path / 'demos.npz', tmp_path / 'b')
    assert 'exists already' in refused('import', 'pusht', tmp_path / 'demos.npz', tmp_path)


def test_an_interrupt_ends_with_130(monkeypatch):
    def interrupt(name):
        raise KeyboardInterrupt
    monkeypatch.setattr('robot_rl.contract.load_contract', interrupt)
    assert main(['check', 'reach']) == 130


def test_an_interrupt_while_the_command_loads_ends_with_130():
    script = ('import os, signal, sys\n'
              'class Interrupted:\n'
              '    def find_spec(self, name, *_):\n'
              '        if name == "robot_rl.commands": os.kill(os.getpid(), signal.SIGINT)\n'
              'sys.meta_path.insert(0, Interrupted())\n'
              'from robot_rl.cli import main\n'
              'sys.exit(main(["check", "reach"]))')
    result = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, '', '')


def test_importing_the_command_loads_no_other_module_of_the_package():
    script = ('import sys, robot_rl.cli\n'
              'print(sorted(name for name in sys.modules if name.startswith("robot_rl")), '
              '"argparse" in sys.modules)')
    result = subprocess.run([sys.executable, '-S', '-c', script], capture_output=True, text=True,
                            env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[1])})
    assert (result.stdout, result.stderr) == ("['robot_rl', 'robot_rl.cli'] False\n", '')


def test_the_constant_of_the_command_is_that_of_the_errors():
    assert INTERRUPTED == EXIT_INTERRUPTED


def test_the_help_of_a_switch_tells_no_default_that_is_its_opposite(capsys):
    with pytest.raises(SystemExit):
        main(['demo', '--help'])
    printed = ' '.join(capsys.readouterr().out.split())
    assert '--no-video do not render the kept behaviour to final.gif --sim-steps' in printed
    assert 'seed of everything random (default: 0)' in printed


@pytest.mark.parametrize('argv', [[], ['nonsense'], ['check'], ['demo', '--seed', '-1'],
                                  ['demo', '--seed', 'x'], ['demo', '--members', '3'],
                                  ['demo', '--max-episodes', '1.5'],
                                  ['demo', '--max-episodes', '0'], ['demo', '--minutes', '-3'],
                                  ['demo', '--minutes', 'nan'], ['demo', '--target', '1.1'],
                                  ['demo', '--evaluation', '0'], ['demo', '--sim-steps', '0'],
                                  ['demo', '--seed', '3000000000'],
                                  ['demo-demonstrations', '--demonstrations', '1'],
                                  ['demo-demonstrations', '--members', '1'],
                                  ['demo-demonstrations', '--alpha', '-2']])
def test_a_wrong_command_line_is_bad_input(capsys, argv):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2 and 'usage: robot_rl' in capsys.readouterr().err


@pytest.mark.parametrize(('command', 'module', 'kind', 'gap'), [
    ('demo', 'demo_simulator', 'SimulatorDemo', 'bent_tool'),
    ('demo-demonstrations', 'demo_demonstrations', 'DemonstrationsDemo', 'mild')])
def test_the_options_of_a_demo_reach_it(monkeypatch, tmp_path, command, module, kind, gap):
    asked = []
    monkeypatch.setattr(f'robot_rl.{module}.{kind}.__init__',
                        lambda demo, options: asked.append(options))
    monkeypatch.setattr(f'robot_rl.{module}.{kind}.run', lambda demo: 7)
    assert main([command]) == 7
    assert main([command, '--run-dir', str(tmp_path), '--target', '0.5', '--no-video',
                 '--seed', '3']) == 7
    default, given = asked
    assert (default.contract, default.gap, default.video, default.seed) == (
        'puck_push', gap, True, 0)
    assert given == replace(default, run_dir=tmp_path, target=0.5, video=False, seed=3)


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--version'])
    assert ended.value.code == 0 and __version__ in capsys.readouterr().out


def test_the_exit_code_reaches_the_shell(tmp_path):
    result = subprocess.run([sys.executable, '-m', 'robot_rl.cli', 'check', tmp_path / 'absent'],
                            capture_output=True, text=True)
    assert result.returncode == 2 and 'Traceback' not in result.stderr


@pytest.mark.parametrize('prog', PARSERS)
def test_the_help_of_a_command_says_what_it_does_and_gives_examples(prog):
    parser = PARSERS[prog]
    assert parser.description and parser.description.endswith('.')
    assert examples(parser)
    assert max(len(line) for line in parser.description.splitlines()) < 92


@pytest.mark.parametrize(('prog', 'example'), [
    (prog, example) for prog, parser in PARSERS.items() for example in examples(parser)])
def test_an_example_of_a_help_is_a_command_line(prog, example):
    assert f'{example} '.startswith(f'{prog} ')
    assert callable(build_parser().parse_args(shlex.split(example)[1:]).run)


def test_the_help_tells_the_exit_codes(capsys):
    with pytest.raises(SystemExit):
        main(['--help'])
    printed = capsys.readouterr().out
    codes = printed.partition('exit codes:\n')[2].split()
    assert {'0', '1', '2', '130'} <= set(codes)


def test_asking_for_help_loads_nothing_heavy():
    script = ('import sys; from robot_rl.cli import build_parser; build_parser()\n'
              'print(*({"numpy", "yaml", "torch", "rclpy", "mcap"} & set(sys.modules)))')
    result = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ('\n', '')


def test_a_reader_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run(
        [sys.executable, '-c', 'import sys; from robot_rl.cli import main; '
         'sys.exit(main(["check", "reach"]))'], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (result.returncode, result.stderr) == (1, '')


def test_an_error_cannot_command_the_terminal(refused):
    assert '\\x1b[2J' in refused('check', '\x1b[2J.yaml')


def test_the_shell_completes_commands_options_and_contracts():
    pytest.importorskip('argcomplete')
    assert completions('robot_rl r') == ['runs', 'report']
    assert completions('robot_rl bag inspect --to') == ['--topics']
    assert completions('robot_rl check pu') == ['puck_push', 'push_t']


def test_without_argcomplete_there_is_no_completion_and_no_trace(monkeypatch, capsys):
    monkeypatch.setenv('_ARGCOMPLETE', '1')
    monkeypatch.setitem(sys.modules, 'argcomplete', None)
    assert main(['check', 'reach']) == 0
