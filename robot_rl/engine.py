"""Run independent cells of an experiment in parallel: in processes here, or on a Ray cluster.

A cell is any value that pickles, the function one that workers can import. Nothing else crosses
the border: a cell carries what it needs and returns what it found, so a cluster needs no shared
disk. What a worker raises is that cell's outcome, and so is its death; the rest goes on.

    processes   worker processes of this machine
    ray         the cluster at RAY_ADDRESS, or one made here; needs ray on every machine
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
import contextlib
from dataclasses import dataclass
import multiprocessing
from multiprocessing.connection import Connection
import os
import signal
import threading
from typing import Any

from robot_rl.errors import UserError

ENGINES = ('processes', 'ray')
NO_RAY = 'engine ray: expected the package ray, found none; pip install ray'


@dataclass(frozen=True)
class Failure:
    """The outcome of a cell that has no other."""

    reason: str


def run_cells(function: Callable[[Any], Any], cells: Iterable[Any], workers: int,
              engine: str = 'processes',
              then: Callable[[Any, Any], Iterable[Any]] = lambda cell, outcome: ()
              ) -> Iterator[tuple[Any, Any]]:
    """Yield (cell, outcome) as the cells finish; an outcome is function(cell) or a Failure.

    `workers` cells run at once, in the given order. `then(cell, outcome)` returns more cells,
    those that waited for this outcome; they go next. Leaving the loop ends what still runs.
    Raises UserError for an engine that is not there.
    """
    if engine not in ENGINES or workers < 1:
        raise UserError(f'engine: expected one of {", ".join(ENGINES)} and at least 1 worker, '
                        f'found {engine} and {workers}')
    waiting, running = deque(cells), {}
    with (_Processes if engine == 'processes' else _Ray)(function, workers) as crew:
        while waiting or running:
            while waiting and len(running) < workers:
                cell = waiting.popleft()
                running[crew.submit(cell)] = cell
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                cell, outcome = running.pop(future), _outcome(future)
                crew.release(future)
                waiting.extendleft(reversed(list(then(cell, outcome))))
                yield cell, outcome


def _outcome(future: Future) -> Any:
    error = future.exception()
    error = getattr(error, 'cause', None) or error      # Ray wraps what the function raised
    if isinstance(error, BrokenProcessPool):
        return Failure('its process was killed, for instance for lack of memory')
    if isinstance(error, UserError):
        return Failure(str(error))
    return Failure(f'{type(error).__name__}: {error}') if error else future.result()


class _Processes:
    """Pools of one process each, so that a process that dies takes no other cell along."""

    def __init__(self, function: Callable, workers: int):
        self._function, self._context = function, multiprocessing.get_context('spawn')
        self._pools: list[ProcessPoolExecutor] = []
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: dict[Future, ProcessPoolExecutor] = {}
        self._held, self._line = self._context.Pipe()

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_) -> None:
        self._held.close()      # ends the workers, whatever they do
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)
        self._line.close()

    def submit(self, cell: Any) -> Future:
        pool = self._idle.pop() if self._idle else self._start()
        # Ctrl-C reaches the whole terminal but is this process's to handle: a worker is born with
        # this mask, at its pool's first cell, and keeps it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future = pool.submit(self._function, cell)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._busy[future] = pool
        return future

    def release(self, future: Future) -> None:
        pool = self._busy.pop(future)
        if not isinstance(future.exception(), BrokenProcessPool):
            self._idle.append(pool)

    def _start(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, self._context, _hold, (self._line,))
        self._pools.append(pool)
        return pool


def _hold(line: Connection) -> None:
    """Let this worker live until the parent closes its end of the line, or dies."""
    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            line.recv_bytes()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Ray:
    """A Ray cluster; it is left running where it was not made here."""

    def __init__(self, function: Callable, workers: int):
        try:
            import ray      # an extra, and slow to import
        except ImportError:
            raise UserError(NO_RAY) from None
        self._ray, self._made = ray, not ray.is_initialized()
        if self._made:
            local = {} if os.environ.get('RAY_ADDRESS') else {'num_cpus': workers}
            ray.init(include_dashboard=False, log_to_driver=False, logging_level='warning',
                     **local)
        # A worker that dies is an outcome here too, not a reason to try again.
        self._remote = ray.remote(num_cpus=1, max_retries=0)(function)
        self._refs: dict[Future, Any] = {}

    def __enter__(self) -> _Ray:
        return self

    def __exit__(self, *_) -> None:
        for ref in self._refs.values():
            self._ray.cancel(ref, force=True)
        if self._made:
            self._ray.shutdown()

    def submit(self, cell: Any) -> Future:
        ref = self._remote.remote(cell)
        future = ref.future()
        self._refs[future] = ref
        return future

    def release(self, future: Future) -> None:
        del self._refs[future]      # or the cluster would keep the result
