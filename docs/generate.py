"""Write docs/contract.md: every key of a contract, from the dataclasses that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robot_rl.contract import Action, Contract, Display, Episode
from robot_rl.fields import ACTION_TYPES, MessageType, OBSERVATION_TYPES, REWARD_TYPES, TWIST_AXES
from robot_rl.inputs import Observation
from robot_rl.keys import Key, keys_of
from robot_rl.safety.settings import Intervention, Safety, Switch
from robot_rl.sim.sources import BUILDERS
from robot_rl.simulated import Simulation

TARGET = Path(__file__).parent / 'contract.md'
SECTIONS = (    # key of the mapping, what it becomes, what is to be said of it
    ('', Contract, 'The file is one mapping.'),
    ('observation', Observation, 'Each entry is a mapping. Entries may share a topic.'),
    ('action', Action, 'One topic takes all m numbers.'),
    ('episode', Episode, ''),
    ('reward', Observation, 'Where it is a mapping, `select` takes one number, there is no '
     '`name`, and `std_msgs/msg/Float32` is a type as well: [more](reward.md).'),
    ('safety', Safety, 'What else stops the robot stands in [safety.md](safety.md).'),
    ('safety.e_stop, safety.dead_man', Switch, ''),
    ('safety.intervention', Intervention, ''),
    ('display', Display, ''),
    ('simulation', Simulation, ''),
)
HEAD = """# Contract reference

<!-- Written by docs/generate.py from the dataclasses; change those, then `make docs`. -->

A contract is a YAML file of at most 1 MiB that says what the robot is to the learner: what is
observed, what is commanded within which limits, how an episode ends.
[config/puck_push.yaml](../config/puck_push.yaml) is a commented example. `robot_rl check FILE`
loads a contract as every node does: keys that are missing, unknown or wrong are named all at once.

* *required*: the key must be there wherever the mapping is that it belongs to.
* ROS names are relative to the namespace of the graph unless they begin with `/`.
* `module:function` is one of an installed package. It takes vectors that are read by name
  (`observation['arm.position.j1']`, `observation['arm']` for all of an entry), of any leading
  shape, and is tried on zeros at load.
* Task, rate, names, units and limits make the contract's hash. Data and policies carry it, and
  those of another one are refused.
"""


def reference() -> str:
    """Return the text of docs/contract.md."""
    return '\n'.join([HEAD, *_sections(), *_types(), *_actions(), *_sources()])


def documented() -> dict[str, Key]:
    """Return every key by its whole name, as in `safety.e_stop.topic`."""
    return {f'{section}.{key.name}'.lstrip('.'): key for title, kind, _ in SECTIONS
            for section in title.split(', ') for key in _keys(title, kind)}


def _keys(title: str, kind: type) -> list[Key]:
    """Return the keys of a section; a reward needs no name."""
    return [key for key in keys_of(kind) if (title, key.name) != ('reward', 'name')]


def _sections() -> Iterator[str]:
    for title, kind, note in SECTIONS:
        yield f'## {title or "The file"}\n'
        if note:
            yield f'{note}\n'
        yield _table(('key', 'value', 'unit', 'default', 'meaning'), (
            (f'`{key.name}`', key.kind, key.unit, _default(key), key.meaning)
            for key in _keys(title, kind)))


def _default(key: Key) -> str:
    if key.otherwise is None:
        return '*required*'
    return f'`{key.otherwise}`' if key.otherwise else 'none'


def _types() -> Iterator[str]:
    yield '## Types that can be observed\n'
    yield ('`select` names fields, of a vector all or one (`point.x`). An orientation is taken as '
           '`:rot6d` (6 numbers, continuous), `:quaternion` or `:rpy`. Joints are found by name,\n'
           'whatever their order. What has no stamp is as old as its arrival.\n')
    yield _table(('type', '`select`', 'stamped'), (
        (f'`{name}`' + ('' if name in OBSERVATION_TYPES else ' (only a reward)'), _fields(kind),
         'yes' if kind.stamped else 'no')
        for name, kind in {**OBSERVATION_TYPES, **REWARD_TYPES}.items()))


def _fields(kind: MessageType) -> str:
    """Return what can be selected, with units."""
    parts = [f'`{{{name}: [joints]}}` ({unit})' for name, unit in kind.joints.items()]
    parts += [f'`{name}` ({unit})' for name, unit in kind.vectors.items()]
    parts += [f'`{name}:rot6d`' for name in kind.quaternions]
    parts += [f'`{name}`' for name in kind.scalars]
    parts += [f'`{name}.0`, `{name}.1` ...' for name in kind.arrays]
    return ', '.join(parts)


def _actions() -> Iterator[str]:
    how = {'std_msgs/msg/Float64MultiArray': 'the numbers in the order of `names`',
           'trajectory_msgs/msg/JointTrajectory': 'positions of the joints `names`, one point, a '
           'control period ahead',
           'geometry_msgs/msg/TwistStamped': 'velocities, `names` among '
           + ', '.join(f'`{axis}`' for axis in TWIST_AXES) + '; the others are 0'}
    yield '## Types that can be commanded\n'
    yield _table(('type', 'what is sent'), ((f'`{name}`', how[name]) for name in ACTION_TYPES))


def _sources() -> Iterator[str]:
    yield '## simulation.observation\n'
    yield ('By the type of the entry, where the model has it. Names that the model lacks are '
           'refused.\n')
    yield _table(('type', 'keys'), ((f'`{name}`', build.__doc__.partition('\n')[0].rstrip('.'))
                                    for name, build in BUILDERS.items()))


def _table(head: tuple[str, ...], rows) -> str:
    lines = [head, ('---',) * len(head), *rows]
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)


if __name__ == '__main__':
    TARGET.write_text(reference(), encoding='utf-8')
