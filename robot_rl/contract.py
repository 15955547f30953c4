"""The task contract: one YAML file that says what the robot is to the learner.

Every node loads the same file. Loading checks everything and reports all problems at once; the
hash covers what gives numbers their meaning, so data and policies of another meaning are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
import hashlib
import json
import math
from pathlib import Path

import numpy as np

from robot_rl.display import Display, read_display
from robot_rl.errors import InvalidFile, Mismatch, Problem, UserError
from robot_rl.fields import ACTION_TYPES, TWIST_AXES
from robot_rl.functions import find_function, try_demonstrator, try_display, try_functions
from robot_rl.inputs import components, Observation, read_observations, read_reward_topic
from robot_rl.keys import Key, key, keys
from robot_rl.layout import Layout
from robot_rl.paths import contract_path, is_name, shipped_contracts
from robot_rl.safety.settings import read_safety, Safety
from robot_rl.schema import load_yaml, MISSING, Section, suggestion
from robot_rl.simulated import read_simulation, Simulation

RESET_TYPES = ('std_srvs/srv/Trigger', 'std_srvs/srv/Empty')
DEMONSTRATED = ('topic', 'measured', 'next')
MAX_HORIZON = 100_000


@dataclass(frozen=True)
class Action:
    """The commanded topic and the limits of what may be sent on it."""

    topic: str = key('topic', 'ROS name', 'what is commanded')
    type: str = key('type', 'message type', 'one of the types below')
    layout: Layout = keys(
        Key('names', 'm names', 'what the m numbers command; joints in the order of a controller '
            'whose message has no names'),
        Key('units', 'm texts', 'of the numbers; part of the hash', otherwise=''))
    low: np.ndarray = key('low', 'm numbers', 'least that is sent', '`units`')    # (m,)
    high: np.ndarray = key('high', 'm numbers', 'most that is sent', '`units`')   # (m,)
    max_rate: np.ndarray = key(     # (m,), inf where not limited
        'max_rate', 'm numbers > 0', 'fastest change; left out: not limited', '`units`/s', '')
    on_stop: str = key('on_stop', '`zeros` or `hold`', 'what a stop sends: zeros (velocities), or '
                       'again what was sent last (positions)')
    measured: tuple[str, ...] = key(    # () if unknown
        'measured', 'm names', 'observations that measure what is commanded; `hold` needs them',
        otherwise='')
    frame_id: str = key('frame_id', 'text', 'frame of stamped commands', otherwise='base_link')


@dataclass(frozen=True)
class Episode:
    """When an episode ends and how the world is put back."""

    horizon: int = key('horizon', f'integer, 1 to {MAX_HORIZON}', 'an episode is truncated '
                       'after so many', 'control steps')
    reset_service: str = keys(      # empty: the operator resets by hand
        Key('reset', 'mapping', 'how the world is put back before an episode; left out: nobody '
            'is waited for', otherwise=''),
        Key('reset.service', 'ROS name', 'service that answers when the world is back'))
    reset_type: str = key('reset.type', ' or '.join(f'`{name}`' for name in RESET_TYPES),
                          'its type')


@dataclass(frozen=True)
class Contract:
    """A checked contract."""

    file: Path
    text: str
    task: str = key('task', 'text', 'what is learned')
    control_rate: float = key('control_rate', 'number > 0', 'how often the policy acts', 'Hz')
    observations: tuple[Observation, ...] = key(
        'observation', 'list of mappings', 'what the policy sees, in the order of the vector')
    action: Action = key('action', 'mapping', 'what it commands')
    episode: Episode = key('episode', 'mapping', 'how long one is, and how the next one begins')
    reward_name: str = key(
        'reward', 'module:function, or a mapping', '(observation, action, next observation) -> '
        'reward, terminated; or a topic on which somebody says it')
    reward: Callable | None
    success_name: str = key(
        'success', 'module:function', 'observation -> bool; may be left out where the reward is '
        'a topic: then people tell')
    success: Callable | None            # None: only people tell
    simulation: Simulation | None = key(
        'simulation', 'mapping', 'a MuJoCo model of the robot: plays it, trains explorers',
        otherwise='')
    demonstrated: str = keys(           # see _demonstration
        Key('demonstration', 'mapping', 'how recordings of other tools are read', otherwise=''),
        Key('demonstration.action', '`topic`, `measured` or `next`', 'where the action is: the '
            'command on its topic; what `action.measured` reads in the same tick (velocities), or '
            'in the next (positions)', otherwise='topic'), default='topic')
    display: Display | None = key('display', 'mapping', 'what RViz shows of the task',
                                  otherwise='', default=None)
    safety: Safety = key('safety', 'mapping', 'what stops the robot besides stale observations '
                         'and actions that are no numbers', otherwise='', default=Safety())
    reward_topic: Observation | None = None     # in place of the function: somebody publishes it

    @cached_property
    def inputs(self) -> tuple[Observation, ...]:
        """Every topic that is read in a tick: the observed ones, then the reward's."""
        return self.observations + ((self.reward_topic,) if self.reward_topic else ())

    @cached_property
    def layout(self) -> Layout:
        """The observation vector."""
        parts = components(self.observations)
        return Layout(tuple(name for name, _ in parts), tuple(unit for _, unit in parts))

    @cached_property
    def interface(self) -> dict:
        """What gives the numbers of an observation and an action their meaning."""
        action = self.action
        return {
            'task': self.task,
            'control_rate': self.control_rate,
            'observation.names': list(self.layout.names),
            'observation.units': list(self.layout.units),
            'action.type': action.type,
            'action.names': list(action.layout.names),
            'action.units': list(action.layout.units),
            'action.low': action.low.tolist(),
            'action.high': action.high.tolist(),
            'action.max_rate': [None if np.isinf(rate) else rate
                                for rate in action.max_rate.tolist()],
        }

    @cached_property
    def hash(self) -> str:
        """Hash of the interface, 16 hexadecimal digits."""
        text = json.dumps(self.interface, sort_keys=True, separators=(',', ':'))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def patient(self, seconds: float) -> Contract:
        """Return the same with `policy_late` stopping the robot after no less than a time."""
        late = max(self.safety.policy_late, math.ceil(seconds * self.control_rate))
        return replace(self, safety=replace(self.safety, policy_late=late))

    def check_interface(self, interface: dict, source: str) -> None:
        """Raise Mismatch naming each key in which `interface` differs from this contract."""
        found = interface if isinstance(interface, dict) else {}
        problems = [Problem(key, json.dumps(expected), json.dumps(found.get(key)))
                    for key, expected in self.interface.items() if found.get(key) != expected]
        if problems:
            raise Mismatch(source, problems)

    def judge(self, observation, action, next_observation, published=None):
        """Return (reward, terminated) of shape (...), float64 and bool.

        Observations have shape (..., observation size), actions (..., action size). Where the
        reward is a topic it is what was `published` (...) on it, which ends nothing; raises
        UserError where that is missing.
        """
        if self.reward_topic:
            if published is None:
                raise UserError(f'{self.reward_name}: expected what was published, found nothing')
            reward = np.asarray(published, np.float64)
            return reward, np.zeros(reward.shape, bool)
        reward, terminated = self.reward(self.layout.view(observation),
                                         self.action.layout.view(action),
                                         self.layout.view(next_observation))
        return np.asarray(reward, np.float64), np.asarray(terminated, bool)

    @property
    def in_simulation(self) -> Contract:
        """The contract under which the simulator trains: with its own reward where it has one."""
        simulation = self.simulation
        if not simulation or not simulation.reward:
            return self
        return replace(self, reward_name=simulation.reward_name, reward=simulation.reward,
                       reward_topic=None)

    def check_functions(self) -> None:
        """Raise InvalidFile unless functions tell reward and success, as training needs them."""
        problems = []
        if self.reward is None:
            problems.append(Problem('simulation.reward', 'module:function, to train in simulation',
                                    f'nothing, and {self.reward_name}, which is of the robot'))
        if self.success is None:
            problems.append(Problem('success', 'module:function, to train in simulation',
                                    'nothing'))
        if problems:
            raise InvalidFile(self.file, problems)

    def path(self, observation, actions) -> np.ndarray:
        """Return the points (..., k, 3) in m to which actions (..., k, m) lead, one per step.

        From one observation (n,); there must be a `display.path`.
        """
        view = self.layout.view(observation)
        return np.asarray(self.display.path(view, actions, 1.0 / self.control_rate), np.float64)

    def is_success(self, observation) -> np.ndarray:
        """Return bool of shape (...) for observations of shape (..., observation size)."""
        if self.success is None:
            return np.zeros(np.shape(observation)[:-1], bool)
        return np.asarray(self.success(self.layout.view(observation)), bool)


