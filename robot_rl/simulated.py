"""What a contract says of its simulator: the model, and where it reads and writes the names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from robot_rl.functions import find_function
from robot_rl.keys import key
from robot_rl.paths import model_path
from robot_rl.schema import MISSING, Section


@dataclass(frozen=True)
class Simulation:
    """How the contract's names are read from a MuJoCo model."""

    model: Path = key('model', 'file, or module:file', 'the MuJoCo model (MJCF), relative to the '
                      'contract or in a package')
    observation: dict[str, dict] = key(
        'observation', 'entry -> mapping', 'where each entry is read in the model: see below')
    action: dict[str, str] = key('action', 'name -> text', 'the actuator of each action')
    reset: dict[str, tuple[float, ...]] = key(
        'reset', 'joint -> [low, high]', 'uniform start positions; other joints start as the '
        'model says', 'rad or m', '')
    features: tuple[str, ...] = key(
        'features', 'names', 'observations that exploration has to cover; left out: all but '
        'those of JointStates', otherwise='', default=())
    reward_name: str = key(
        'reward', 'module:function', "paid there in training; left out: the contract's",
        otherwise='', default='')
    reward: Callable | None = None
    demonstrator_name: str = key(
        'demonstrator', 'module:class', 'a scripted person, for mode `scripted`: rng -> '
        '(observation -> action (m,))', otherwise='', default='')
    demonstrator: Callable | None = None


def read_simulation(section: Section, path: Path, entries: list[str], known: list[str],
                    actions: tuple[str, ...]) -> Simulation:
    """Return the section of the contract at `path`; problems are recorded in the section.

    `entries` are the names of the observed topics, `known` those of the observation vector.
    """
    model = section.text('model')
    sources = section.section('observation')
    for name in entries:
        if name not in sources.data:
            sources.problem(name, 'where the simulator reads this entry', MISSING)
    for name in sources.data:
        if name not in entries:
            sources.problem(name, 'an entry of observation', name)
    readers = {name: dict(value) if isinstance(value, dict) else {}
               for name, value in sources.data.items()}
    actuators = section.section('action')
    names = {name: actuators.text(name) for name in actions}
    actuators.refuse_unknown()
    starts = section.section('reset', required=False)
    reset = {name: starts.numbers(name, 2) for name in starts.data}
    features = section.texts('features', default=())
    for name in features:
        if not any(f'{found}.'.startswith(f'{name}.') for found in known):
            section.problem('features', 'names of the observation vector, or what they begin with',
                            name)
    given = [find_function(section, key, path) if section.has(key) else ('', None)
             for key in ('reward', 'demonstrator')]
    section.refuse_unknown()
    return Simulation(model_path(model, path), readers, names, reset, features, *given[0],
                      *given[1])
