"""Observation to action at 100 Hz: the real nodes beside a bare rclpy echo pair.

    echo        a node that answers a JointState of seven joints with a Float64MultiArray of seven
    nodes       policy_server in lockstep: it acts when an observation is there. Gate, limits, a
                policy of two layers of 256, step records, heartbeats; safety_stop watches
    alone       nothing else runs
    loaded      data_recorder records the steps, sac_learner makes updates without a pause

The driver sends an observation, waits for the action, and sends the next one 10 ms after the
last; echo and nodes take turns, a block of observations each. Without lockstep an action waits
for the tick of a timer besides, up to a control period. An observation that is not answered
within a second is lost. With the learner on one of two cores, p99 is that of a busy machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, ExitStack, suppress
from pathlib import Path
import sys
import time

from made_task import made_transitions, write_contract
import numpy as np
from robot_rl.benchmarking import at_most, finish, parser_of, scratch, verdicts, versions
from robot_rl.bringup import command, graph, keep_apart
from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.processes import Supervisor

RATE = 100.0                    # Hz
BLOCK = 100                     # observations of one side before it is the other's turn
BLOCKS, FAST_BLOCKS = 30, 6     # of each side, after one to warm up
LOST = 1.0                      # s without an answer
SILENT = 5                      # lost in a row: it was stopped
START = 60.0                    # s
P50_GOAL, P99_GOAL, LOADED_GOAL = 1.5, 2.0, 3.0     # times echo alone
ECHO = '--echo'                 # this script is the other half of the pair
NODES = {'alone': ('safety_stop', 'policy_server'),
         'loaded': ('safety_stop', 'policy_server', 'data_recorder', 'sac_learner')}
SETTINGS = {
    'safety_stop': {'timeout': START},      # a busy machine is no reason to stop
    'policy_server': {'lockstep': True, 'mode': 'learn', 'observation_timeout': START},
    'sac_learner': {'autotrain': True, 'start_transitions': 1, 'utd_ratio': 100.0}}
STORED = 10_000                 # transitions that the learner is given


def echo() -> int:
    """Answer until interrupted."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from rclpy.node import Node
    from robot_rl.ros.qos import COMMAND, SENSOR
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64MultiArray

    rclpy.init()
    node = Node('echo')
    publisher = node.create_publisher(Float64MultiArray, 'echo/commands', COMMAND)
    node.create_subscription(
        JointState, 'echo/joint_states', lambda message: publisher.publish(
            Float64MultiArray(data=message.position)), SENSOR)
    with suppress(ExternalShutdownException, KeyboardInterrupt):
        rclpy.spin(node)
    return 0


class Driver:
    """Sends observations to either side, and waits for what it answers."""

    def __init__(self, joints: int):
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from robot_rl.ros.qos import DRIVER, STREAM
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Float64MultiArray

        self.node = Node('driver')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        zeros = [0.0] * joints
        self._message = JointState(name=[f'joint{index}' for index in range(joints)],
                                   position=zeros, velocity=zeros)
        self._topics = {'echo': ('echo/joint_states', 'echo/commands'),
                        'nodes': ('arm0/joint_states', 'commands')}
        self._publishers, self._answered = {}, {}
        for side, (observation, action) in self._topics.items():
            self._publishers[side] = self.node.create_publisher(JointState, observation, DRIVER)
            self.node.create_subscription(
                Float64MultiArray, action,
                lambda message, side=side: self._answered.update({side: time.perf_counter()}),
                STREAM)

    def ready(self) -> bool:
        """Tell whether both sides have been found, both ways."""
        self._executor.spin_once(timeout_sec=0.05)
        return all(self._publishers[side].get_subscription_count()
                   and self.node.count_publishers(action)
                   for side, (_, action) in self._topics.items())

    def ask(self, side: str) -> float:
        """Send one observation; return ms to the answer, infinity where none came."""
        self._message.header.stamp = self.node.get_clock().now().to_msg()
        self._answered.pop(side, None)
        begun = time.perf_counter()
        self._publishers[side].publish(self._message)
        while side not in self._answered:
            if time.perf_counter() > begun + LOST:
                return np.inf
            self._executor.spin_once(timeout_sec=LOST)
        return 1e3 * (self._answered[side] - begun)

    def block(self, side: str) -> list[float]:
        """Return the ms of BLOCK observations at RATE."""
        times, due = [], time.perf_counter()
        for _ in range(BLOCK):
            time.sleep(max(0.0, due - time.perf_counter()))
            due = max(due, time.perf_counter()) + 1.0 / RATE
            times.append(self.ask(side))
            if np.isinf(times[-SILENT:]).sum() == SILENT:
                raise UserError(f'{side}: no answer to {SILENT} observations in a row')
        return times

    def tell(self, topic: str, data: bytes) -> None:
        """Send bytes to whom it concerns, once they are there."""
        from robot_rl.ros.codecs import bytes_message
        from robot_rl.ros.qos import LATCHED
        from std_msgs.msg import UInt8MultiArray
        publisher = self.node.create_publisher(UInt8MultiArray, topic, LATCHED)
        deadline = time.monotonic() + START
        while not publisher.get_subscription_count():
            if time.monotonic() > deadline:
                raise UserError(f'nobody subscribes to {topic}')
            self._executor.spin_once(timeout_sec=0.05)
        publisher.publish(bytes_message(data))

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()


