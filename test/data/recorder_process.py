"""Record until killed: python recorder_process.py CONTRACT ROOT FLUSH_PERIOD.

Prints `put flushed` after every message: how many messages were put into the recorder, and how
many of them it had handed to the operating system.
"""

from __future__ import annotations

from pathlib import Path
import sys
import time

from recording import EVENTS, make_step, STEP, step_bytes, STEPS, text_bytes, TOPICS
from robot_rl.contract import load_contract
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings


def main(contract: str, root: str, flush_period: str) -> None:
    recorder = EpisodeRecorder(
        Path(root), load_contract(contract), TOPICS, RecorderSettings(float(flush_period)), STEPS,
        lambda record: None, lambda kind, values: None)
    recorder.put(STEP, step_bytes(make_step(0)), 0, 0)
    for count in range(1, 1_000_000):
        recorder.put(EVENTS, text_bytes(f'{count:200d}'), count, count)
        print(count, recorder.stats()['flushed'], flush=True)
        time.sleep(0.0005)


if __name__ == '__main__':
    main(*sys.argv[1:])
