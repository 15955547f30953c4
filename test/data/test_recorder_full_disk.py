"""A disk that is really full, or only reads: what was written is kept, and recording goes on.

The tests run this file as a script, where the disk or the process has limits of its own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
import resource
import subprocess
import sys
import time

import pytest
from recording import (episode_steps, EVENTS, make_step, Recording, STEP, step_bytes, text_bytes,
                       TOPICS, wait_until)
from robot_rl.contract import load_contract
from robot_rl.data.bag import bag_transitions, read_bag, read_info
from robot_rl.errors import UserError
from small_disk import fill, run_on_small_disk

BIG = text_bytes('x' * 4096)
STEPS_BEFORE = 20


class Limit:
    """The largest file that this process may write: refuses as a full disk does."""

    def __init__(self, size: int):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def unlink(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


def cut(disk: Path, contract, refuse) -> dict:
    """Record until the disk refuses in the middle of an episode, then with room again."""
    recording = Recording(disk / 'bags', contract, flush_period=0.05, min_free_bytes=0)
    for index in range(STEPS_BEFORE):
        step = make_step(index)
        recording.recorder.put(EVENTS, text_bytes(f'{index}'), step.stamp, step.stamp)
        recording.recorder.put(STEP, step_bytes(step), step.stamp, time.time_ns())
    wait_until(lambda: recording.recorder.stats()['flushed'] == 2 * STEPS_BEFORE)
    barrier = refuse()
    step = make_step(STEPS_BEFORE - 1)
    while not recording.recorder.stats()['write_error']:
        recording.recorder.put(EVENTS, BIG, step.stamp, step.stamp)
    folder = disk / 'bags' / 'episode_000001'
    found = list(read_bag(folder, [TOPICS[STEP].name]))
    during = {'reason': recording.wait_event('write_error')['reason'], 'readable': len(found),
              'complete': read_info(folder).complete, 'waiting': recording.recorder.stats()['cut'],
              'published': recording.episodes.qsize()}
    barrier.unlink()
    record = recording.next_episode()
    same = len(bag_transitions(recording.root / record.name, contract)) == len(record.transitions)
    after = {'name': record.name, 'outcome': record.outcome, 'same': same,
             'transitions': len(record.transitions),
             'cut': read_info(recording.root / record.name).custom_data['cut']}
    recording.send(episode_steps(3, episode=1))
    last = recording.next_episode()
    recording.recorder.close()
    return {**during, **after, 'next': [last.name, last.sequence, last.total]}


def reach_the_floor(disk: Path, contract) -> dict:
    """Record while another program takes the room."""
    recording = Recording(disk / 'bags', contract, min_free_bytes=1 << 20)
    recording.send(episode_steps(9)[:5])
    recording.wait_event('start')
    ballast = fill(disk)
    with open(ballast, 'r+b') as file:      # some is left, less than the floor
        file.truncate(ballast.stat().st_size - (1 << 19))
    record = recording.next_episode()
    refused = recording.recorder.start_episode()
    info = read_info(recording.root / record.name)
    ballast.unlink()
    wait_until(lambda: recording.recorder.start_episode()[0])
    recording.recorder.close()
    return {'outcome': record.outcome, 'transitions': len(record.transitions), 'refused': refused,
            'complete': info.complete, 'cut': info.custom_data['cut']}


def start_read_only(disk: Path, contract) -> dict:
    """Try to record into a folder that only reads."""
    subprocess.run(['mount', '-o', 'remount,ro', str(disk)], check=True)
    try:
        Recording(disk / 'bags', contract)
    except UserError as error:
        return {'error': str(error)}


def main(disk: str, what: str, file: str) -> None:
    contract, disk = load_contract(file), Path(disk)
    print(json.dumps({
        'full': lambda: cut(disk, contract, lambda: fill(disk)),
        'limited': lambda: cut(disk, contract, lambda: Limit(100_000)),
        'floor': lambda: reach_the_floor(disk, contract),
        'read_only': lambda: start_read_only(disk, contract)}[what]()))


@pytest.mark.parametrize(('what', 'why'), [('full', 'No space left on device'),
                                           ('limited', 'File too large')])
def test_cut_in_the_middle_of_an_episode_what_was_flushed_is_kept_and_mended(
        contract, tmp_path, what, why):
    if what == 'full':
        found = run_on_small_disk(tmp_path / 'disk', '4m', Path(__file__), what,
                                  str(contract.file))
    else:
        found = subprocess.run(
            [sys.executable, __file__, tmp_path, what, contract.file], check=True, text=True,
            stdout=subprocess.PIPE, timeout=100,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}).stdout
    found = json.loads(found)
    assert why in found['reason'] and why in found['cut']
    assert found['readable'] == STEPS_BEFORE and not found['complete']
    assert (found['name'], found['outcome'], found['same']) == (
        'episode_000001_recovered', 'incomplete', True)
    assert found['transitions'] == STEPS_BEFORE - 1
    assert found['next'] == ['episode_000002', 2, 2]
    if what == 'full':      # the limit is on one file: beside it there was room all the time
        assert (found['waiting'], found['published']) == (1, 0)


def test_below_the_floor_the_episode_ends_whole_and_none_begins(contract, tmp_path):
    found = json.loads(run_on_small_disk(tmp_path / 'disk', '4m', Path(__file__), 'floor',
                                         str(contract.file)))
    assert (found['outcome'], found['transitions'], found['complete']) == ('incomplete', 4, True)
    assert found['cut'].startswith('the disk is nearly full')
    assert found['refused'][0] is False and 'nearly full' in found['refused'][1]


def test_a_read_only_folder_is_refused_by_name(contract, tmp_path):
    found = json.loads(run_on_small_disk(tmp_path / 'disk', '4m', Path(__file__), 'read_only',
                                         str(contract.file)))
    assert found['error'] == (f'{tmp_path}/disk/bags: Read-only file system; name a folder that '
                              'can be written')


if __name__ == '__main__':
    main(*sys.argv[1:])
