"""What data_recorder takes down without a loss, beside a bare loop that subscribes and writes.

    recorder    data_recorder, with its queue, counters, diagnostics, flushes and syncs
    bare        a node with raw subscriptions whose callback writes to an `mcap` file, no more
    joints      four JointStates of seven joints: messages per second, over all of them
    frames      arrays of 0.9 MB, as a camera's 640 x 480 x 3: MB per second

A rate is held where all that was sent in a step is in the file if recording ends a quarter of a
second after the last message. Rates are doubled up to the first that is not held, twice in a row,
then bisected; recorder and bare take turns. Both subscribe alike: reliable, 1000 messages deep.
`us` is the processor time of the process per message, at the first rate.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, ExitStack, suppress
from dataclasses import dataclass
from math import sqrt
import os
from pathlib import Path
import shutil
import statistics
import sys
import time

from made_task import write_contract
from robot_rl.benchmarking import at_least, finish, parser_of, scratch, verdicts, versions
from robot_rl.bringup import command, graph, keep_apart
from robot_rl.data.bag import CHUNK_BYTES, find_bags, read_bag
from robot_rl.data.bag_metadata import METADATA_FILE
from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.processes import Supervisor

ARMS, JOINTS = 4, 7
PIXELS = 640 * 480 * 3                  # bytes
GRACE = 0.25                            # s from the last message to the end of recording
ROUNDS, FAST_ROUNDS = 5, 1
BISECTIONS, FAST_BISECTIONS = 5, 3      # of 2: to 2 %, to 9 %
TRIES = 2                               # of a rate, before it is not held
START = 60.0                            # s
GREETED = 1.0                           # s until a node that knows of us has answered
GOAL = 0.9
BARE = '--bare'                         # this script is the bare loop
SIDES = {'recorder': '', 'bare': 'bare/'}   # and what their topics begin with
SERVICES = {'recorder': 'data_recorder', 'bare': 'bare/bare'}


@dataclass(frozen=True)
class Load:
    """What is sent."""

    topics: tuple[str, ...]
    type: str
    first: float        # messages per second to begin with
    seconds: float      # of a step


LOADS = {'joints': Load(tuple(f'arm{arm}/joint_states' for arm in range(ARMS)),
                        'sensor_msgs/msg/JointState', 2000.0, 2.0),
         'frames': Load(('frame',), 'std_msgs/msg/Float64MultiArray', 20.0, 1.0)}


def bare(folder: str) -> int:
    """Subscribe and write, between start_episode and end_episode, until interrupted."""
    from mcap.writer import CompressionType, Writer
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.node import Node
    from robot_rl.ros.codecs import interface_class
    from robot_rl.ros.qos import STREAM
    from std_srvs.srv import SetBool, Trigger

    class Bare(Node):

        def __init__(self):
            super().__init__('bare')
            self._writer, self._files = None, 0
            for load in LOADS.values():
                for topic in load.topics:
                    self.create_subscription(
                        interface_class(load.type), topic,
                        lambda data, info, topic=topic: self._take(topic, data, info), STREAM,
                        raw=True)
            self.create_service(Trigger, '~/start_episode', self._start)
            self.create_service(SetBool, '~/end_episode', self._end)

        def _start(self, request, response):
            self._files += 1
            self._path = Path(folder) / f'{self._files}'
            self._path.mkdir()
            self._stream = open(self._path / '0.mcap', 'xb')
            self._writer = Writer(self._stream, CHUNK_BYTES, CompressionType.NONE)
            self._writer.start()
            self._channels = {
                topic: self._writer.register_channel(
                    topic, 'cdr', self._writer.register_schema(load.type, 'ros2msg', b''))
                for load in LOADS.values() for topic in load.topics}
            response.success = True
            return response

        def _take(self, topic: str, data: bytes, info: dict) -> None:
            if self._writer:
                self._writer.add_message(self._channels[topic], info['received_timestamp'], data,
                                         info['source_timestamp'])

        def _end(self, request, response):
            self._writer.finish()
            self._writer = None
            self._stream.close()
            (self._path / METADATA_FILE).touch()
            response.success = True
            return response

    rclpy.init()
    with suppress(ExternalShutdownException, KeyboardInterrupt):
        rclpy.spin(Bare())
    return 0


def searched(first: float, bisections: int) -> Generator[float, bool, float]:
    """Yield rates, each answered by whether it was held; return the highest that was."""
    low, high = 0.0, first
    while (yield high):
        low, high = high, 2.0 * high
    for _ in range(bisections if low else 0):
        middle = sqrt(low * high)
        low, high = (middle, high) if (yield middle) else (low, middle)
    return low


class Sender:
    """The robot that is recorded, and who starts and ends the recordings."""

    def __init__(self, root: Path):
        from rcl_interfaces.srv import ListParameters
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from rclpy.serialization import serialize_message
        from robot_rl.ros.codecs import interface_class
        from robot_rl.ros.qos import DRIVER
        from std_srvs.srv import SetBool, Trigger

        self._root, self.pids = root, {}
        self.node, self._executor = Node('sender'), SingleThreadedExecutor()
        self._executor.add_node(self.node)
        joints, frame = (interface_class(load.type)() for load in LOADS.values())
        joints.name = [f'joint{index}' for index in range(JOINTS)]
        joints.position = joints.velocity = joints.effort = [0.0] * JOINTS
        frame.data = [0.0] * (PIXELS // 8)
        self.data = {'joints': serialize_message(joints), 'frames': serialize_message(frame)}
        self._publishers = {
            (side, name): [self.node.create_publisher(interface_class(load.type), prefix + topic,
                                                      DRIVER) for topic in load.topics]
            for side, prefix in SIDES.items() for name, load in LOADS.items()}
        self._start = {side: self.node.create_client(Trigger, f'{name}/start_episode')
                       for side, name in SERVICES.items()}
        self._end = {side: self.node.create_client(SetBool, f'{name}/end_episode')
                     for side, name in SERVICES.items()}
        # The last ones: a node that answers them has found the others as well.
        self._greetings = [self.node.create_client(ListParameters, f'{name}/list_parameters')
                           for name in SERVICES.values()]

    def ready(self) -> bool:
        """Tell whether both recorders are there."""
        self._executor.spin_once(timeout_sec=0.05)
        return (all(publisher.get_subscription_count() for publishers in self._publishers.values()
                    for publisher in publishers)
                and all(client.service_is_ready() for client in (
                    *self._start.values(), *self._end.values(), *self._greetings))
                and all(self._answers(client) for client in self._greetings))

    def _answers(self, client) -> bool:
        """Tell whether a node answers: it drops what it would say to whom it has not found."""
        future = client.call_async(client.srv_type.Request())
        self._executor.spin_until_future_complete(future, GREETED)
        return future.done()

    def _call(self, client, **values) -> None:
        future = client.call_async(client.srv_type.Request(**values))
        self._executor.spin_until_future_complete(future, START)
        if not future.done():
            raise UserError(f'{client.service_name}: no answer in {START:g} s')
        if not future.result().success:
            raise UserError(f'{client.service_name}: {future.result().message}')

    def send(self, side: str, name: str, rate: float) -> int:
        """Send at an even rate for a step; return how many, 0 where this process was too slow."""
        load, data = LOADS[name], self.data[name]
        publishers = self._publishers[side, name]
        count, sent, begun = round(rate * load.seconds), 0, time.perf_counter()
        while sent < count:
            due = min(count, int((time.perf_counter() - begun) * rate) + 1)
            for number in range(sent, due):
                publishers[number % len(publishers)].publish(data)
            sent = due
            time.sleep(0.0005)
        return count if time.perf_counter() - begun < 1.1 * load.seconds else 0

    def held(self, side: str, name: str, rate: float) -> tuple[bool, float]:
        """Tell whether a side holds a rate, and its processor time per message, us."""
        folder = self._root / side
        begun, spent = time.time_ns(), processor(self.pids[side])
        self._call(self._start[side])
        count = self.send(side, name, rate)
        time.sleep(GRACE)
        self._call(self._end[side], data=True)
        spent = processor(self.pids[side]) - spent
        bag, = find_bags(folder)
        deadline = time.monotonic() + START
        while not (bag / METADATA_FILE).exists():
            if time.monotonic() > deadline:
                raise UserError(f'{bag}: not complete after {START:g} s')
            time.sleep(0.01)
        # The recorder begins a bag with the last message of each topic before it.
        found = sum(message.publish_time >= begun and message.topic.endswith(LOADS[name].topics)
                    for message in read_bag(bag))
        shutil.rmtree(bag)
        return 0 < count == found, 1e6 * spent / max(found, 1)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()


def processor(pid: int) -> float:
    """Return the processor time that a process has used, s."""
    parts = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf('SC_CLK_TCK')


@contextmanager
def running(root: Path) -> Iterator[Sender]:
    """Run both sides."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    contract = write_contract(root / 'contract.yaml', joints=JOINTS, arms=ARMS, frames=True)
    (root / 'bare').mkdir()
    spec, = graph('robot', contract=str(contract.file), nodes=('data_recorder',), overrides={
        'data_recorder': {'bag_root': str(root / 'recorder')}})
    argv = {'recorder': command(spec), 'bare': [
        sys.executable, __file__, BARE, str(root / 'bare'), '--ros-args', '-r', '__ns:=/bare']}
    with ExitStack() as stack:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        sender = Sender(root)
        stack.callback(sender.close)
        supervisor = stack.enter_context(Supervisor(argv, root / 'logs'))
        deadline = time.monotonic() + START
        while not sender.ready():
            if time.monotonic() > deadline:
                raise UserError(f'the nodes did not start; see {root / "logs"}')
        sender.pids = supervisor.pids()
        yield sender


