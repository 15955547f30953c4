"""Run one node as a process: a clear error and exit code 2 on bad input, a clean end on Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
import os
import signal
import socket
import sys
import threading
import time

import rclpy
from rclpy.duration import Duration
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.ros.help import asked_for_help, help_text

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
LAST_WORDS = 1.0        # s that a node waits, as it ends, for subscribers to have heard it
OUT_OF_ORDER = 'Failed to trigger lifecycle state machine transition'


def run(make_node: Callable[[], Node], settings: type, shared_memory: bool = True) -> int:
    """Spin the node until SIGINT or SIGTERM, then `close` it; return the exit code.

    settings        its parameters, for --help
    shared_memory   False where it commands the robot. Fast DDS lets whoever writes to a reader
                    wait, up to 1 s, for a process that was stopped while it wrote to the same
                    one, and may hang a writer whose reader died
                    (https://github.com/eProsima/Fast-DDS/issues/6485); by UDP it does neither

    The context outlives the signal, so that `close` can still publish: the safe action, the last
    episode, the last status. Who is there hears them.
    """
    if asked_for_help():
        print(help_text(settings))
        return 0
    if not shared_memory:
        os.environ.setdefault('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')
    try:
        _init()
        executor = SingleThreadedExecutor()
        stopped = Future(executor=executor)
        _on_signal(lambda: stopped.set_result(None))
        node = make_node()
    except (UserError, InvalidParameterTypeException) as error:     # the latter: use_sim_time
        print(f'error: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return EXIT_BAD_INPUT
    executor.add_node(node)
    try:
        _spin(executor, stopped, node)
    finally:
        node.close()
        _deliver(node)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _spin(executor: SingleThreadedExecutor, stopped: Future, node: Node) -> None:
    """Spin until stopped; a lifecycle request out of order is refused, not fatal.

    Before Kilted rclpy raises it out of the service callback, and one wrong `ros2 lifecycle set`
    would end the node that holds the robot.
    """
    while not stopped.done():
        try:
            executor.spin_until_future_complete(stopped)
        except RuntimeError as error:       # rclpy's own class of it is private
            if OUT_OF_ORDER not in str(error):
                raise
            node.get_logger().error(str(error))


def _deliver(node: Node) -> None:
    """Wait for LAST_WORDS at most until what was said last has arrived.

    A subscriber drops what comes after the end of its writer, and that may overtake it.
    """
    deadline = time.monotonic() + LAST_WORDS
    for publisher in node.publishers:
        publisher.wait_for_all_acked(Duration(seconds=max(0.0, deadline - time.monotonic())))


def _init() -> None:
    """Start rclpy; an argument or parameter file that rcl cannot parse is bad input."""
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:       # rclpy's own classes of it are private
        raise UserError(f'ROS arguments: {" ".join(str(error).split())}') from None


def _on_signal(stop: Callable[[], None]) -> None:
    """Call `stop` from a thread at the first signal.

    A Python handler would run only when the executor's wait returns; the wake-up descriptor is
    written at once, whichever thread the signal reaches.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno())
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)

    def wait():
        receiver.recv(1)
        stop()
        receiver.detach(), sender.detach()      # signals may still come while it closes

    threading.Thread(target=wait, name='signals', daemon=True).start()