def load_contract(name_or_path: str) -> Contract:
    """Load a contract file, or a shipped contract by its bare name; raise InvalidFile."""
    path = contract_path(str(name_or_path))
    if str(name_or_path) and is_name(str(name_or_path)) and not path.exists():
        names = shipped_contracts()
        raise InvalidFile(path, [Problem(
            'file', f'a YAML file, or the name of a shipped contract ({", ".join(names)})',
            'neither', suggestion(str(name_or_path), names))])
    document = load_yaml(path)
    problems: list[Problem] = []
    root = Section(document, '', problems)
    task = root.text('task')
    control_rate = root.number('control_rate', above=0.0)
    observations = read_observations(root)
    action = _action(root.section('action'), observations)
    episode = _episode(root.section('episode'))
    reward_topic = read_reward_topic(root, observations)
    reward_name, reward = (find_function(root, 'reward', path) if not reward_topic else
                           (f'reward topic {reward_topic.topic}', None))
    success_name, success = '', None
    if root.raw('success') is not MISSING or not reward_topic:      # else labels are enough
        success_name, success = find_function(root, 'success', path)
    demonstrated = _demonstration(root.section('demonstration', required=False), action)
    safety = read_safety(root.section('safety', required=False),
                         [name for name, _ in components(observations)], action.layout.names)
    simulation, display = None, None
    if root.has('simulation'):
        simulation = read_simulation(
            root.section('simulation'), path, [entry.name for entry in observations],
            [name for name, _ in components(observations)], action.layout.names)
    if root.has('display'):
        display = read_display(root.section('display'), path,
                               [name for name, _ in components(observations)])
    root.refuse_unknown()
    if problems:
        raise InvalidFile(path, problems)
    contract = Contract(path, path.read_text(encoding='utf-8'), task, control_rate,
                        observations, action, episode, reward_name, reward, success_name,
                        success, simulation, demonstrated, display, safety, reward_topic)
    try_functions(contract, 'reward')
    try_demonstrator(contract)
    try_display(contract)
    if contract.in_simulation is not contract:
        try_functions(contract.in_simulation, 'simulation.reward')
    return contract