def policy(contract) -> bytes:
    """Return a policy of two layers of 256 that has learned nothing."""
    from robot_rl.learning.policy import encode_gaussian, Normalizer
    rng, n, m = np.random.default_rng(0), len(contract.layout), len(contract.action.layout)
    sizes = (n, 256, 256, 2 * m)
    layers = [((rng.uniform(-1, 1, pair) / np.sqrt(pair[0])).astype(np.float32),
               np.zeros(pair[1], np.float32)) for pair in zip(sizes, sizes[1:])]
    unit = Normalizer(np.zeros(n, np.float32), np.ones(n, np.float32))
    return encode_gaussian(layers, unit, contract, 1, {})


def episode(contract) -> bytes:
    """Return an episode to learn from, as the recorder sends it."""
    from robot_rl.data.episode import EpisodeRecord
    from robot_rl.data.episode_message import encode_episode
    return encode_episode(EpisodeRecord('episode_000001', 1, 1, made_transitions(
        contract, STORED), 'truncated', '', 'made_up', 1, 'learn', 0), contract)


@contextmanager
def running(folder: Path, load: str) -> Iterator[Driver]:
    """Run both sides, and what else is asked for; give the driver once an episode is under way."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from robot_rl.ros.operator import Operator

    contract = write_contract(folder / 'contract.yaml', rate=RATE)
    specs = graph('robot', contract=str(contract.file), run_dir=str(folder), seed=0,
                  nodes=NODES[load], overrides={name: values for name, values in SETTINGS.items()
                                                if name in NODES[load]})
    argv = {spec.name: command(spec) for spec in specs}
    argv['echo'] = [sys.executable, __file__, ECHO]
    with ExitStack() as stack:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        operator = Operator(lambda kind, values: None)
        stack.callback(operator.close)
        driver = Driver(len(contract.action.layout))
        stack.callback(driver.close)
        exits: list = []
        stack.enter_context(Supervisor(argv, folder / 'logs', on_exit=exits.append))

        def must(condition, what: str) -> None:
            if not operator.until(lambda: exits or condition(), START) or exits:
                raise UserError(f'{load}: expected {what} within {START:g} s, found '
                                f'{exits or operator.status}; see {folder / "logs"}')

        must(lambda: len(operator.status) == len(specs) and driver.ready(),
             'every node and the echo')
        driver.tell('actor', policy(contract))
        must(lambda: operator.number('policy_server', 'newest_policy') == 1, 'the policy taken up')
        if load == 'loaded':
            driver.tell('transitions', episode(contract))
            must(lambda: operator.number('sac_learner', 'updates') > 0, 'updates')
        operator.switch('policy_server/run', True)
        must(lambda: driver.ask('nodes') < np.inf, 'an action')
        yield driver


def measure(load: str, blocks: int) -> dict[str, np.ndarray]:
    """Return the ms of every observation by side."""
    with scratch('latency') as folder, \
            running(folder, load) as driver:
        found = [{side: driver.block(side) for side in ('echo', 'nodes')}
                 for _ in range(blocks + 1)][1:]
    return {side: np.concatenate([block[side] for block in found]) for side in ('echo', 'nodes')}


def row(side: str, load: str, times: np.ndarray) -> dict:
    """Return the percentiles of what was answered."""
    answered = times[np.isfinite(times)]
    return {'side': side, 'load': load, 'observations': len(times),
            'lost': len(times) - len(answered), 'max': round(float(answered.max()), 3),
            **{f'p{level}': round(float(np.percentile(answered, level)), 3)
               for level in (50, 99)}}


def claims(rows: list[dict]) -> list[dict]:
    """Return what is claimed of the rows; everything is compared with the echo pair alone."""
    by = {(row['side'], row['load']): row for row in rows}
    echo_alone = by['echo', 'alone']
    ratios = [('p50, times that of the echo pair', 'alone', 'p50', P50_GOAL),
              ('p99, times that of the echo pair', 'alone', 'p99', P99_GOAL),
              ('p99 with learner and recorder, times the echo pair alone', 'loaded', 'p99',
               LOADED_GOAL)]
    return [*(at_most(text, by['nodes', load][level] / echo_alone[level], goal)
              for text, load, level, goal in ratios),
            at_most('observations lost', sum(row['lost'] for row in rows), 0)]


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    lines = [f'{"side":8}{"load":>8}{"observations":>14}{"lost":>6}{"p50 ms":>9}{"p99 ms":>9}'
             f'{"max ms":>9}']
    lines += [f'{row["side"]:8}{row["load"]:>8}{row["observations"]:14}{row["lost"]:6}'
              f'{row["p50"]:9.2f}{row["p99"]:9.2f}{row["max"]:9.2f}' for row in result['rows']]
    return '\n'.join([*lines, '', *verdicts(result['claims'])])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    parser = parser_of(__doc__, 'latency', 'fewer observations')
    options = parser.parse_args(arguments)
    keep_apart()
    try:
        rows = [row(side, load, times) for load in NODES
                for side, times in measure(
                    load, FAST_BLOCKS if options.fast else BLOCKS).items()]
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_INPUT
    result = {'benchmark': 'latency', 'rate': RATE,
              'versions': versions('numpy', 'torch', 'ros-kilted-rclpy'),
              'rows': rows, 'claims': claims(rows)}
    print(show(result))
    return finish(parser, options, __file__, result)


if __name__ == '__main__':
    sys.exit(echo() if sys.argv[1:2] == [ECHO] else main())
