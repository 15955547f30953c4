"""What is done to the graph, kind by kind: a fault lasts as long as its context.

A fault's context gives the instant from which the robot had to stop, in ns of the system's clock:
itself, or a function that knows it once the stop has come; None where nothing has to stop.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
import os
from pathlib import Path
import subprocess
import time

from faulty_graph import FaultyGraph, MAX_AGE, TIMEOUT
import numpy as np
from robot_rl.bundle import pack, unpack
from robot_rl.learning.checkpoint import load_checkpoint
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import LATCHED, STEPS, STREAM
from std_msgs.msg import Float64MultiArray, UInt8MultiArray
from std_srvs.srv import Trigger

GATE, WATCHDOG = 'gate', 'watchdog'
HANG = 0.5                      # s from SIGSTOP to SIGCONT
CUT = 3.0                       # s for which two hosts are apart, at least
JUMP = 30 * 10**9               # ns, of the clock
FLOOD, FLOOD_SECONDS = 100, 1.0     # times the rate of a topic, and for how long
BURST = 0.005                   # s between bursts of a flood
DISK_SIZE = '32m'               # of the file systems that are filled
HEARD = 0.2                     # s in which a publisher is found


@dataclass(frozen=True)
class Kind:
    """A fault, who has to stop the robot, if anybody, and what the nodes then tell."""

    name: str
    fault: Callable[[FaultyGraph], AbstractContextManager]
    stopped_by: str = ''            # GATE or WATCHDOG
    reasons: tuple[str, ...] = ()   # how the reason or event begins; one of them
    cuts_recording: bool = False    # what it excuses is in `excused`, faults.py
    needs_mounts: bool = False
    away: tuple[str, ...] = ()      # nodes that are on a second host


@contextmanager
def killed(node: str, graph: FaultyGraph):
    """Kill a node."""
    yield graph.kill(node)
    graph.revived()


@contextmanager
def twin_killed(graph: FaultyGraph):
    """Kill the robot's simulator: the episode has to end as soon as another world is seen."""
    graph.around.fell = 0
    with killed('sim_bridge', graph):
        yield lambda: graph.around.fell


@contextmanager
def all_killed(graph: FaultyGraph):
    """Kill every node at once, as the end of their computer does."""
    graph.kill(*graph.nodes)
    yield time.time_ns()        # what was under way when they died has been heard by now
    graph.revived()


@contextmanager
def hung(node: str, graph: FaultyGraph):
    """Stop a node's process, and let it go on a while later."""
    with graph.hung(node) as since:
        yield since
        time.sleep(max(0.0, HANG - (time.time_ns() - since) * 1e-9))


@contextmanager
def apart(graph: FaultyGraph):
    """Cut the second host off for a while."""
    with graph.cut_off() as since:
        yield since
        time.sleep(max(0.0, CUT - (time.time_ns() - since) * 1e-9))


@contextmanager
def without_learner(graph: FaultyGraph):
    """Cut the learner off while an episode ends that it shall learn from; it catches up."""
    with apart(graph):
        published = graph.operator.number('data_recorder', 'published')
        graph.operator.trigger('policy_server/stop')
        graph.must(lambda: graph.operator.number('data_recorder', 'published') > published)
        graph.recover()
        yield None
    published = graph.operator.number('data_recorder', 'published')
    graph.must(lambda: graph.operator.number('sac_learner', 'episodes_received') >= published)


@contextmanager
def said(role: str, value: bool, graph: FaultyGraph):
    """Press the e-stop, or let go of the handle."""
    usual = graph.around.said[role]
    yield graph.around.say(role, value)
    graph.around.say(role, usual)


@contextmanager
def silent(role: str, graph: FaultyGraph):
    """Let a person's topic fall silent."""
    usual = graph.around.said[role]
    graph.around.say(role, None)
    yield lambda: graph.around.said_at[role] + int(TIMEOUT * 1e9)
    graph.around.say(role, usual)


@contextmanager
def spoiled(name: str, spoil: Callable, graph: FaultyGraph):
    """Let no message of an observation be good: the last one that was grows old."""
    graph.around.spoil[name] = spoil
    yield lambda: graph.around.passed[name] + int(MAX_AGE * 1e9)
    del graph.around.spoil[name]


@contextmanager
def outside(graph: FaultyGraph):
    """Let an observation cross a limit of the contract."""
    def cross(message):
        message.point.x = 0.6
        return message

    graph.around.spoiled.pop('tip', None)
    graph.around.spoil['tip'] = cross
    yield lambda: graph.around.spoiled['tip']
    del graph.around.spoil['tip']


