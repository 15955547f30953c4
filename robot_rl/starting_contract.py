"""A contract to begin with, from what was seen of a robot; what only a person knows is a TODO.

Everything that is sure is written, so that `robot_rl check` names exactly what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import textwrap

from robot_rl.bounded_yaml import load_bounded
from robot_rl.fields import OBSERVATION_TYPES
import yaml

JOINT_STATE = 'sensor_msgs/msg/JointState'
TRAJECTORY, TWIST = 'trajectory_msgs/msg/JointTrajectory', 'geometry_msgs/msg/TwistStamped'
PROPOSED = (JOINT_STATE, 'geometry_msgs/msg/PoseStamped', 'geometry_msgs/msg/PointStamped',
            'nav_msgs/msg/Odometry')        # of other types a line shows how it would be read
CONTROL_RATE = 20.0     # Hz
PERIODS = 2.5           # of a topic, that its last message is good for
WIDTH = 99
MAX_AGE = (     # how to choose it
    '  # max_age: with an older last message the robot would act blindly, so it is stopped. Two',
    '  # to three periods of the topic, at least of control: `robot_rl check --live` measures its',
    '  # rate and oldest. More on a busy computer, never more than the robot may move unseen.')


@dataclass(frozen=True)
class Seen:
    """A topic that may be observed."""

    topic: str
    type: str
    rate: float | None = None           # Hz, None where it is not known
    joints: tuple[str, ...] = ()        # of a JointState
    arrays: tuple[str, ...] = ()        # which of its arrays have a value for each joint
    size: int = 0                       # of a Float64MultiArray


@dataclass(frozen=True)
class Commanded:
    """A topic by which a node may be commanded."""

    topic: str
    type: str
    node: str
    joints: tuple[str, ...] = ()        # its parameter `joints`, as controllers have it


@dataclass(frozen=True)
class Survey:
    """What a live graph offers."""

    seen: tuple[Seen, ...] = ()
    commanded: tuple[Commanded, ...] = ()
    switches: tuple[tuple[str, str], ...] = ()      # (topic, type): e-stop, dead-man, controls
    resets: tuple[tuple[str, str], ...] = ()        # (service, type) of all that may reset


def starting_contract(robot: str, task: str, survey: Survey) -> str:
    """Return the text of a contract."""
    proposed, others = _sort(survey.seen)
    commands = sorted(survey.commanded, key=lambda one: (
        not one.joints and one.type != TWIST, one.topic))
    return '\n'.join([
        f'# {robot}: begun by `robot_rl new` from the live graph; every TODO is for you.',
        '# `robot_rl check` says what is left, `robot_rl check --live` what does not fit.',
        f'task: {_text(task)}', _noted(f'control_rate: {CONTROL_RATE}', 'Hz'), '',
        _noted('observation:', 'matched by name, never by position'),
        *MAX_AGE,
        *(line for one in proposed for line in _entry(one)),
        *([] if proposed else [_noted('  []', 'TODO nothing that can be observed is published')]),
        *(f'  # {{name: {_name(one.topic)}, topic: {one.topic}, type: {one.type}, '
          f'select: {_select(one)}, max_age: {_max_age(one)}}}' for one in others),
        '', *_action(commands[0] if commands else None, proposed),
        *(f'# or: topic: {one.topic}, type: {one.type}, of {one.node}' for one in commands[1:]),
        '', 'episode:', _noted('  horizon: TODO', 'control steps, then truncation'),
        *_resets(survey.resets),
        '', *_safety(survey.switches), '',
        _noted('reward: TODO', 'module:function of an installed package, or a topic'),
        _noted('success: TODO', 'module:function, or left out: then people tell'), ''])


def _sort(seen: Sequence[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Return what is proposed and what is only shown; of the same joints the fastest topic."""
    proposed, others, joints = [], [], set()
    for one in sorted(seen, key=lambda one: (PROPOSED.index(one.type) if one.type in PROPOSED
                                             else len(PROPOSED), -(one.rate or 0.0), one.topic)):
        known = one.type == JOINT_STATE and set(one.joints) <= joints
        (others if known or one.type not in PROPOSED else proposed).append(one)
        joints |= set(one.joints)
    return proposed, others


def _entry(one: Seen) -> Iterator[str]:
    yield f'  - name: {_name(one.topic)}'
    heard = f'{one.rate:.0f} Hz' if one.rate else 'TODO nothing was heard'
    yield _noted(f'    topic: {one.topic}', heard)
    yield f'    type: {one.type}'
    if one.type == JOINT_STATE:
        yield _noted('    select:', 'TODO leave out joints that do not matter')
        for array in one.arrays or ('position',):
            yield from _flow(f'      {array}: ', one.joints)
    else:
        yield f'    select: {_select(one)}'
    yield _noted(f'    max_age: {_max_age(one)}', f's, older stops the robot: {_periods(one)}')


