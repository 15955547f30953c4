"""The second story as a user starts it, with the smallest of budgets."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import json
import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest
from robot_rl.data.bag import find_bags, read_info
from test_demo_interrupted import children, EXIT_TIMEOUT, node_pid, running, wait_until

PATIENCE = 120.0        # s
pytestmark = pytest.mark.usefixtures('own_domain')


@contextlib.contextmanager
def demo(run_dir: Path, log: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """Run the demo; it is gone afterwards, whatever happened."""
    with log.open('wb') as output:
        process = subprocess.Popen(
            [sys.executable, '-u', '-m', 'robot_rl.cli', 'demo-demonstrations', '--run-dir',
             str(run_dir), '--demonstrations', '3', '--members', '2', '--fit-updates', '250',
             '--no-video', *arguments], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def count(run_dir: Path, folder: str) -> int:
    return len(list((run_dir / folder).glob('episode_*')))


@pytest.mark.timeout(400)
def test_the_story_goes_on_when_its_nodes_are_killed(tmp_path):
    run_dir, log = tmp_path / 'run', tmp_path / 'demo.log'
    with demo(run_dir, log, '--evaluation', '3', '--max-episodes', '3') as process:
        for name, moment in (
                ('sim_bridge', lambda: count(run_dir, 'demonstrations') > 0),
                ('demo_ingest', lambda: any(run_dir.glob('demonstrators/*/*/checkpoint_*'))),
                ('policy_server', lambda: count(run_dir, 'measured') > 0),
                ('data_recorder', lambda: count(run_dir, 'measured') > 4),
                ('sac_learner', lambda: count(run_dir, 'bags') > 0)):
            wait_until(lambda: process.poll() is not None or moment(), PATIENCE)
            assert process.poll() is None, log.read_text()
            os.kill(node_pid(process, name), signal.SIGKILL)
        code = process.wait(PATIENCE)
    assert code == 0, log.read_text()
    assert log.read_text().count('ended with code -9') == 5
    report = json.loads((run_dir / 'report.json').read_text())
    assert [one['name'] for one in report['demonstrators']] == ['BC', 'posterior']
    for one in report['demonstrators']:
        assert one['episodes'] >= 2 and len(one['covered']) == 4
    assert report['episodes_learned_from'] >= 3
    assert report['kept']['policy'] in ('learned', 'demonstrator')
    assert (run_dir / 'policy.safetensors').stat().st_size > 0
    for picture in ('success.png', 'calibration.png'):
        assert (run_dir / picture).read_bytes().startswith(b'\x89PNG')


def test_ctrl_c_in_a_fit_leaves_a_report_and_no_process(tmp_path):
    run_dir, log = tmp_path / 'run', tmp_path / 'demo.log'
    with demo(run_dir, log, '--fit-updates', '1000000') as process:
        wait_until(lambda: process.poll() is not None
                   or any(run_dir.glob('demonstrators/*/*/checkpoint_*')), PATIENCE)
        assert process.poll() is None, log.read_text()
        nodes = children(process.pid)
        assert len(nodes) >= 7      # five nodes, their guard and the fit
        os.kill(process.pid, signal.SIGINT)
        code = process.wait(EXIT_TIMEOUT)
    assert code == 130, log.read_text()
    wait_until(lambda: not any(running(pid) for pid in nodes), 2.0)
    report = json.loads((run_dir / 'report.json').read_text())
    bags = find_bags(run_dir / 'demonstrations')
    assert (report['ended'], report['episodes'], len(bags)) == ('interrupted', 3, 3)
    assert all(read_info(bag).complete for bag in bags)
    text = log.read_text() + ''.join(path.read_text() for path in (run_dir / 'logs').iterdir())
    assert 'Traceback' not in text
