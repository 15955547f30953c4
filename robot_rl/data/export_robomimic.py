"""Runs of steps -> one HDF5 file as robomimic reads it (robomimic docs, "Dataset Structure").

    data/demo_0/obs/<entry>         (k, c)  one key for each observation of the contract
    data/demo_0/next_obs/<entry>    (k, c)
    data/demo_0/actions             (k, m)  -1 is the contract's low and 1 its high
    data/demo_0/rewards, dones      (k,)    done: the task ended, not the recording
    data/demo_0/executed            (k, m)  the actions in the contract's units
    data/demo_0/truncated           (k,)    only the recording ended
    mask/success                    names of the demos that succeeded
    robot_rl/contract, interface    texts
    robot_rl/demo_0/...             (k + 1, ...)  the rest of the step records, and texts

There are no `states`: those are of a simulator, and a robot has none. Numbers have 64 bits, so
that an import gives the same transitions to the bit. Attributes are for people. Our import reads
what is below robot_rl/, texts of fixed length: those of variable length lie in a heap, and one
that is damaged keeps libhdf5 busy for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path

import numpy as np

from robot_rl.contract import Contract
from robot_rl.data.export import Add, Run
from robot_rl.errors import UserError
from robot_rl.files import new_path

GYM = 2                 # robomimic's EnvType that asks for nothing; there is no environment
TEXTS = ('bag', 'session', 'label', 'outcome')
STEP_COLUMNS = ('stamp', 'status', 'source', 'mode', 'policy_version', 'success')
OURS, LAYOUT = 'robot_rl', '1'          # group of our files only; version of the layout above


def h5py_module():
    """Return h5py, or raise UserError where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise UserError('HDF5 files of robomimic need h5py; install it with `pip install h5py`'
                        ) from None
    return h5py


@contextmanager
def robomimic_file(path: Path, contract: Contract) -> Iterator[Add]:
    """Give a function that appends a run; the file has its name once all are in it."""
    h5py = h5py_module()
    with new_path(path) as unfinished:
        with h5py.File(unfinished, 'x') as file:
            data, ours, successes = file.create_group('data'), file.create_group(OURS), []
            _describe(data, contract)
            for key, text in (('layout', LAYOUT), ('contract', contract.text),
                              ('interface', json.dumps(contract.interface))):
                ours[key] = _fixed(text)

            def add(run: Run) -> None:
                name = f'demo_{len(data)}'
                _write(data.create_group(name), run, contract)
                _keep(ours.create_group(name), run)
                data.attrs['total'] = data.attrs['total'] + len(run)
                if run.outcome == 'success':
                    successes.append(name)

            yield add
            # A filter of none is no filter: robomimic would train on nothing.
            if successes:
                file['mask/success'] = np.array(successes, dtype='S')


def scaled(action: np.ndarray, contract: Contract) -> np.ndarray:
    """Return actions as robomimic wants them, from -1 to 1."""
    low, high = contract.action.low, contract.action.high
    return np.clip(2.0 * (action - low) / (high - low) - 1.0, -1.0, 1.0)


def unscaled(action: np.ndarray, contract: Contract) -> np.ndarray:
    """Return actions from -1 to 1 in the contract's units."""
    low, high = contract.action.low, contract.action.high
    return np.clip(low + 0.5 * (action + 1.0) * (high - low), low, high)


def _describe(data, contract: Contract) -> None:
    action = contract.action
    data.attrs['total'] = np.int64(0)
    data.attrs['env_args'] = json.dumps(
        {'env_name': contract.task, 'type': GYM, 'env_kwargs': {}})
    data.attrs['contract'] = contract.text
    data.attrs['contract_hash'] = contract.hash
    data.attrs['observation_names'] = list(contract.layout.names)
    data.attrs['observation_units'] = list(contract.layout.units)
    data.attrs['action_names'] = list(action.layout.names)
    data.attrs['action_units'] = list(action.layout.units)
    data.attrs['action_low'], data.attrs['action_high'] = action.low, action.high
    data.attrs['control_rate'] = contract.control_rate


def _write(demo, run: Run, contract: Contract) -> None:
    demo.attrs['num_samples'] = np.int64(len(run))
    for key in TEXTS:
        demo.attrs[key] = getattr(run, key)
    demo.attrs['task'] = contract.task
    observation = np.array([step.observation for step in run.steps])
    for name, columns in observation_columns(contract).items():
        for group, rows in (('obs', observation[:-1]), ('next_obs', observation[1:])):
            values = demo.create_dataset(f'{group}/{name}', data=rows[:, columns])
            values.attrs['names'] = list(contract.layout.names[columns])
            values.attrs['units'] = list(contract.layout.units[columns])
    executed = np.array([step.executed for step in run.steps])
    demo['actions'] = scaled(executed[:-1], contract)
    demo['executed'] = executed[:-1]
    for key, units in (('actions', [''] * executed.shape[1]),
                       ('executed', list(contract.action.layout.units))):
        demo[key].attrs['names'] = list(contract.action.layout.names)
        demo[key].attrs['units'] = units
    demo['rewards'] = run.transitions.reward
    demo['dones'] = run.transitions.terminated.astype(np.int64)
    demo['truncated'] = run.transitions.truncated.astype(np.int64)


def _keep(demo, run: Run) -> None:
    for name in STEP_COLUMNS:
        demo[name] = np.array([getattr(step, name) for step in run.steps], np.int64)
    demo['requested'] = np.array([step.requested for step in run.steps])
    for key in TEXTS:
        demo[key] = _fixed(getattr(run, key))


def _fixed(text: str) -> np.bytes_:
    return np.bytes_(text.encode() or b' ')     # HDF5 has no text of length 0


def observation_columns(contract: Contract) -> dict[str, slice]:
    """Return by name of an observation entry which columns of the vector are its."""
    columns, start = {}, 0
    for entry in contract.observations:
        end = start + len(entry.selection.components)
        columns[entry.name], start = slice(start, end), end
    return columns