@contextmanager
def jumped(by: int, graph: FaultyGraph):
    """Let all stamps and the clock jump, and stay there."""
    graph.around.shift += by
    yield lambda: graph.around.shifted


@contextmanager
def asked(graph: FaultyGraph):
    """Call ~/stop, as an operator does."""
    client = graph.operator.create_client(Trigger, 'policy_server/stop')
    graph.must(client.service_is_ready)
    now = time.time_ns()
    client.call_async(Trigger.Request())
    yield now
    graph.operator.destroy_client(client)


@contextmanager
def flooded(graph: FaultyGraph):
    """Send each message of a driver a hundred times."""
    around = graph.around
    each = round(FLOOD * graph.contract.control_rate * BURST)
    until = time.monotonic() + FLOOD_SECONDS
    while time.monotonic() < until:
        due = time.monotonic() + BURST
        for _ in range(each):
            around.senders['arm'].publish(around.last['arm'])
        time.sleep(max(0.0, due - time.monotonic()))
    yield None


@contextmanager
def sent(kind: type, topic: str, qos, make: Callable, graph: FaultyGraph):
    """Publish what `make(graph)` returns, as somebody else."""
    publisher = graph.operator.create_publisher(kind, topic, qos)
    try:
        listeners = graph.operator.count_subscribers(topic)
        graph.operator.until(lambda: publisher.get_subscription_count() >= listeners, HEARD)
        publisher.publish(make(graph))
        yield None
    finally:
        graph.operator.destroy_publisher(publisher)


@contextmanager
def counted(node: str, figure: str, fault: Callable, graph: FaultyGraph):
    """Have a fault that a node's status counts, as an event of that name."""
    before = graph.operator.number(node, figure)
    with fault(graph) as due:
        graph.must(lambda: graph.operator.number(node, figure) > before)
        graph.note(node, figure)
        yield due


@contextmanager
def corrupted_checkpoint(graph: FaultyGraph):
    """Flip a bit of the newest checkpoint and kill the learner before it saves another one."""
    folder = graph.checkpoints
    save(graph)
    before = newest(folder)
    graph.operator.trigger('policy_server/stop')        # an episode for it to learn from
    graph.recover()
    graph.must(lambda: saved_after(graph, before))
    with graph.hung('sac_learner'):             # it saves none after this one
        path = newest(folder)
        path.write_bytes(flipped(path.read_bytes()))
        yield graph.kill('sac_learner')
    graph.revived()


@contextmanager
def full_disk(folder: Path, graph: FaultyGraph):
    """Take all the room of a disk, and give it back."""
    ballast = folder / 'ballast'
    with open(ballast, 'wb', buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    try:
        yield None
    finally:
        ballast.unlink()


@contextmanager
def full_bags(graph: FaultyGraph):
    """Leave no room for an episode in its middle; the next one is recorded again."""
    with full_disk(graph.bags, graph):
        yield None
    graph.must(lambda: graph.operator.status['data_recorder'].get('disk_full') == 'False')
    graph.operator.trigger('policy_server/stop')        # the rest of this one is not


@contextmanager
def full_checkpoints(graph: FaultyGraph):
    """Leave no room for a checkpoint: the last good one stays."""
    save(graph)
    path = newest(graph.checkpoints)
    with full_disk(graph.checkpoints, graph):
        graph.operator.trigger('sac_learner/save_checkpoint')
        yield None
        load_checkpoint(path, graph.contract)


def save(graph: FaultyGraph) -> None:
    """Have the learner save a checkpoint; wait until it is there."""
    graph.operator.trigger('sac_learner/save_checkpoint')
    graph.must(lambda: newest(graph.checkpoints))


def saved_after(graph: FaultyGraph, path: Path) -> bool:
    """Tell whether there is a newer checkpoint; ask for one where updates were made since."""
    updates = int(path.stem.rpartition('_')[2])
    if graph.operator.number('sac_learner', 'updates') > updates:
        graph.operator.trigger('sac_learner/save_checkpoint')
    return newest(graph.checkpoints) != path


def newest(folder: Path) -> Path | None:
    """Return the newest checkpoint."""
    return max(folder.glob('checkpoint_*.safetensors'), default=None)


def flipped(data: bytes) -> bytes:
    """Return the data with one bit of its last quarter flipped."""
    place = len(data) * 3 // 4
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]


def foreign(data: bytes) -> bytes:
    """Return a policy as another contract would have it."""
    arrays, manifest = unpack(data, 'actor')
    return pack(arrays, {**manifest, 'contract_hash': '0' * 64,
                         'interface': {**manifest['interface'], 'control_rate': 50.0}})


