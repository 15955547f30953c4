"""Recordings -> the formats of other people's training tools, one run of steps at a time.

Bags are read as demo_ingest reads them, whoever recorded them. A run is a piece of an episode
without a gap: in the other formats row i + 1 follows row i, so what was lost must part two of
them, and nobody learns a transition that never was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from robot_rl.contract import Contract
from robot_rl.data.bag_metadata import METADATA_FILE, read_metadata
from robot_rl.data.ingest import Demonstration, Ingest, IngestSettings, Reading
from robot_rl.data.steps import Status, Step
from robot_rl.data.transitions import COLUMNS, LABELS, step_pairs, Transitions
from robot_rl.errors import UserError

CUT = 'incomplete'                  # outcome of a run after which records were lost


@dataclass(frozen=True)
class Run:
    """k transitions in a row, and the k + 1 step records that they are of."""

    bag: str                        # name of the recording
    session: str                    # of the recorder; '' where somebody else recorded it
    label: str                      # a person's verdict, success or failure, or ''
    outcome: str                    # of the episode; CUT where the run is not its end
    steps: tuple[Step, ...]         # k + 1; the last is not RUNNING
    transitions: Transitions        # k

    def __len__(self) -> int:
        return len(self.transitions)


@dataclass(frozen=True)
class Exported:
    """What was written, and what each recording gave."""

    runs: int
    transitions: int
    successes: int
    readings: list[Reading]

    def left_out(self) -> list[str]:
        """Return a line for each recording or episode that is not in the export."""
        lines = [reading.refused for reading in self.readings if reading.refused]
        return lines + [f'{reading.recording}: episode {episode["episode"]}: {episode["reason"]}'
                        for reading in self.readings for episode in reading.episodes
                        if not episode['taken']]


Add = Callable[[Run], None]
Format = Callable[[Path, Contract], AbstractContextManager[Add]]


def export(roots: Iterable[Path], target: Path, contract: Contract, write: Format,
           show: Callable[[int, int], None] = lambda runs, transitions: None) -> Exported:
    """Write the episodes of bags to a new file or folder; discarded episodes are none.

    `show` is told how many runs and transitions were written. Memory holds one episode. Raises
    UserError where the target exists or where there is nothing to write.
    """
    ingest = Ingest(roots, contract, IngestSettings(min_steps=1))
    count = transitions = successes = 0
    with write(target, contract) as add:
        for found in ingest:
            for run in split_runs(found):
                add(run)
                count, transitions = count + 1, transitions + len(run)
                successes += run.outcome == 'success'
                show(count, transitions)
        exported = Exported(count, transitions, successes, ingest.readings)
        if not count:
            raise UserError('\n'.join(['no episode to export', *exported.left_out()[:20]]))
    return exported


def split_runs(found: Demonstration) -> Iterator[Run]:
    """Yield the runs of one episode; together they have all its transitions, in order."""
    pairs = step_pairs(found.steps)
    ends = [index + 1 for index, (_, after) in enumerate(pairs)
            if index + 1 == len(pairs) or pairs[index + 1][0] is not after]
    folder = Path(found.recording)
    known = read_metadata(folder).custom_data if (folder / METADATA_FILE).is_file() else {}
    label = known.get('label', '') if known.get('label') in LABELS else ''
    for first, end in zip([0, *ends], ends):
        last, whole = pairs[end - 1][1], end == len(pairs)
        if last.status is Status.RUNNING:       # what came next was lost
            last = replace(last, status=Status.TRUNCATED)
        yield Run(folder.name, known.get('session', ''), label if whole else '',
                  found.outcome if whole else CUT,
                  (*(now for now, _ in pairs[first:end]), last),
                  Transitions(*(getattr(found.transitions, name)[first:end] for name in COLUMNS)))
