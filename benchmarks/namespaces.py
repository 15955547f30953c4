"""Two hosts on this machine: network namespaces, joined by a cable that can be slow or cut.

The cable is a thread that carries Ethernet frames between two TAP devices: a kernel without
`netem` cannot delay or lose them. Everything is gone with the process that made it.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import ctypes
from dataclasses import dataclass
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
LARGEST_FRAME = 1 << 16
LIBC = ctypes.CDLL(None, use_errno=True)


class Host:
    """A network namespace with an Ethernet device; `prefix` begins the argv of its processes."""

    def __init__(self, address: str):
        with contextlib.ExitStack() as opened:
            home = _namespace()
            _check(LIBC.unshare(CLONE_NEWNET))      # this thread is there now
            try:
                self._namespace = _namespace()
                opened.callback(os.close, self._namespace)
                self.device = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
                opened.callback(os.close, self.device)
                fcntl.ioctl(self.device, TUNSETIFF,
                            struct.pack('16sH22x', b'eth0', IFF_TAP | IFF_NO_PI))
                for words in ('link set lo up', f'address add {address}/24 dev eth0',
                              'link set eth0 up'):
                    subprocess.run(['ip', *words.split()], check=True, capture_output=True)
            finally:
                _enter(home)
                os.close(home)
            self.close = opened.pop_all().close
        self.prefix = ['nsenter', f'--net=/proc/{os.getpid()}/fd/{self._namespace}', '--']

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move this thread, and the threads and processes that it starts, to the host."""
        home = _namespace()
        _enter(self._namespace)
        try:
            yield
        finally:
            _enter(home)
            os.close(home)

    def traffic(self) -> int:
        """Return the bytes that the host has sent through the cable."""
        text = subprocess.run([*self.prefix, 'cat', '/proc/net/dev'], check=True,
                              capture_output=True, text=True).stdout
        [line] = [line for line in text.splitlines() if line.lstrip().startswith('eth0:')]
        return int(line.split(':')[1].split()[8])


@dataclass
class Quality:
    """How frames fare, in each direction; may change while they travel."""

    up: bool = True
    delay: float = 0.0      # s
    jitter: float = 0.0     # s, uniform, to either side of the delay: frames overtake each other
    loss: float = 0.0       # share


class Cable:
    """Carries frames between two hosts until `close`."""

    def __init__(self, one: Host, other: Host):
        self.quality = Quality()
        self._to = {one.device: other.device, other.device: one.device}
        self._random = random.Random(0)
        self._under_way: list[tuple[float, int, int, bytes]] = []   # due, count, target, frame
        self._count = 0
        self._closing, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name='cable', daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.write(self._wake, b'.')
        self._thread.join()
        os.close(self._closing)
        os.close(self._wake)

    def _run(self) -> None:
        poller = select.poll()
        for descriptor in (*self._to, self._closing):
            poller.register(descriptor, select.POLLIN)
        while True:
            wait = (None if not self._under_way
                    else max(0.0, 1e3 * (self._under_way[0][0] - time.monotonic())))
            for descriptor, _ in poller.poll(wait):
                if descriptor == self._closing:
                    return
                self._take(descriptor)
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _, _, target, frame = heapq.heappop(self._under_way)
                with contextlib.suppress(BlockingIOError):      # full, as a switch's queue
                    os.write(target, frame)

    def _take(self, source: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = os.read(source, LARGEST_FRAME)
                quality = self.quality
                if not quality.up or self._random.random() < quality.loss:
                    continue
                delay = quality.delay + self._random.uniform(-1.0, 1.0) * quality.jitter
                self._count += 1
                heapq.heappush(self._under_way, (time.monotonic() + delay, self._count,
                                                 self._to[source], frame))


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host, Cable]]:
    """Yield two hosts and the cable; OSError where this machine or user cannot have them."""
    if not shutil.which('nsenter'):
        raise OSError('nsenter: not installed')
    with contextlib.ExitStack() as stack:
        hosts = []
        for address in ('10.99.0.1', '10.99.0.2'):
            try:
                hosts.append(host := Host(address))
            except subprocess.CalledProcessError as error:
                raise OSError(f'ip: {error.stderr.decode().strip()}') from None
            stack.callback(host.close)
        cable = Cable(*hosts)
        stack.callback(cable.close)
        yield *hosts, cable


def _namespace() -> int:
    return os.open('/proc/thread-self/ns/net', os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace: int) -> None:
    _check(LIBC.setns(namespace, CLONE_NEWNET))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f'network namespace: {os.strerror(number)}')
