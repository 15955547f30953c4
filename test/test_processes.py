"""Children are started, logged, restarted and stopped; none outlives its parent."""

from __future__ import annotations

import os
from pathlib import Path
import queue
import signal
import subprocess
import sys

import pytest

from robot_rl.processes import Exit, Patience, Supervisor

QUICK = Patience(interrupt=5.0, terminate=5.0, first_delay=0.01, restarts=2)
ABRUPT = Patience(interrupt=0.05, terminate=0.05, first_delay=0.01, restarts=2)
ROOT = Path(__file__).parents[1]


def python(script: str, *arguments) -> list[str]:
    """Return the argv of a small script in an interpreter that starts fast."""
    return [sys.executable, '-I', '-S', '-u', '-c', script, *map(str, arguments)]


def waiting(fifo, before: str = '') -> list[str]:
    """Return a child that says `up` into the fifo, and holds it open until it dies."""
    return python('import signal, sys, os\n' + before + '\n'
                  'file = open(sys.argv[1], "w")\n'
                  'print("up", file=file, flush=True)\n'
                  'while True: signal.pause()', fifo)


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / 'fifo'
    os.mkfifo(path)
    return path


def run_to_end(commands, tmp_path, **settings) -> list[Exit]:
    """Run children that end by themselves; return their reports."""
    reports = []
    with Supervisor(commands, tmp_path / 'log', on_exit=reports.append, patience=QUICK,
                    **settings) as supervisor:
        assert supervisor.wait(30)
    return reports


def test_output_and_errors_of_a_child_go_to_its_log(tmp_path):
    run_to_end({'talker': python('import sys; print("out"); print("err", file=sys.stderr)')},
               tmp_path)
    assert (tmp_path / 'log/talker.log').read_text().split() == ['out', 'err']


def test_a_log_is_appended_to(tmp_path):
    for _ in range(2):
        run_to_end({'talker': python('print("out")')}, tmp_path)
    assert (tmp_path / 'log/talker.log').read_text() == 'out\nout\n'


def test_the_last_lines_are_those_since_the_start(tmp_path):
    (tmp_path / 'log').mkdir()
    (tmp_path / 'log/node.log').write_text('of an earlier session\n')
    reports = run_to_end({'node': python('print("now"); raise SystemExit(3)')}, tmp_path,
                         respawn=True)
    assert [report.log_tail for report in reports] == ['now'] * 3


def test_stop_interrupts_children_and_returns_their_codes(tmp_path, fifo):
    command = waiting(fifo, 'signal.signal(signal.SIGINT, lambda *_: os._exit(7))')
    with Supervisor({'node': command}, tmp_path, patience=QUICK) as supervisor:
        with fifo.open() as file:
            assert file.readline() == 'up\n'
            assert supervisor.stop() == {'node': 7}
            assert file.read() == ''
    assert supervisor.pids() == {}


def test_a_child_that_ignores_an_interrupt_is_terminated(tmp_path, fifo):
    command = waiting(fifo, 'signal.signal(signal.SIGINT, signal.SIG_IGN)')
    patience = Patience(interrupt=0.05, terminate=20.0)
    with Supervisor({'node': command}, tmp_path, patience=patience) as supervisor:
        with fifo.open() as file:
            assert file.readline() == 'up\n'
            assert supervisor.stop() == {'node': -signal.SIGTERM}


def test_a_child_that_ignores_everything_is_killed(tmp_path, fifo):
    command = waiting(fifo, 'for n in (2, 15): signal.signal(n, signal.SIG_IGN)')
    with Supervisor({'node': command}, tmp_path, patience=ABRUPT) as supervisor:
        with fifo.open() as file:
            assert file.readline() == 'up\n'
            assert supervisor.stop() == {'node': -signal.SIGKILL}


def test_a_death_is_reported_with_code_and_last_lines(tmp_path):
    script = 'import sys; print("\\n".join(map(str, range(20)))); sys.exit(3)'
    [report] = run_to_end({'node': python(script)}, tmp_path)
    assert report == Exit('node', 3, '\n'.join(map(str, range(10, 20))), None)


def test_a_deadly_signal_is_a_negative_code(tmp_path):
    [report] = run_to_end({'node': python('import os; os.kill(os.getpid(), 9)')}, tmp_path)
    assert (report.code, report.how) == (-signal.SIGKILL, 'was killed by signal 9')


def test_a_command_that_cannot_start_is_reported_with_the_reason(tmp_path):
    [report] = run_to_end({'node': ['/nonexistent/program']}, tmp_path)
    assert (report.code, report.restart_in) == (127, None)
    assert '/nonexistent/program' in report.log_tail


def test_respawn_backs_off_and_gives_up(tmp_path):
    reports = run_to_end({'node': python('import sys; sys.exit(1)')}, tmp_path, respawn=True)
    assert [report.restart_in for report in reports] == [0.01, 0.02, None]


@pytest.mark.parametrize('code', [0, 2])
def test_a_node_that_finished_or_refused_its_input_is_not_started_again(tmp_path, code):
    reports = run_to_end({'node': python(f'import sys; sys.exit({code})')}, tmp_path,
                         respawn=True)
    assert [report.restart_in for report in reports] == [None]