def _nan(value: float, message):
    message.position[0] = value
    return message


def _short(message):
    message.position = message.position[:1]
    return message


def _actor(change: Callable[[bytes], bytes]) -> Callable:
    return partial(sent, UInt8MultiArray, 'actor', LATCHED,
                   lambda graph: bytes_message(change(graph.actor())))


# A bag that was killed before its first flush has nothing to be recovered.
_CUT = ('recovered', 'empty', 'unreadable')
_SILENCE, _STALE = ('heartbeat_silent',), ('observation_stale',)
KINDS = {kind.name: kind for kind in (
    Kind('kill sim_bridge', twin_killed, GATE, ('clock_began_again',)),
    Kind('kill policy_server', partial(killed, 'policy_server'), WATCHDOG, _SILENCE),
    Kind('kill data_recorder', partial(killed, 'data_recorder'), '', _CUT,
         cuts_recording=True),
    Kind('kill sac_learner', partial(killed, 'sac_learner'), '', ('exit -9',)),
    Kind('kill safety_stop', partial(killed, 'safety_stop'), '', ('exit -9',)),
    Kind('kill all', all_killed, '', _CUT, cuts_recording=True),
    Kind('hang sim_bridge', partial(hung, 'sim_bridge')),
    Kind('hang policy_server', partial(hung, 'policy_server'), WATCHDOG, _SILENCE),
    Kind('hang data_recorder', partial(hung, 'data_recorder')),
    Kind('hang sac_learner', partial(hung, 'sac_learner')),
    Kind('hang safety_stop', partial(hung, 'safety_stop')),
    Kind('e-stop pressed', partial(said, 'e_stop', True), GATE, ('e_stop_pressed',)),
    Kind('e-stop silent', partial(silent, 'e_stop'), GATE, ('e_stop_silent',)),
    Kind('dead-man released', partial(said, 'dead_man', False), GATE, ('dead_man_released',)),
    Kind('dead-man silent', partial(silent, 'dead_man'), GATE, ('dead_man_silent',)),
    Kind('operator stop', asked, GATE, ('operator',)),
    Kind('topic stale', partial(spoiled, 'arm', lambda message: None), GATE, _STALE),
    Kind('NaN observed', partial(spoiled, 'arm', partial(_nan, np.nan)), GATE, _STALE),
    Kind('infinite observed', partial(spoiled, 'arm', partial(_nan, np.inf)), GATE, _STALE),
    Kind('wrong size', partial(spoiled, 'arm', _short), GATE, _STALE),
    Kind('outside limits', outside, GATE, ('observation_outside',)),
    Kind('clock jumps forth', partial(jumped, JUMP), GATE, ('policy_late', *_STALE)),
    Kind('clock jumps back', partial(jumped, -JUMP), GATE, ('clock_began_again', *_STALE)),
    Kind('flood x 100', flooded),
    Kind('corrupted policy', _actor(flipped), '', ('policy_refused',)),
    Kind('foreign policy', _actor(foreign), '', ('policy_refused',)),
    Kind('corrupted episode', partial(counted, 'sac_learner', 'refused', partial(
        sent, UInt8MultiArray, 'transitions', STREAM,
        lambda graph: bytes_message(os.urandom(256)))), '', ('refused',)),
    Kind('garbled step', partial(counted, 'data_recorder', 'bad_steps', partial(
        sent, Float64MultiArray, 'policy_server/steps', STEPS,
        lambda graph: Float64MultiArray(data=[np.nan] * 7))), '', ('bad_steps',)),
    Kind('corrupted checkpoint', corrupted_checkpoint, '', ('checkpoint_refused',)),
    Kind('learner cut off', without_learner, away=('sac_learner',)),
    Kind('policy_server cut off', apart, WATCHDOG, _SILENCE,
         away=('policy_server', 'sac_learner')),
    Kind('disk full, bags', full_bags, '', ('disk_full', 'write_error'), cuts_recording=True,
         needs_mounts=True),
    Kind('disk full, checkpoint', full_checkpoints, '', ('checkpoint_failed',),
         needs_mounts=True),
)}


def mount(folder: Path) -> None:
    """Put a small file system of its own on a folder; needs mounts of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={DISK_SIZE}', 'tmpfs', str(folder)],
                   check=True)


def unmount(folder: Path) -> None:
    """Take it away, with what is on it."""
    subprocess.run(['umount', '-l', str(folder)], check=False)