def _action(section: Section, observations) -> Action:
    topic = section.ros_name('topic')
    type_name = section.text('type', choices=ACTION_TYPES)
    names = section.texts('names')
    if type_name == 'geometry_msgs/msg/TwistStamped':
        for name in names:
            if name not in TWIST_AXES:
                section.problem('names', 'names among ' + ', '.join(TWIST_AXES), name)
    units = section.raw('units', [''] * len(names))
    if not isinstance(units, list) or len(units) != len(names) or not all(
            isinstance(unit, str) for unit in units):
        section.problem('units', f'a list of {len(names)} units', units)
        units = [''] * len(names)
    low = section.numbers('low', len(names))
    high = section.numbers('high', len(names))
    for index, (lowest, highest) in enumerate(zip(low, high)):
        if lowest >= highest:
            section.problem(f'low[{index}]', f'less than high[{index}] = {highest}', lowest)
    max_rate = section.numbers('max_rate', len(names), default=(np.inf,) * len(names), above=0.0)
    on_stop = section.text('on_stop', choices=('zeros', 'hold'))
    measured = _measured(section, len(names), on_stop, observations)
    frame_id = section.text('frame_id', default='base_link')
    section.refuse_unknown()
    return Action(topic, type_name, Layout(names, tuple(units)), np.array(low), np.array(high),
                  np.array(max_rate), on_stop, measured, frame_id)


def _measured(section: Section, count: int, on_stop: str, observations) -> tuple[str, ...]:
    """Positions are held from where the robot is: zeros would be a motion to position zero."""
    measured = section.texts('measured', default=())
    if on_stop == 'hold' and not measured:
        section.problem('measured', 'the observation names of what the action commands, '
                        'needed to hold', MISSING, 'for instance [arm.position.j1]')
    known = {name for name, _ in components(observations)}
    for name in measured:
        if name not in known:
            section.problem('measured', 'names of the observation vector', name)
    if measured and len(measured) != count:
        section.problem('measured', f'{count} names, one for each action', list(measured))
    return measured


def _episode(section: Section) -> Episode:
    horizon = section.integer('horizon', least=1)
    if horizon > MAX_HORIZON:
        section.problem('horizon', f'at most {MAX_HORIZON} steps', horizon)
    service, kind = '', ''
    if section.has('reset'):
        reset = section.section('reset')
        service, kind = reset.ros_name('service'), reset.text('type', choices=RESET_TYPES)
        reset.refuse_unknown()
    section.refuse_unknown()
    return Episode(horizon, service, kind)


def _demonstration(section: Section, action: Action) -> str:
    """Return where a recording without our step records has the demonstrator's action.

    topic       the command on the action topic, as a teleoperated robot has it
    measured    what action.measured reads in the same tick: velocities of a guided robot
    next        what it reads one tick later: positions that a guided robot was moved to
    """
    found = section.text('action', default='topic', choices=DEMONSTRATED)
    if found != 'topic' and not action.measured:
        section.problem('action', 'topic, where action.measured does not say what to read instead',
                        found)
    section.refuse_unknown()
    return found
