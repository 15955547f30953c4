"""The contract's section `safety`: limits of what is seen, switches, and who may take over."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.fields import ACTION_TYPES, TWIST_AXES
from robot_rl.keys import Key, key, keys
from robot_rl.schema import MISSING, Section

BOOL, JOY = 'std_msgs/msg/Bool', 'sensor_msgs/msg/Joy'
JOINT_STATE, JOINT_FIELDS = 'sensor_msgs/msg/JointState', ('position', 'velocity', 'effort')
BUTTONS = {'success': 'ends the episode as a success', 'failure': 'ends it as a failure',
           'discard': 'ends it, nothing is learned from it', 'start': 'begins the next one'}
POLICY_LATE = 3


@dataclass(frozen=True)
class Switch:
    """A topic whose last message counts for `timeout` s: an e-stop or a dead-man's handle."""

    topic: str = key('topic', 'ROS name', 'where it is published, again and again')
    type: str = key('type', 'message type', f'`{BOOL}`; of a dead-man also `{JOY}`')
    timeout: float = key('timeout', 'number > 0', 'silence for longer stops the robot', 's')
    button: int = key('button', 'integer >= 0', 'of a dead-man that is a Joy: held, the robot '
                      'may move', default=0)


@dataclass(frozen=True)
class Intervention:
    """How a person takes over: a topic whose fresh messages replace what the policy asks for."""

    topic: str = key('topic', 'ROS name', "a person's commands")
    type: str = key('type', 'message type', f"a type of an action, `{JOY}`, or a leader's "
                    f'`{JOINT_STATE}`')
    timeout: float = key('timeout', 'number > 0', 'silence after which the policy acts again', 's')
    blend: float = key('blend', 'number >= 0', 'time for the whole range of an action, after each '
                       'change of hands', 's', '0.0', default=0.0)
    axes: tuple[int, ...] = key(
        'axes', 'm integers >= 0', 'of a Joy, one for each action: -1 is `low`, 1 is `high`',
        default=())
    enable: int = key('enable', 'integer >= 0', 'button of a Joy: the person acts while it is '
                      'held', default=0)
    buttons: dict[str, int] = keys(
        Key('buttons', 'mapping', 'what other buttons of a Joy do', otherwise=''),
        *(Key(f'buttons.{name}', 'integer >= 0', meaning, otherwise='') for name, meaning in (
            BUTTONS.items())), default_factory=dict)
    scale: tuple[float, ...] = key(
        'scale', 'm numbers', 'of each axis; -1 turns it around; left out: 1', otherwise='',
        default=())
    joints: str = key('joints', ', '.join(f'`{name}`' for name in JOINT_FIELDS), 'of a '
                      'JointState: what commands, matched by name', default='')


@dataclass(frozen=True)
class Safety:
    """What stops the robot besides stale observations and requests that are not numbers."""

    limits: dict[str, tuple[float, float]] = key(
        'limits', 'name -> [low, high]', 'of observations; outside stops the robot', otherwise='',
        unit="the observation's", default_factory=dict)
    e_stop: Switch | None = key('e_stop', 'mapping', 'true stops the robot', otherwise='',
                                default=None)
    dead_man: Switch | None = key('dead_man', 'mapping', 'true, or the held button, lets it move',
                                  otherwise='', default=None)
    intervention: Intervention | None = key(
        'intervention', 'mapping', 'how a person takes over', otherwise='', default=None)
    policy_late: int = key(
        'policy_late', 'integer >= 1', 'so many in a row without a tick stop the robot',
        'control periods', f'{POLICY_LATE}', default=POLICY_LATE)

    @property
    def people(self) -> tuple[Switch | Intervention, ...]:
        """Whose topics say what people want."""
        return tuple(entry for entry in (self.e_stop, self.dead_man, self.intervention) if entry)


def read_safety(section: Section, observed: list[str], actions: tuple[str, ...]) -> Safety:
    """Return the section; problems are recorded in it.

    `observed` are the names of the observation vector, `actions` those of the action.
    """
    limits = _limits(section.section('limits', required=False), observed)
    e_stop = dead_man = intervention = None
    if section.has('e_stop'):
        e_stop = _switch(section.section('e_stop'), (BOOL,))
    if section.has('dead_man'):
        dead_man = _switch(section.section('dead_man'), (BOOL, JOY))
    if section.has('intervention'):
        intervention = _intervention(section.section('intervention'), actions)
    policy_late = section.integer('policy_late', default=POLICY_LATE, least=1)
    section.refuse_unknown()
    return Safety(limits, e_stop, dead_man, intervention, policy_late)


def _limits(section: Section, observed: list[str]) -> dict[str, tuple[float, float]]:
    limits = {}
    for name in section.data:
        low, high = section.numbers(name, 2)
        if name not in observed:
            section.problem(name, 'a name of the observation vector (' + ', '.join(observed) + ')',
                            name)
        elif low >= high:
            section.problem(name, 'the lower limit first', [low, high])
        limits[name] = low, high
    return limits


def _switch(section: Section, types: tuple[str, ...]) -> Switch:
    topic, kind = section.ros_name('topic'), section.text('type', choices=types)
    timeout = section.number('timeout', above=0.0)
    button = section.integer('button') if kind == JOY else 0
    section.refuse_unknown()
    return Switch(topic, kind, timeout, button)


def _intervention(section: Section, actions: tuple[str, ...]) -> Intervention:
    topic = section.ros_name('topic')
    kind = section.text('type', choices=(*ACTION_TYPES, JOY, JOINT_STATE))
    timeout = section.number('timeout', above=0.0)
    blend = section.number('blend', default=0.0, least=0.0)
    axes, enable, buttons, scale, joints = (), 0, {}, (), ''
    if kind == JOY:
        axes, enable = _axes(section, len(actions)), section.integer('enable')
        buttons = _buttons(section.section('buttons', required=False))
        scale = section.numbers('scale', len(actions), default=())
    if kind == JOINT_STATE:
        joints = section.text('joints', choices=JOINT_FIELDS)
    if kind == 'geometry_msgs/msg/TwistStamped' and not set(actions) <= set(TWIST_AXES):
        section.problem('type', 'a type that can hold actions named ' + ', '.join(actions), kind,
                        'actions of a twist are named among ' + ', '.join(TWIST_AXES))
    section.refuse_unknown()
    return Intervention(topic, kind, timeout, blend, axes, enable, buttons, scale, joints)


def _axes(section: Section, count: int) -> tuple[int, ...]:
    axes = section.raw('axes', MISSING)
    if not isinstance(axes, list) or len(axes) != count or not all(map(_index, axes)):
        section.problem('axes', f'{count} numbers of axes from 0, one for each action', axes)
        return (0,) * count
    return tuple(axes)


def _buttons(section: Section) -> dict[str, int]:
    buttons = {name: section.integer(name) for name in BUTTONS if section.has(name)}
    section.used.update(BUTTONS)        # known, though not given
    section.refuse_unknown()
    if len(set(buttons.values())) != len(buttons):
        section.problem('', 'a button for each', section.data)
    return buttons


def _index(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
