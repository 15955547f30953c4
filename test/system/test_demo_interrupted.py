from __future__ import annotations

import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from robot_rl.data.bag import find_bags, read_info

EXIT_TIMEOUT = 20.0     # s


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


def test_ctrl_c_while_learning_leaves_a_report_and_no_process(tmp_path):
    run_dir, log = tmp_path / 'run', tmp_path / 'demo.log'
    with log.open('wb') as output:
        demo = subprocess.Popen(
            [sys.executable, '-u', '-m', 'robot_rl.cli', 'demo', '--run-dir', str(run_dir),
             '--contract', 'reach', '--evaluation', '2', '--target', '2', '--no-video'],
            stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: demo.poll() is not None or len(
            list((run_dir / 'bags').glob('episode_*'))) > 12, 60.0)
        assert demo.poll() is None, log.read_text()
        nodes = children(demo.pid)
        assert len(nodes) >= 5      # four nodes and their guard
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
