"""What a contract asks for against what is live in the graph: what is wrong, and what to change.

No ROS here: `robot_rl.ros.live_graph` listens and fills in what this module judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from robot_rl.contract import Action, Contract
from robot_rl.fields import ACTION_TYPES, REWARD_TYPES
from robot_rl.inputs import Observation
from robot_rl.observation import MAX_AHEAD
from robot_rl.safety.settings import Intervention, Switch
from robot_rl.starting_contract import is_homing

OK, NOTE, WRONG = 'ok', 'note', 'wrong'
COMMANDERS = ('policy_server', 'safety_stop')       # who of us sends actions
SERVERS = ('policy_server',)                        # of which a robot has one
LISTENERS = ('data_recorder', 'safety_stop')        # who of us hears them and is no robot
SLOW = 0.9              # of the control rate; less is worth a note
AHEAD = 0.05            # s; stamps further ahead are of a clock that differs
OTHER_CLOCK = 1000.0    # s; stamps that far off are of another kind of clock
PEOPLE = ('e_stop', 'dead_man', 'intervention')
MAX_NAMED = 5           # of the topics or services that might be meant


@dataclass(frozen=True)
class Endpoint:
    """A node at one end of a topic."""

    node: str                       # with its namespace
    type: str
    mismatch: str = ''              # why its QoS does not fit our end, '' where it does
    best_effort: bool = False
    joints: tuple[str, ...] = ()    # the parameter `joints` of a controller of ros2_control

    def is_one_of(self, names: Sequence[str]) -> bool:
        """Tell whether the node has one of these names, in whatever namespace."""
        return self.node.rpartition('/')[2] in names


@dataclass(frozen=True)
class Arrivals:
    """What came on a topic; times in s."""

    count: int = 0                  # messages that could be read
    refused: int = 0                # messages that could not
    reason: str = ''                # of the last one of those
    rate: float | None = None       # Hz, of those that could be read
    gap: float | None = None        # between two of them, or since the last one; the largest
    delay: float | None = None      # age by the header's stamp at arrival, median
    oldest: float | None = None     # age of what was held, just before something newer came
    unstamped: bool = False         # the type has a header, and nothing in it


@dataclass(frozen=True)
class Topic:
    """Who is at both ends, and what came."""

    publishers: tuple[Endpoint, ...] = ()
    subscribers: tuple[Endpoint, ...] = ()
    arrivals: Arrivals = Arrivals()


@dataclass(frozen=True)
class LiveGraph:
    """What was seen and heard in `seconds`."""

    seconds: float
    topics: dict[str, Topic]        # by their key in the contract, as `topic_keys` has them
    # Of others than our nodes, and not of topics that the contract names: topic -> types
    published: dict[str, tuple[str, ...]] = field(default_factory=dict)
    awaited: dict[str, tuple[str, ...]] = field(default_factory=dict)       # who listens, the same
    reset: tuple[str, ...] | None = None        # types of the reset service, None: not there
    clock: tuple[str, ...] = ()                 # nodes that publish /clock
    services: dict[str, str] = field(default_factory=dict)      # that may reset -> type, of others


@dataclass(frozen=True)
class Line:
    """One line of the result: a part of the contract, and every finding about it."""

    what: str               # arm, action, e_stop, ...
    topic: str
    nodes: tuple[str, ...]
    arrivals: Arrivals
    findings: tuple[tuple[str, str], ...]       # (verdict, what it is and what to change)

    @property
    def verdict(self) -> str:
        """The worst verdict of its findings."""
        verdicts = [verdict for verdict, _ in self.findings]
        return next((one for one in (WRONG, NOTE) if one in verdicts), OK)


def topic_keys(contract: Contract) -> dict[str, Observation | Action | Switch | Intervention]:
    """Return what has a topic, by its key in the contract."""
    found = {f'observation[{index}]': entry for index, entry in enumerate(contract.observations)}
    if contract.reward_topic:
        found['reward'] = contract.reward_topic
    found['action'] = contract.action
    found |= {f'safety.{name}': getattr(contract.safety, name) for name in PEOPLE}
    return {key: entry for key, entry in found.items() if entry}


def judge(contract: Contract, graph: LiveGraph) -> list[Line]:
    """Return a line for the clock, and for each topic and service that the contract names."""
    lines = [_clock(graph)]
    for key, entry in topic_keys(contract).items():
        topic = graph.topics[key]
        nodes = topic.subscribers if key == 'action' else topic.publishers
        say = (_sent if key == 'action' else _read if isinstance(entry, Observation) else
               _people)
        lines.append(Line(getattr(entry, 'name', key.removeprefix('safety.')), entry.topic,
                          tuple(dict.fromkeys(one.node for one in nodes)), topic.arrivals,
                          tuple(say(contract, key, entry, graph))))
    if contract.episode.reset_service:
        lines.append(Line('reset', contract.episode.reset_service, (), Arrivals(),
                          tuple(_reset(contract, graph))))
    return lines


def _clock(graph: LiveGraph) -> Line:
    findings = [(NOTE, 'time is simulated: launch with use_sim_time:=true')] if graph.clock else []
    if len(graph.clock) > 1:
        findings.append((WRONG, 'several nodes publish it; end all but one'))
    return Line('clock', '/clock' if graph.clock else 'of this computer', graph.clock, Arrivals(),
                tuple(findings))


def _read(contract: Contract, key: str, entry: Observation, graph: LiveGraph
          ) -> Iterator[tuple[str, str]]:
    """Yield what is to say of a topic of which every tick needs a fresh message."""
    yield from _arrives(key, entry, graph)
    came, limit = graph.topics[key].arrivals, entry.max_age
    if not came.count:
        return
    if came.unstamped:
        yield NOTE, 'header.stamp is 0: its age is counted from arrival; set it in the driver'
    off = came.delay or 0.0
    if abs(off) > OTHER_CLOCK:
        yield WRONG, (f'stamps are {abs(off):.3g} s off: one side uses simulated time, the other '
                      'does not; set use_sim_time for both')
    elif off < -MAX_AHEAD or (off < -AHEAD and not graph.clock):    # /clock itself comes later
        yield (WRONG if off < -MAX_AHEAD else NOTE), (
            f'stamps are {-off:.3f} s ahead: the clocks of the computers differ, and messages are '
            'older than they seem; synchronize them (chrony)')
    elif off > limit:
        yield WRONG, (f'{off:.3f} s old at arrival, max_age {limit:g} s: the clocks of the '
                      f'computers differ (synchronize them), the sensor is late, or {key}.max_age '
                      'is too small')
    elif came.oldest is not None and came.oldest > limit:
        yield WRONG, (f'up to {came.oldest:.3f} s old, max_age {limit:g} s: the robot would have '
                      f'been stopped; publish faster, or raise {key}.max_age')
    if came.rate is not None and came.rate < SLOW * contract.control_rate:
        yield NOTE, (f'slower than control_rate, {contract.control_rate:g} Hz: several actions '
                     'rest on one message; publish faster, or lower control_rate')


def _arrives(key: str, entry: Observation | Switch | Intervention, graph: LiveGraph,
             may_be_silent: bool = False) -> Iterator[tuple[str, str]]:
    """Yield why nothing of a topic can be read, or not all."""
    topic = graph.topics[key]
    came = topic.arrivals
    fitting = [one for one in topic.publishers if one.type == entry.type]
    yield from _types(entry.type, key, topic.publishers)
    for one in fitting:
        if one.mismatch:
            yield WRONG, f'{one.node}: {one.mismatch}; change the QoS of that publisher'
        elif one.best_effort:
            yield NOTE, f'{one.node} publishes best effort: what is lost on the way stays lost'
    if not topic.publishers:
        yield WRONG, (f'nobody publishes it; start the driver, or correct {key}.topic'
                      + _others(entry.type, graph.published))
    elif came.refused and not came.count:
        yield WRONG, f'no message could be read: {came.reason}; correct {key}'
    elif came.refused:
        yield NOTE, (f'{came.refused} of {came.count + came.refused} messages could not be read: '
                     f'{came.reason}')
    elif fitting and not came.count and not may_be_silent:
        yield WRONG, (f'nothing came in {graph.seconds:g} s; is its publisher active, and the '
                      'network open?')


def _types(wanted: str, key: str, ends: Sequence[Endpoint]) -> Iterator[tuple[str, str]]:
    for one in ends:
        if one.type != wanted:
            known = one.type in {*REWARD_TYPES, *ACTION_TYPES}
            yield WRONG, (f'{one.node} has it as {one.type}, the contract as {wanted}; '
                          + (f'correct {key}.type' if known else 'put a node in between'))


def _others(wanted: str, topics: dict[str, tuple[str, ...]]) -> str:
    """Return those of that type, as somebody may have meant one of them."""
    found = sorted(name for name, types in topics.items() if wanted in types)
    return f'; there are {", ".join(found[:MAX_NAMED])}' if found else ''


def _candidates(services: dict[str, str]) -> str:
    """Return the services that may reset, of which those that are called so come first."""
    found = sorted(services, key=lambda name: (not is_homing(name), name))[:MAX_NAMED]
    named = ', '.join(f'{name} ({services[name]})' for name in found)
    return f'; there are {named}' if named else ''


def _sent(contract: Contract, key: str, action: Action, graph: LiveGraph
          ) -> Iterator[tuple[str, str]]:
    """Yield what is to say of the topic that commands the robot."""
    topic = graph.topics[key]
    robots = [one for one in topic.subscribers if not one.is_one_of(LISTENERS)]
    others = [one for one in topic.publishers if not one.is_one_of(COMMANDERS)]
    if not robots:
        yield WRONG, ('no controller listens; start or activate it, or correct action.topic'
                      + _others(action.type, graph.awaited))
    yield from _types(action.type, key, robots)
    servers = [one.node for one in topic.publishers if one.is_one_of(SERVERS)]
    if len(servers) > 1:
        yield WRONG, (f'{len(servers)} policy servers command it: {", ".join(sorted(servers))}; '
                      'they would fight; end all but one')
    for one in others:
        yield WRONG, f'{one.node} commands it as well: two would fight; end it, or remap its topic'
    for one in robots:
        if one.type == action.type and one.mismatch:
            yield WRONG, f'{one.node}: {one.mismatch}; change the QoS of that controller'
        yield from _joints(contract, one)


def _joints(contract: Contract, controller: Endpoint) -> Iterator[tuple[str, str]]:
    """Yield where a controller moves other joints, or takes its numbers in another order."""
    names, joints = contract.action.layout.names, controller.joints
    if not joints or contract.action.type == 'geometry_msgs/msg/TwistStamped':
        return
    listed = f'[{", ".join(joints)}]'
    if set(joints) != set(names):
        yield WRONG, f'{controller.node} moves the joints {listed}; set action.names to them'
    elif joints != names and contract.action.type == 'std_msgs/msg/Float64MultiArray':
        yield WRONG, (f'{controller.node} takes the order {listed}, and the message has no names; '
                      'set action.names, low, high and max_rate in this order')


def _people(contract: Contract, key: str, setting: Switch | Intervention, graph: LiveGraph
            ) -> Iterator[tuple[str, str]]:
    """Yield what is to say of an e-stop, a dead-man's handle or a person who takes over."""
    takes_over = isinstance(setting, Intervention)      # and is silent until then
    yield from _arrives(key, setting, graph, takes_over)
    gap = graph.topics[key].arrivals.gap
    if gap is not None and gap > setting.timeout and not takes_over:
        yield WRONG, (f'silent for {gap:.3f} s, timeout {setting.timeout:g} s: silence stops '
                      f'the robot; publish faster, or raise {key}.timeout')


def _reset(contract: Contract, graph: LiveGraph) -> Iterator[tuple[str, str]]:
    wanted = contract.episode.reset_type
    if graph.reset is None:
        yield WRONG, ('nobody serves it; start its node, correct episode.reset.service, or leave '
                      'episode.reset out where somebody resets by hand'
                      + _candidates(graph.services))
    elif wanted not in graph.reset:
        yield WRONG, (f'is served as {", ".join(graph.reset)}, the contract says {wanted}; '
                      'correct episode.reset.type')
