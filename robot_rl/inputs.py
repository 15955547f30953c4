"""What a contract reads in a tick: the observed topics and, where it is one, the reward's.

The reward's publisher is a node of the user's: a scale, a slider, a classifier that was learned.
One that only tells success calls the recorder's service `end_episode` instead, as a person does.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
import math

from robot_rl.fields import (BadSelection, compile_selection, OBSERVATION_TYPES, REWARD_TYPES,
                             Selection)
from robot_rl.keys import key
from robot_rl.schema import MISSING, Section


@dataclass(frozen=True)
class Observation:
    """One topic that is read, and what is taken from it: an entry of the vector, or the reward."""

    name: str = key('name', 'letters, digits and _', 'what its numbers are called by: '
                    '`name.field`')
    topic: str = key('topic', 'ROS name', 'where it is published')
    type: str = key('type', 'message type', 'one of the types below')
    max_age: float = key('max_age', 'number > 0', 'older than this stops the robot', 's')
    selection: Selection = key('select', 'list, or a mapping for a JointState',
                               'the fields that are taken, in this order')


def components(observations) -> list[tuple[str, str]]:
    """Return (name, unit) of every number of the observation vector, in order."""
    return [(f'{entry.name}.{component.name}', component.unit)
            for entry in observations for component in entry.selection.components]


def read_observations(root: Section) -> tuple[Observation, ...]:
    """Return the entries of the vector, in order; problems are recorded."""
    entries = root.raw('observation')
    if not isinstance(entries, list) or not entries:
        root.problem('observation', 'a list of observed topics', entries)
        return ()
    observations, names = [], []
    for index, data in enumerate(entries):
        section = Section(data, f'observation[{index}]', root.problems)
        name = section.text('name')
        if name and (name in names or not name.replace('_', '').isalnum()):
            section.problem('name', 'letters, digits and _, different from the other entries',
                            name)
        names.append(name)
        observations.append(_read(section, name, OBSERVATION_TYPES))
    return tuple(filter(None, observations))


def _read(section: Section, name: str, types: Container[str]) -> Observation | None:
    topic = section.ros_name('topic')
    type_name = section.text('type', choices=types)
    max_age = section.number('max_age', above=0.0)
    select = section.raw('select')
    section.refuse_unknown()
    if type_name not in types:
        return None
    try:
        selection = compile_selection(type_name, select)
    except BadSelection as error:
        section.problem('select', error.expected,
                        MISSING if error.found is MISSING else error.found)
        return None
    return Observation(name, topic, type_name, max_age, selection)


def read_reward_topic(root: Section, observations) -> Observation | None:
    """Return the topic where the reward is a mapping; a stand-in where the mapping is wrong."""
    if not isinstance(root.data.get('reward'), dict):
        return None
    section = root.section('reward')
    found = _read(section, 'reward', REWARD_TYPES)
    if found and len(found.selection.components) != 1:
        section.problem('select', 'one number', section.data['select'])
    if any(entry.name == 'reward' for entry in observations):
        section.problem('', 'no entry of observation of the same name', 'reward')
    return found or Observation('reward', '', '', math.nan, None)