def test_a_killed_node_comes_back_under_a_new_process_id(tmp_path, fifo):
    reports = queue.Queue()
    with Supervisor({'node': waiting(fifo)}, tmp_path, respawn=True, on_exit=reports.put,
                    patience=QUICK) as supervisor:
        with fifo.open() as file:
            assert file.readline() == 'up\n'
            first = supervisor.pids()['node']
            os.kill(first, signal.SIGKILL)
            assert reports.get(timeout=30).restart_in == 0.01
        with fifo.open() as file:
            assert file.readline() == 'up\n'
            assert supervisor.pids()['node'] != first


def test_one_death_leaves_the_other_children_alone(tmp_path, fifo):
    reports = queue.Queue()
    commands = {'short': python('pass'), 'long': waiting(fifo)}
    with Supervisor(commands, tmp_path, on_exit=reports.put, patience=QUICK) as supervisor:
        with fifo.open() as file:
            assert file.readline() == 'up\n'
            assert reports.get(timeout=30).name == 'short'
            assert list(supervisor.pids()) == ['long']


def test_a_child_is_replaced_by_one_with_another_command(tmp_path, fifo):
    reports = []
    with Supervisor({'node': waiting(fifo)}, tmp_path, respawn=True, on_exit=reports.append,
                    patience=QUICK) as supervisor:
        with fifo.open() as file:
            assert file.readline() == 'up\n'
            supervisor.run('node', python('print("another")'))
            assert file.read() == ''
        assert supervisor.wait(30)
    assert [report.code for report in reports] == [0]       # that it was replaced is no death
    assert (tmp_path / 'node.log').read_text().endswith('another\n')


def test_one_more_child_joins_those_that_run(tmp_path, fifo):
    with Supervisor({'first': waiting(fifo)}, tmp_path, patience=QUICK) as supervisor:
        with fifo.open() as file:
            assert file.readline() == 'up\n'
            supervisor.run('second', waiting(fifo))
            assert file.readline() == 'up\n'
            assert set(supervisor.pids()) == {'first', 'second'}
            assert set(supervisor.stop()) == {'first', 'second'}
            assert file.read() == ''


def test_what_a_dead_child_started_dies_with_it(tmp_path, fifo):
    script = ('import subprocess, sys\n'
              'subprocess.Popen(sys.argv[1:])\n'
              'open(sys.argv[-1] + ".started", "w").close()')
    reports = run_to_end({'node': python(script, *waiting(fifo))}, tmp_path)
    assert [report.code for report in reports] == [0]
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert os.read(reader, 100) == b''      # end of file: nobody holds it open
    finally:
        os.close(reader)


def test_children_get_the_given_variables_and_no_ros_setting_of_our_own(tmp_path, monkeypatch):
    monkeypatch.delenv('ROS_AUTOMATIC_DISCOVERY_RANGE', raising=False)
    script = ('import os\n'
              'print(os.environ.get("ROS_DOMAIN_ID"),'
              ' os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE"))')
    run_to_end({'node': python(script)}, tmp_path, env={'ROS_DOMAIN_ID': '42'})
    assert (tmp_path / 'log/node.log').read_text() == '42 None\n'


def test_an_exception_in_the_block_stops_the_children(tmp_path, fifo):
    with pytest.raises(RuntimeError):
        with Supervisor({'node': waiting(fifo)}, tmp_path, patience=QUICK):
            file = fifo.open()
            assert file.readline() == 'up\n'
            raise RuntimeError
    assert file.read() == ''        # returns at end of file: the child is gone
    file.close()


PARENT = """
import sys
from robot_rl.processes import Patience, Supervisor
patience = Patience(interrupt=float(sys.argv[2]), terminate=0.1)
with Supervisor({'node': sys.argv[3:]}, sys.argv[1], patience=patience) as supervisor:
    supervisor.wait()
"""


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize('stubborn', [False, True])
def test_no_child_outlives_its_parent(tmp_path, fifo, number, stubborn):
    before = 'for n in (2, 15): signal.signal(n, signal.SIG_IGN)' if stubborn else ''
    parent = subprocess.Popen(
        [sys.executable, '-c', PARENT, tmp_path / 'log', '0.1' if stubborn else '20',
         *waiting(fifo, before)],
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, stderr=subprocess.DEVNULL)
    with fifo.open() as file:
        assert file.readline() == 'up\n'
        parent.send_signal(number)
        assert file.read() == ''        # returns at end of file: the child is gone
    parent.wait(30)


def test_a_second_interrupt_while_stopping_kills_at_once(tmp_path, fifo):
    before = ('def say(*_): os.write(file.fileno(), b"asked\\n")\n'
              'signal.signal(signal.SIGINT, say)')
    parent = subprocess.Popen(
        [sys.executable, '-c', PARENT, tmp_path / 'log', '1000', *waiting(fifo, before)],
        env={**os.environ, 'PYTHONPATH': str(ROOT)}, stderr=subprocess.DEVNULL)
    with fifo.open() as file:
        assert file.readline() == 'up\n'
        parent.send_signal(signal.SIGINT)
        assert file.readline() == 'asked\n'
        parent.send_signal(signal.SIGINT)
        assert file.read() == ''
    parent.wait(30)
