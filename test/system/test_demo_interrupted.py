from __future__ import annotations

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
from robot_rl.data.bag import find_bags, read_info

EXIT_TIMEOUT = 20.0     # s
pytestmark = pytest.mark.usefixtures('own_domain')


def children(parent: int) -> set[int]:
    """Return the processes below one, from /proc."""
    found = set()
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:     # it ended
            continue
        if int(fields[1]) == parent:
            found |= {int(path.parent.name)} | children(int(path.parent.name))
    return found


def running(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def wait_until(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'never came true'
        time.sleep(0.05)


def start_demo(run_dir: Path, log: Path, *arguments: str) -> subprocess.Popen:
    with log.open('wb') as output:
        return subprocess.Popen(
            [sys.executable, '-u', '-m', 'robot_rl.cli', 'demo', '--run-dir', str(run_dir),
             '--contract', 'reach', '--gap', 'mild', '--sim-steps', '21600', '--no-video',
             *arguments],
            stdout=output, stderr=subprocess.STDOUT)


def bags_recorded(run_dir: Path) -> int:
    return len(list((run_dir / 'bags').glob('episode_*')))


def node_pid(demo: subprocess.Popen, name: str) -> int | None:
    """Return the process of a node of the demo, None while there is none."""
    for pid in children(demo.pid):
        try:
            words = Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
        except OSError:
            continue
        if f'robot_rl.nodes.{name}'.encode() in words:
            return pid
    return None


@pytest.mark.timeout(300)
def test_the_demo_goes_on_when_its_nodes_are_killed(tmp_path):
    run_dir, log = tmp_path / 'run', tmp_path / 'demo.log'
    demo = start_demo(run_dir, log, '--evaluation', '5', '--target', '0.8')
    try:
        for name, moment in (
                ('sim_bridge', lambda: any(run_dir.glob('explorers/*/round_0002*'))),
                ('policy_server', lambda: bags_recorded(run_dir) > 8),
                ('sac_learner', lambda: bags_recorded(run_dir) > 14),
                ('data_recorder', lambda: bags_recorded(run_dir) > 20)):
            wait_until(lambda: demo.poll() is not None or moment(), 60.0)
            assert demo.poll() is None, log.read_text()
            os.kill(node_pid(demo, name), signal.SIGKILL)
        code = demo.wait(240.0)
    finally:
        demo.kill()
        demo.wait()
    assert code == 0, log.read_text()
    report = json.loads((run_dir / 'report.json').read_text())
    assert report['transitions_recorded'] == report['transitions_received'] > 0
    assert report['success_final'] >= 0.6 and log.read_text().count('ended with code -9') == 4


def test_ctrl_c_while_learning_leaves_a_report_and_no_process(tmp_path):
    run_dir, log = tmp_path / 'run', tmp_path / 'demo.log'
    demo = start_demo(run_dir, log, '--evaluation', '2', '--target', '1')
    try:
        wait_until(lambda: demo.poll() is not None or bags_recorded(run_dir) > 12, 60.0)
        assert demo.poll() is None, log.read_text()
        nodes = children(demo.pid)
        assert len(nodes) >= 6      # five nodes and their guard
        began = time.monotonic()
        os.kill(demo.pid, signal.SIGINT)
        code = demo.wait(EXIT_TIMEOUT)
    finally:
        demo.kill()
        demo.wait()
    assert code == 130, log.read_text()
    assert time.monotonic() - began < EXIT_TIMEOUT
    wait_until(lambda: not any(running(pid) for pid in nodes), 2.0)
    report = json.loads((run_dir / 'report.json').read_text())
    bags = find_bags(run_dir / 'bags')
    assert (report['ended'], report['episodes']) == ('interrupted', len(bags))
    assert (run_dir / 'success.png').read_bytes().startswith(b'\x89PNG')
    assert all(read_info(bag).complete for bag in bags)
    text = log.read_text() + ''.join(path.read_text() for path in (run_dir / 'logs').iterdir())
    assert 'Traceback' not in text
