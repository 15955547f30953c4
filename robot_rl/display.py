"""What RViz shows of a task: the contract's section `display`, every key of it optional."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot_rl.functions import find_function
from robot_rl.keys import key
from robot_rl.layout import View
from robot_rl.safety.settings import Safety
from robot_rl.schema import Section

RADIUS = 0.03               # m
ORIGIN = 0.0, 0.0, 0.0


@dataclass(frozen=True)
class Place:
    """A point of `frame`: each axis a name of the observation vector, or a constant."""

    axes: tuple[str | float, ...]   # x, y, z; m

    @property
    def observed(self) -> bool:
        """Whether it moves with what is observed."""
        return any(isinstance(axis, str) for axis in self.axes)

    def __call__(self, observation: View) -> np.ndarray:
        """Return the points (..., 3) m of observations (...)."""
        shape = observation.values.shape[:-1]
        return np.stack([observation[axis] if isinstance(axis, str) else np.full(shape, axis)
                         for axis in self.axes], axis=-1)


@dataclass(frozen=True)
class Display:
    """Where things are and where actions lead."""

    path_name: str = key('path', 'module:function', '(observation, actions (..., k, m), period in '
                         's) -> where they lead (..., k, 3), m', otherwise='')
    path: Callable | None
    frame: str = key('frame', 'text', 'of all these points', otherwise='world')
    here: Place | None = key(
        'here', '3 names or numbers', 'what the actions move: each of x, y, z a name of the '
        'observation vector, or a constant', 'm', '', default=None)
    goal: tuple[Place, ...] = key('goal', '3 names or numbers, or a list of such',
                                  'where it is to be', 'm', '', default=())
    radius: float = key('radius', 'number > 0', 'of the goal; lines and letters follow it', 'm',
                        str(RADIUS), default=RADIUS)
    text: tuple[float, ...] = key('text', '3 numbers', 'where the text stands', 'm',
                                  str(list(ORIGIN)), default=ORIGIN)

    def workspace(self, safety: Safety) -> np.ndarray | None:
        """Return the lowest and the highest corner (2, 3) m of what `here` is limited to.

        None where an axis that is observed has no limit. An axis that is not is flat.
        """
        if not self.here or not self.here.observed:
            return None
        ranges = [safety.limits.get(axis) if isinstance(axis, str) else (axis, axis)
                  for axis in self.here.axes]
        return np.array(ranges).T if all(ranges) else None


def read_display(section: Section, file: Path, observed: list[str]) -> Display:
    """Return the section; problems are recorded. `observed`: names of the observation vector."""
    path_name, path = '', None
    if section.has('path'):
        path_name, path = find_function(section, 'path', file)
    frame = section.text('frame', default='world')
    here = _place(section, 'here', section.raw('here', None), observed)
    found = section.raw('goal', None)
    many = isinstance(found, list) and any(isinstance(item, list) for item in found)
    goals = [_place(section, f'goal[{index}]', item, observed)
             for index, item in enumerate(found)] if many else [
                 _place(section, 'goal', found, observed)]
    radius = section.number('radius', default=RADIUS, above=0.0)
    text = section.numbers('text', 3, default=ORIGIN)
    section.refuse_unknown()
    return Display(path_name, path, frame, here, tuple(filter(None, goals)), radius, text)


def _place(section: Section, key: str, found, observed: list[str]) -> Place | None:
    """Return the place given at a key, None where there is none."""
    if found is None:
        return None
    good = isinstance(found, list) and len(found) == 3
    if not good:
        section.problem(key, 'x, y and z: names of the observation vector, or m', found)
        return None
    axes = []       # the names of an observation that was refused are not known
    refused = any(problem.key.startswith('observation') for problem in section.problems)
    for index, axis in enumerate(found):
        name = f'{key}[{index}]'
        if isinstance(axis, str) and axis not in observed and not refused:
            section.problem(name, 'a name of the observation vector (' + ', '.join(observed)
                            + ')', axis)
        axes.append(axis if isinstance(axis, str) else Section(
            {name: axis}, section.key, section.problems).number(name))
    return Place(tuple(axes))
