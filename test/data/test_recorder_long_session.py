"""The ten-thousandth episode costs what the first did: `python THIS_FILE 10000` measures it."""

from __future__ import annotations

import gc
import os
from pathlib import Path
import sys
import tempfile
import time

from recording import episode_steps, JOINTS, Recording, text_bytes
from robot_rl.contract import Contract, load_contract

EPISODES = 2000     # in fifths: the first warms up, the second is compared with the last
PAGE = os.sysconf('SC_PAGE_SIZE')


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * PAGE


def measure(root: Path, contract: Contract, episodes: int) -> list[tuple[float, int, int]]:
    """Return (CPU s per episode, allocated blocks, bytes resident) at the end of each fifth."""
    recording, fifths = Recording(root, contract), []
    for _ in range(5):
        began = time.process_time()
        for number in range(episodes // 5):
            recording.recorder.put(JOINTS, text_bytes('joints'), 1, 1)
            recording.send(episode_steps(3, episode=number))
            recording.next_episode()
        recording.events.clear()        # the tests' own list
        spent = time.process_time() - began
        gc.collect()
        fifths.append((spent / (episodes // 5), sys.getallocatedblocks(), resident()))
    recording.recorder.close()
    return fifths


def test_neither_memory_nor_the_cost_of_an_episode_grows(tmp_path, contract, monkeypatch):
    monkeypatch.setattr('os.fsync', lambda descriptor: None)    # the disk's time is not ours
    _, (second, blocks, memory), _, _, (last, blocks_then, memory_then) = measure(
        tmp_path / 'bags', contract, EPISODES)
    assert last < 1.3 * second
    assert blocks_then - blocks < 0.25 * EPISODES       # one each would be 0.6
    assert memory_then - memory < 1e6


if __name__ == '__main__':
    from conftest import CONTRACT
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'tiny.yaml'
        file.write_text(CONTRACT)
        for spent, blocks, memory in measure(Path(folder) / 'bags', load_contract(file),
                                             int(sys.argv[1])):
            print(f'{1e3 * spent:.2f} ms CPU per episode, {blocks} blocks, '
                  f'{memory / 2**20:.1f} MiB', flush=True)
        began = time.monotonic()
        again = Recording(Path(folder) / 'bags', load_contract(file))
        print(f'{time.monotonic() - began:.1f} s to start again on them')
        again.recorder.close()