def search(hold: Callable[[str, float], bool], first: float, bisections: int) -> dict[str, float]:
    """Return the highest rate that each side holds; they take turns."""
    searches = {side: searched(first, bisections) for side in SIDES}
    asked, rates = {side: next(rates) for side, rates in searches.items()}, {}
    while asked:
        for side, rate in list(asked.items()):
            held = any(hold(side, rate) for _ in range(TRIES))
            try:
                asked[side] = searches[side].send(held)
            except StopIteration as end:
                rates[side] = end.value
                del asked[side]
    return rates


def measure(sender: Sender, name: str, rounds: int, bisections: int) -> dict:
    """Return the figures of both sides under one load."""
    first, size = LOADS[name].first, len(sender.data[name])
    spent = {side: sender.held(side, name, first)[1] for side in SIDES}
    found = [search(lambda side, rate: sender.held(side, name, rate)[0], first, bisections)
             for _ in range(rounds)]
    row = {'load': name, 'bytes': size, 'ratio': round(statistics.median(
        rates['recorder'] / max(rates['bare'], 1.0) for rates in found), 3)}
    for side in SIDES:
        rate = statistics.median(rates[side] for rates in found)
        row[side] = {'messages': round(rate, 1), 'megabytes': round(1e-6 * rate * size, 1),
                     'us': round(spent[side], 1)}
    return row


