"""Start the nodes of a graph as processes, keep them running, and never leave one behind.

Each child leads a session of its own, so Ctrl-C in the terminal reaches only the parent, which
then stops the children in order. A guard process ends them if the parent itself is killed: it
reads their process ids from a pipe whose end it sees when the parent is gone, however it died.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import dataclass
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
import threading
import time

# Not started again: 0 has finished, 2 is bad input (robot_rl.errors.EXIT_BAD_INPUT) and stays bad.
# The guard runs this file without the package, so the number stands here.
FINAL_CODES = (0, 2)
TAIL_BYTES = 16 * 1024
# A child begins when the guard knows it; if the parent dies before that, `read` fails instead.
WAIT_FOR_GO = 'read go && exec "$@" </dev/null'


@dataclass(frozen=True)
class Patience:
    """How long children get to end, and how often one is started again."""

    interrupt: float = 10.0         # s from SIGINT to SIGTERM
    terminate: float = 5.0          # s from SIGTERM to SIGKILL
    first_delay: float = 1.0        # s before the first restart; doubles with each further one
    longest_delay: float = 30.0     # s
    restarts: int = 5               # in a row
    healthy_after: float = 60.0     # s of running after which the count starts again


@dataclass(frozen=True)
class Exit:
    """A child that ended without being asked to."""

    name: str
    code: int                       # negative: ended by that signal; 127: no such program
    log_tail: str                   # the last lines that it wrote
    restart_in: float | None        # s; None: it stays down

    @property
    def how(self) -> str:
        """How it ended, as in `NODE ended with code 3`."""
        return f'{"was" if self.code < 0 else "ended with"} {cause(self.code)}'


def cause(code: int) -> str:
    """Return what an exit code says: a negative one is a signal."""
    return f'killed by signal {-code}' if code < 0 else f'code {code}'


class Supervisor:
    """The children of one graph; a context manager that starts and stops them.

    commands     {name: argv}; started in this order
    log_folder   stdout and stderr of a child are appended to <name>.log in it
    env          variables set for the children on top of this process's own
    respawn      start a child again that died
    on_exit      called with an Exit from a thread of the child's own; must not raise
    """

    def __init__(self, commands: dict[str, list[str]], log_folder: Path | str,
                 env: dict[str, str] | None = None, respawn: bool = False,
                 on_exit: Callable[[Exit], None] = lambda report: None,
                 patience: Patience = Patience()):
        self._commands = {name: list(argv) for name, argv in commands.items()}
        self._log_folder = Path(log_folder)
        # Unbuffered, so that the log of a child that was killed is complete.
        self._env = {**os.environ, 'PYTHONUNBUFFERED': '1', **(env or {})}
        self._respawn = respawn
        self._on_exit = on_exit
        self._patience = patience
        self._processes: dict[str, subprocess.Popen] = {}
        # Not Thread.join: a Ctrl-C in it makes Python 3.11 take a running thread for a dead one.
        self._ended: dict[str, threading.Event] = {}
        self._codes: dict[str, int] = {}
        self._begins: dict[str, int] = {}       # byte of its log at which a child's lines begin
        self._stopping: dict[str, threading.Event] = {}
        self._lock = threading.Lock()       # of signalling against reaping: no stale process id
        self._guard: subprocess.Popen | None = None

    def __enter__(self) -> Supervisor:
        try:
            self.start()
        except BaseException:       # Ctrl-C included: `with` calls no __exit__ for a failed enter
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> None:
        """Start the guard and all children; return when each was started once."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        grace = self._patience.interrupt + self._patience.terminate
        self._guard = subprocess.Popen(
            [sys.executable, '-I', '-S', __file__, str(os.getpid()), str(grace)],
            stdin=subprocess.PIPE, bufsize=0, stdout=subprocess.DEVNULL,
            start_new_session=True)
        for name, argv in list(self._commands.items()):
            self.run(name, argv)

    def run(self, name: str, argv: list[str]) -> None:
        """Start one more child, or one in place of that name's; return when it was started."""
        if name in self._ended:
            self.stop(name)
        self._commands[name] = list(argv)
        self._stopping[name], self._ended[name] = threading.Event(), threading.Event()
        started = threading.Event()
        threading.Thread(target=self._keep, name=name, daemon=True, args=(
            name, self._stopping[name], started, self._ended[name])).start()
        started.wait()

    def stop(self, *names: str) -> dict[str, int]:
        """Interrupt children, wait, terminate, wait, kill; return the exit codes.

        Without names it stops all of them, for good.
        """
        chosen = names or tuple(self._ended)
        for name in chosen:
            self._stopping[name].set()
        try:
            for number, grace in ((signal.SIGINT, self._patience.interrupt),
                                  (signal.SIGTERM, self._patience.terminate)):
                self._signal(chosen, number)
                if self.wait(grace, chosen):
                    break
        finally:                    # also after a second Ctrl-C
            self._signal(chosen, signal.SIGKILL)
            self.wait(names=chosen)
            if self._guard and not names:
                self._guard.stdin.close()
                self._guard.wait()
                self._guard = None
        return {name: self._codes[name] for name in chosen if name in self._codes}

    def wait(self, timeout: float | None = None, names: tuple[str, ...] = ()) -> bool:
        """Wait at most `timeout` s until no child runs or will be restarted; return whether so."""
        deadline = None if timeout is None else time.monotonic() + timeout
        waited = [self._ended[name] for name in names or self._ended]
        for ended in waited:
            ended.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return all(ended.is_set() for ended in waited)

    def pids(self) -> dict[str, int]:
        """Return the process ids of the children that run."""
        with self._lock:
            return {name: process.pid for name, process in self._processes.items()}

    def log_tail(self, name: str, lines: int = 10) -> str:
        """Return the last lines that a child wrote since its start, of at most 16 KiB."""
        try:
            with self._log(name).open('rb') as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._begins.get(name, 0), end - TAIL_BYTES))
                text = file.read().decode(errors='replace')
        except OSError as error:
            return str(error)
        return '\n'.join(text.splitlines()[-lines:])

    def _log(self, name: str) -> Path:
        return self._log_folder / f'{name}.log'

    def _keep(self, name: str, stopping: threading.Event, started: threading.Event,
              ended: threading.Event) -> None:
        """Run one child until it is to stay down; the body of its thread."""
        restarts = 0
        try:
            while not stopping.is_set():
                begin = time.monotonic()
                code = self._codes[name] = self._run(name, stopping, started)
                if time.monotonic() - begin > self._patience.healthy_after:
                    restarts = 0
                if stopping.is_set():
                    return
                delay = self._restart_delay(code, restarts)
                self._on_exit(Exit(name, code, self.log_tail(name), delay))
                if delay is None:
                    return
                restarts += 1
                stopping.wait(delay)
        finally:
            started.set()
            ended.set()

    def _restart_delay(self, code: int, restarts: int) -> float | None:
        patience = self._patience
        if not self._respawn or code in FINAL_CODES or restarts >= patience.restarts:
            return None
        return min(patience.first_delay * 2 ** restarts, patience.longest_delay)

    def _run(self, name: str, stopping: threading.Event, started: threading.Event) -> int:
        """Start one child, wait for its end, end what it left in its group; return its code."""
        with self._log(name).open('ab') as log, self._lock:
            if stopping.is_set():
                return -signal.SIGINT
            self._begins[name] = log.seek(0, os.SEEK_END)
            process = subprocess.Popen(
                ['/bin/sh', '-c', WAIT_FOR_GO, name, *self._commands[name]], env=self._env,
                stdin=subprocess.PIPE, bufsize=0, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)
            self._processes[name] = process
            self._tell(self._guard, f'+{process.pid}\n')
            self._tell(process, 'go\n')
            process.stdin.close()
        started.set()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)   # its id stays taken
        with self._lock:
            _signal_group(process.pid, signal.SIGKILL)
            del self._processes[name]
            self._tell(self._guard, f'-{process.pid}\n')
            return process.wait()

    def _signal(self, names: tuple[str, ...], number: signal.Signals) -> None:
        with self._lock:
            for name in set(names) & set(self._processes):
                _signal_group(self._processes[name].pid, number)

    @staticmethod
    def _tell(process: subprocess.Popen, text: str) -> None:
        with contextlib.suppress(OSError):      # somebody killed it: no reason to stop
            process.stdin.write(text.encode())


def _signal_group(group: int, number: int) -> bool:
    """Signal a process group; return whether there was one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):       # macOS: the latter for a zombie
        return False
    return True


def guard(parent: int, grace: float) -> None:
    """Follow the +id and -id lines on stdin; when the parent is gone, end what is still there."""
    groups: set[int] = set()
    rest = b''
    while True:
        if not select.select([0], [], [], 1.0)[0]:
            if os.getppid() != parent:      # dead, while a fork of it holds the pipe open
                break
            continue
        data = os.read(0, 4096)
        if not data:
            break
        *lines, rest = (rest + data).split(b'\n')
        for line in lines:
            (groups.add if line.startswith(b'+') else groups.discard)(int(line[1:]))
    deadline = time.monotonic() + grace
    for group in groups:
        _signal_group(group, signal.SIGINT)
    while time.monotonic() < deadline and any(_signal_group(group, 0) for group in groups):
        time.sleep(0.05)
    for group in groups:
        _signal_group(group, signal.SIGKILL)


if __name__ == '__main__':
    guard(int(sys.argv[1]), float(sys.argv[2]))