def _select(one: Seen) -> str:
    """Return all that can be read of a message."""
    kind = OBSERVATION_TYPES[one.type]
    if kind.joints:
        return f'{{position: [{", ".join(map(_text, one.joints))}]}}'
    fields = [*kind.vectors, *(f'{name}:rot6d' for name in kind.quaternions), *kind.scalars,
              *(f'{name}.{index}' for name in kind.arrays for index in range(one.size))]
    return f'[{", ".join(fields)}]'


def _max_age(one: Seen) -> float:
    period = 1.0 / min(one.rate or CONTROL_RATE, CONTROL_RATE)
    return round(PERIODS * period, 3)


def _periods(one: Seen) -> str:
    """Return what `_max_age` is made of."""
    if not one.rate:
        return 'TODO two to three of its periods'
    slower = f'periods of {one.rate:.3g} Hz' if one.rate < CONTROL_RATE else 'control periods'
    return f'{PERIODS:g} {slower}'


def _action(one: Commanded | None, proposed: Sequence[Seen]) -> Iterator[str]:
    yield 'action:'
    if one is None:
        yield _noted("  topic: ''", 'TODO no controller listens to a known type')
        yield '  type: TODO'
        yield '  names: TODO'
        count, stop = 1, 'TODO'
    else:
        state = next((seen for seen in proposed if seen.type == JOINT_STATE), None)
        names, doubt = _names(one, state)
        count, stop = len(names), _stop(one)
        yield _noted(f'  topic: {one.topic}', f'of {one.node}')
        yield f'  type: {one.type}'
        if one.type == TWIST:
            yield _noted('  frame_id: base_link', 'TODO the frame of the velocities')
        yield from _flow('  names: ', names)
        if doubt:
            yield f'  # TODO {doubt}'
        if one.type == TRAJECTORY:
            yield from _flow('  units: ', ['rad'] * count)
        if stop == 'hold' and state and set(names) <= set(state.joints):
            yield from _flow('  measured: ', [f'{_name(state.topic)}.position.{name}'
                                              for name in names])
    yield _noted('  low: TODO', f'{count} numbers, smaller than the robot can')
    yield '  high: TODO'
    yield _noted('  max_rate: TODO', 'per second; slow at first')
    yield _noted(f'  on_stop: {stop}', 'zeros for velocities, hold for positions')


def _names(one: Commanded, state: Seen | None) -> tuple[Sequence[str], str]:
    """Return the names of an action, and what is to be asked about them."""
    if one.type == TWIST:
        return ('linear.x', 'angular.z'), 'all that it may move of linear.x to angular.z'
    if one.joints:
        return one.joints, ''
    return (state.joints if state else ()), 'the joints that it moves, in its own order'


def _stop(one: Commanded) -> str:
    if one.type == TWIST or 'velocity' in one.topic or 'effort' in one.topic:
        return 'zeros'
    return 'hold' if one.type == TRAJECTORY or 'position' in one.topic else 'TODO'


def is_homing(service: str) -> bool:
    """Tell whether the name of a service says that it brings the robot back."""
    return any(word in service for word in ('reset', 'home'))


def _resets(services: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the service that resets, where one alone is called so; the others to choose from."""
    meant = [service for service, _ in services if is_homing(service)]
    for service, kind in services:
        line = f'reset: {{service: {service}, type: {kind}}}'
        if meant == [service]:
            yield '  # called before every episode: TODO is the world back when it answers?'
            yield f'  {line}'
        else:
            yield f'  # {line}'
    if not services:
        yield '  # reset: {service: ..., type: std_srvs/srv/Trigger}   or somebody does it'


def _safety(switches: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield what to uncomment, with the switches that are live."""
    yield _noted('# safety:', 'TODO what stops the robot: docs/safety.md')
    yield _noted('#   limits: {}', 'of what is observed: name: [low, high]')
    bools = [topic for topic, kind in switches if kind.endswith('Bool')]
    for topic in bools or ['e_stop']:
        yield f'#   e_stop: {{topic: {topic}, type: std_msgs/msg/Bool, timeout: 0.5}}'
    for topic in [topic for topic, kind in switches if kind.endswith('Joy')] or ['joy']:
        yield (f'#   dead_man: {{topic: {topic}, type: sensor_msgs/msg/Joy, button: 4, '
               'timeout: 0.5}')


def _noted(text: str, note: str) -> str:
    return f'{text:<35} # {note}'


def _name(topic: str) -> str:
    return topic.strip('/').replace('/', '_')


def _text(value: str) -> str:
    """Return a string as YAML that is read back as it is."""
    try:
        plain = load_bounded(f'[{value}]', 100) == [value]
    except (yaml.YAMLError, ValueError):
        plain = False
    return value if plain else yaml.safe_dump(value, default_style='"', width=10 ** 6).strip()


def _flow(head: str, values: Sequence[str]) -> list[str]:
    """Return a list in brackets that is wrapped under its beginning."""
    return textwrap.wrap(f'{head}[{", ".join(map(_text, values))}]', WIDTH, break_long_words=False,
                         break_on_hyphens=False, subsequent_indent=' ' * (len(head) + 1),
                         drop_whitespace=True)
