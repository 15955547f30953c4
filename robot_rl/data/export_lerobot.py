"""Runs of steps -> a folder as LeRobot reads it: LeRobotDataset v3.0, without videos.

    meta/info.json                              features with names, units and shapes; rate, counts
    meta/stats.json                             min, max, mean, std, quantiles of each feature
    meta/tasks.parquet                          one task: the contract's
    meta/episodes/chunk-000/file-000.parquet    one row for each run: where its rows lie, outcome,
                                                bag, statistics
    meta/robot_rl.json                          the contract; LeRobot does not read it
    data/chunk-000/file-000.parquet             one row for each transition, one group for each run

Written by pyarrow alone: the package lerobot pins its own torch. LeRobot has no place for the
observation after the last action, and computes `timestamp` from the rate; `stamp` has the real
time. `next.done` says that the task ended, `next.truncated` that only the recording did.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.export import Add, Run
from robot_rl.data.export_lerobot_stats import RunningStats
from robot_rl.errors import UserError
from robot_rl.files import new_path

VERSION = 'v3.0'
CHUNK_FILES = 1000                  # in one folder
FILE_BYTES = 100 << 20              # of rows, before another file is begun
EPISODES_AT_ONCE = 100              # rows of meta/episodes that wait in memory
FILE = 'chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
DATA, EPISODES = f'data/{FILE}', f'meta/episodes/{FILE}'
INDICES = {'timestamp': 'float32', 'frame_index': 'int64', 'episode_index': 'int64',
           'index': 'int64', 'task_index': 'int64'}
SIGNALS = {'next.reward': 'float32', 'next.done': 'bool', 'next.truncated': 'bool',
           'next.success': 'bool', 'complementary_info.is_intervention': 'bool',
           'stamp': 'int64'}


@contextmanager
def lerobot_folder(folder: Path, contract: Contract) -> Iterator[Add]:
    """Give a function that appends a run; the folder has its name once all are in it."""
    _pyarrow()
    with new_path(folder) as unfinished:
        rows = _Rows(unfinished, contract)
        try:
            yield rows.add
            rows.finish()
        finally:
            rows.close()


def features(contract: Contract) -> dict[str, dict]:
    """Return what info.json says of each column."""
    found = {key: {'dtype': 'float32', 'shape': [len(layout)], 'names': list(layout.names),
                   'info': {'units': list(layout.units)}}
             for key, layout in (('observation.state', contract.layout),
                                 ('action', contract.action.layout))}
    for key, kind in {**SIGNALS, **INDICES}.items():
        found[key] = {'dtype': kind, 'shape': [1], 'names': None}
    found['stamp']['info'] = {'units': ['ns']}
    return found


class _Rows:
    """The open files; memory holds one run and some rows of meta/episodes."""

    def __init__(self, root: Path, contract: Contract):
        self._root, self._contract, self._features = root, contract, features(contract)
        rate = contract.control_rate
        self._rate = int(rate) if rate.is_integer() else rate
        self._stats = RunningStats()
        self._data = self._episodes = None          # ParquetWriter
        self._file = self._file_bytes = 0           # number and size of the open data file
        self._frames = self._runs = 0
        self._waiting: list[dict] = []

    def add(self, run: Run) -> None:
        """Append the transitions of a run as rows, and what is known of it."""
        columns = self._columns(run)
        table = self._table(columns)
        if self._data and self._file_bytes + table.nbytes > FILE_BYTES:
            self._data.close()
            self._data, self._file, self._file_bytes = None, self._file + 1, 0
        chunk, file = divmod(self._file, CHUNK_FILES)
        if not self._data:
            self._data = self._open(DATA.format(chunk_index=chunk, file_index=file), table.schema)
        self._data.write_table(table)
        self._file_bytes += table.nbytes
        stats = self._stats.add(columns)
        self._waiting.append({
            'episode_index': self._runs, 'tasks': [self._contract.task], 'length': len(run),
            'data/chunk_index': chunk, 'data/file_index': file,
            'dataset_from_index': self._frames, 'dataset_to_index': self._frames + len(run),
            'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0,
            'success': run.outcome == 'success', 'outcome': run.outcome, 'label': run.label,
            'mode': run.steps[0].mode.name.lower(), 'bag': run.bag, 'session': run.session,
            **{f'stats/{key}/{name}': values for key, found in stats.items()
               for name, values in found.items()}})
        self._frames, self._runs = self._frames + len(run), self._runs + 1
        if len(self._waiting) == EPISODES_AT_ONCE:
            self._write_episodes()

    def finish(self) -> None:
        """Write what is known only now."""
        self._write_episodes()
        self.close()
        contract = self._contract
        _write_json(self._root / 'meta/info.json', {
            'codebase_version': VERSION, 'robot_type': None, 'total_episodes': self._runs,
            'total_frames': self._frames, 'total_tasks': 1, 'chunks_size': CHUNK_FILES,
            'data_files_size_in_mb': FILE_BYTES >> 20, 'video_files_size_in_mb': 200,
            'fps': self._rate, 'splits': {'train': f'0:{self._runs}'}, 'data_path': DATA,
            'video_path': None, 'features': self._features})
        _write_json(self._root / 'meta/stats.json', self._stats.total())
        _write_json(self._root / 'meta/robot_rl.json', {
            'contract_hash': contract.hash, 'interface': contract.interface,
            'contract': contract.text})
        pa, pq = _pyarrow()
        table = pa.table({'task_index': pa.array([0]), 'task': pa.array([contract.task])})
        pq.write_table(table.replace_schema_metadata({'pandas': json.dumps(_PANDAS)}),
                       self._root / 'meta/tasks.parquet')

    def close(self) -> None:
        """Let go of the files."""
        for writer in (self._data, self._episodes):
            if writer:
                writer.close()
        self._data = self._episodes = None

    def _columns(self, run: Run) -> dict[str, np.ndarray]:
        """Return a row for each transition, (k,) or (k, c)."""
        found, k = run.transitions, len(run)
        success = np.zeros(k, bool)
        success[-1] = run.outcome == 'success'
        frame = np.arange(k)
        return {
            'observation.state': found.observation, 'action': found.action,
            'next.reward': found.reward, 'next.done': found.terminated.astype(bool),
            'next.truncated': found.truncated.astype(bool), 'next.success': success,
            'complementary_info.is_intervention': found.human.astype(bool),
            'stamp': np.array([step.stamp for step in run.steps[:-1]], np.int64),
            'timestamp': (frame / self._rate).astype(np.float32), 'frame_index': frame,
            'episode_index': np.full(k, self._runs), 'index': self._frames + frame,
            'task_index': np.zeros(k, np.int64)}

    def _table(self, columns: dict[str, np.ndarray]):
        pa, _ = _pyarrow()
        arrays = {}
        for key, values in columns.items():
            flat = pa.array(values.ravel())
            width, = self._features[key]['shape']       # of one: a plain number, as LeRobot's own
            arrays[key] = flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)
        return pa.table(arrays)

    def _write_episodes(self) -> None:
        if not self._waiting:
            return
        pa, _ = _pyarrow()
        table = pa.Table.from_pylist(self._waiting)
        if not self._episodes:
            self._episodes = self._open(EPISODES.format(chunk_index=0, file_index=0), table.schema)
        self._episodes.write_table(table)
        self._waiting.clear()

    def _open(self, name: str, schema):
        _, pq = _pyarrow()
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return pq.ParquetWriter(path, schema)


def _pyarrow():
    """Return pyarrow and its parquet, or raise UserError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError('Data sets of LeRobot need pyarrow; install it with `pip install pyarrow`'
                        ) from None
    return pyarrow, pyarrow.parquet


def _write_json(path: Path, document: dict) -> None:
    path.write_text(json.dumps(document, indent=4) + '\n', encoding='utf-8')


# LeRobot looks tasks up by the index of a pandas table; this is how parquet tells which it is.
_PANDAS = {
    'index_columns': ['task'], 'column_indexes': [], 'pandas_version': '2.0.0',
    'columns': [{'name': name, 'field_name': name, 'pandas_type': kind, 'numpy_type': numpy_type,
                 'metadata': None} for name, kind, numpy_type in (
                     ('task_index', 'int64', 'int64'), ('task', 'unicode', 'object'))]}