def claims(rows: list[dict]) -> list[dict]:
    """Return what is claimed of the rows."""
    units = {'joints': 'messages/s', 'frames': 'MB/s'}
    return [at_least(f'{row["load"]}: {units[row["load"]]} before the first loss, share of the '
                     'bare loop', row['ratio'], GOAL) for row in rows]


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = [f'{"load":8}{"bytes":>8}{"side":>10}{"messages/s":>12}{"MB/s":>8}{"us":>8}'
             f'{"ratio":>8}']
    for row in result['rows']:
        for side in SIDES:
            figures, ratio = row[side], row['ratio'] if side == 'recorder' else ''
            lines.append(f'{row["load"]:8}{row["bytes"]:8}{side:>10}{figures["messages"]:12.0f}'
                         f'{figures["megabytes"]:8.1f}{figures["us"]:8.0f}{ratio:>8}')
    return '\n'.join([*lines, '', *verdicts(result['claims'])])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'recorder', 'fewer rounds and bisections')
    options = parser.parse_args(arguments)
    keep_apart()
    rounds = FAST_ROUNDS if options.fast else ROUNDS
    bisections = FAST_BISECTIONS if options.fast else BISECTIONS
    try:
        with scratch('recorder') as folder, \
                running(folder) as sender:
            rows = [measure(sender, load, rounds, bisections) for load in LOADS]
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    result = {'benchmark': 'recorder', 'rounds': rounds,
              'versions': versions('mcap', 'ros-kilted-rclpy'), 'rows': rows,
              'claims': claims(rows)}
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(bare(sys.argv[2]) if sys.argv[1:2] == [BARE] else main())
