"""What an ingest took, what it dropped and why: as a table, as JSON and as a picture."""

from __future__ import annotations

from collections import Counter
import json
from pathlib import Path

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.ingest import Demonstration, Reading
from robot_rl.files import write_atomic

MAX_POINTS = 20_000             # drawn
JSON_FILE, TEXT_FILE, IMAGE_FILE = 'demonstrations.json', 'demonstrations.txt', 'coverage.png'


class IngestReport:
    """Collects while an ingest is iterated over; holds no more than what is drawn."""

    def __init__(self, contract: Contract):
        self._contract = contract
        self._axes = _plane(contract)
        self._lengths: list[tuple[int, str]] = []       # actions and outcome of each episode
        self._starts: list[np.ndarray] = []
        self._points: list[np.ndarray] = []
        self._drawn = 0
        self.transitions = 0
        self.successes = 0

    @property
    def episodes(self) -> int:
        """Taken so far."""
        return len(self._lengths)

    def add(self, found: Demonstration) -> None:
        """Take one demonstration."""
        self.transitions += len(found.transitions)
        self.successes += found.outcome == 'success'
        self._lengths.append((len(found.transitions), found.outcome or 'unknown'))
        points = found.transitions.observation[:, self._axes]
        self._starts.append(points[0])
        if self._drawn < MAX_POINTS:
            self._points.append(points)
            self._drawn += len(points)

    def summary(self, readings: list[Reading]) -> dict:
        """Return everything as plain values."""
        reasons = Counter(_kind(episode['reason']) for reading in readings
                          for episode in reading.episodes if episode['reason'])
        return {
            'task': self._contract.task, 'contract_hash': self._contract.hash,
            'recordings': len(readings),
            'refused': sum(bool(reading.refused) for reading in readings),
            'damaged': sum(bool(reading.damage) for reading in readings),
            'episodes_taken': self.episodes, 'episodes_dropped': reasons.total(),
            'dropped_because': dict(reasons), 'successes': self.successes,
            'transitions': self.transitions,
            'seconds': round(self.transitions / self._contract.control_rate, 3),
            'readings': [{'recording': reading.recording, 'refused': reading.refused,
                          'damage': reading.damage, 'dropped': dict(reading.dropped),
                          'episodes': reading.episodes} for reading in readings]}

    def write(self, folder: Path, readings: list[Reading]) -> None:
        """Write the three files into a folder; what the disk refuses raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        summary = self.summary(readings)
        write_atomic(folder / TEXT_FILE, table(summary))
        self._plot(folder / IMAGE_FILE)
        write_atomic(folder / JSON_FILE, json.dumps(summary, indent=2) + '\n')

    def _plot(self, file: Path) -> None:
        """Draw how long the episodes are, and where they begin and go."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout='constrained')
        left, right = figure.subplots(1, 2)
        outcomes = sorted({outcome for _, outcome in self._lengths})
        left.hist([[length for length, outcome in self._lengths if outcome == wanted]
                   for wanted in outcomes] or [[]], bins=20, stacked=True,
                  label=outcomes or None)
        left.set(title=f'{self.episodes} episodes, {self.transitions} steps',
                 xlabel=f'steps of {1 / self._contract.control_rate:g} s', ylabel='episodes')
        if outcomes:
            left.legend()
            points = np.concatenate(self._points)[:MAX_POINTS]
            right.plot(*points.T, '.', markersize=2, alpha=0.3, label='visited')
            right.plot(*np.array(self._starts).T, 'x', color='black', label='start')
            right.legend(loc='upper right')
        names = [self._contract.layout.names[axis] for axis in self._axes]
        right.set(title='coverage', xlabel=names[0], ylabel=names[1])
        temporary = file.with_name(f'.{file.name}')
        figure.savefig(temporary, format='png', dpi=100)
        write_atomic(file, temporary.read_bytes())
        temporary.unlink()


def table(summary: dict) -> str:
    """Return a line per episode and per refused recording, then the sums."""
    rows = [('recording', 'episode', 'outcome', 'steps', 'taken', 'why not, or what was dropped')]
    for reading in summary['readings']:
        notes = [*reading['damage'], *(f'{reason} ({count})'
                                       for reason, count in reading['dropped'].items())]
        name = Path(reading['recording']).name
        if reading['refused']:
            rows.append((name, '', '', '', 'no', reading['refused']))
            continue
        for index, episode in enumerate(reading['episodes']):
            told = [episode['reason'], *(notes if index == 0 else [])]
            rows.append((name, str(episode['episode']), episode['outcome'],
                         str(episode['actions']), 'yes' if episode['taken'] else 'no',
                         '; '.join(filter(None, told))))
    widths = [max(len(row[column]) for row in rows) for column in range(5)] + [0]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
             for row in rows]
    lines += ['', f"{summary['episodes_taken']} episodes taken ({summary['successes']} "
              f"successes), {summary['transitions']} steps, {summary['seconds']:g} s; "
              f"{summary['episodes_dropped']} dropped; of {summary['recordings']} recordings "
              f"{summary['refused']} refused, {summary['damaged']} damaged", '']
    return '\n'.join(lines)


def _kind(reason: str) -> str:
    return reason.partition(':')[0]


def _plane(contract: Contract) -> list[int]:
    """Return two numbers of an observation to draw: of the features, or of the last entry."""
    simulation = contract.simulation
    wanted = simulation.features if simulation else ()
    names = contract.layout.names
    chosen = [index for index, name in enumerate(names) if any(
        f'{name}.'.startswith(f'{feature}.') for feature in wanted)]
    if len(chosen) < 2:
        chosen = [index for index, name in enumerate(names)
                  if name.startswith(f'{contract.observations[-1].name}.')]
    return (chosen if len(chosen) > 1 else [0, len(names) - 1])[:2]
