"""Training as a child process, and the child's bond to its parent. Knows no node and no thread.

The parent looks now and then: `poll` takes what the child said, sees whether it lives, and starts
it again where a signal ended it. Nothing here waits, so an executor may call all of it.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
from dataclasses import dataclass, field, replace
import json
import os
import signal
import subprocess
import threading
import time

from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.priority import lower_priority

RESTARTS = 3                # in a row without a new round
GRACE = 5.0                 # s from SIGTERM to SIGKILL
MAX_LINE = 64 * 1024        # bytes of one line of the child
MAX_READ = 1 << 20          # bytes taken in one look
TAIL = 4096                 # bytes kept of what it wrote to stderr
BUSY = ('training', 'cancelling')


@dataclass(frozen=True)
class TrainingState:
    """Where a training stands."""

    phase: str = 'idle'     # idle, training, cancelling, cancelled, failed, done
    progress: dict = field(default_factory=dict)    # the child's newest figures
    restarts: int = 0       # of the child, since the start of this training
    reason: str = ''        # why it failed, or why the child was last started again


class TrainingProcess:
    """One child at a time, which says a JSON object per line, as by `run_child`.

    Its `state` is training after a round (the other keys are figures), preparing before the first
    one (the same), cancelled, failed (with `error`) or done (the other keys are the summary).
    """

    def __init__(self, grace: float = GRACE, clock: Callable[[], float] = time.monotonic):
        self.state = TrainingState()
        self._grace, self._clock = grace, clock
        self._child: subprocess.Popen | None = None
        self._command: list[str] = []
        self._fruitless = 0                     # restarts since the last round
        self._kill_at = 0.0                     # when the grace of a cancelled child is over
        self._said: dict = {}                   # how the child said that it ends
        self._rest, self._errors = b'', b''     # an unfinished line; the end of stderr

    @property
    def pid(self) -> int | None:
        """Process id of the child that runs, if any."""
        return self._child.pid if self._child else None

    def start(self, command: list[str]) -> None:
        """Start training; a failure to do so is in `state`, as a later one would be."""
        if self._child:
            raise ValueError('expected no training, found one')
        self._command = list(command)
        self._fruitless = 0
        self.state = TrainingState('training')
        self._spawn()

    def cancel(self) -> None:
        """Ask the child to end; `poll` kills it if it does not."""
        if self.state.phase == 'training':
            self.state = replace(self.state, phase='cancelling')
            self._kill_at = self._clock() + self._grace
            self._child.terminate()

    def poll(self) -> TrainingState:
        """Take in what happened since the last look, and return where the training stands."""
        if self._child:
            code = self._child.poll()       # first: then what it said is complete
            self._listen()
            if code is not None:
                self._release()
                self._judge(code)
            elif self.state.phase == 'cancelling' and self._clock() > self._kill_at:
                self._child.kill()
        return self.state

    def close(self) -> None:
        """End the child at once; it goes on from its last whole round when started again."""
        if self._child:
            self._child.kill()
            self._child.wait()
            self._release()

    def _spawn(self) -> None:
        self._said, self._rest, self._errors = {}, b'', b''
        try:        # a session of its own: Ctrl-C in the parent's terminal is not for the child
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, bufsize=0, start_new_session=True)
        except OSError as error:
            self.state = replace(self.state, phase='failed', reason=f'cannot start: {error}')
            return
        for stream in (self._child.stdout, self._child.stderr):
            os.set_blocking(stream.fileno(), False)

    def _listen(self) -> None:
        *lines, rest = (self._rest + _available(self._child.stdout)).split(b'\n')
        self._rest = rest[-MAX_LINE:]
        self._errors = (self._errors + _available(self._child.stderr))[-TAIL:]
        for line in lines:
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        """Take one line; pass over what is not ours, such as a print in the user's reward."""
        try:
            said = json.loads(line)
            state = said.pop('state')
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        if state in ('preparing', 'training'):
            if state == 'training':     # else it could die in its first round for ever
                self._fruitless = 0
            self.state = replace(self.state, progress=said)
        else:
            self._said = {'state': state, **said}

    def _judge(self, code: int) -> None:
        """Decide what a child's end means."""
        said = self._said.get('state')
        if said == 'done' and code == 0:
            summary = {key: value for key, value in self._said.items() if key != 'state'}
            self.state = replace(self.state, phase='done', progress=summary)
        elif self.state.phase == 'cancelling':
            self.state = replace(self.state, phase='cancelled', reason='')
        elif said == 'failed':
            self._fail(str(self._said.get('error')))
        elif code < 0 or said == 'cancelled':
            self._again(_cause(code))
        else:
            self._fail(f'exit code {code}: {self._last_words()}')

    def _again(self, cause: str) -> None:
        if self._fruitless >= RESTARTS:
            self._fail(f'{cause}, {RESTARTS + 1} times without a new round between; '
                       f'last words: {self._last_words()}')
            return
        self._fruitless += 1
        self.state = replace(self.state, restarts=self.state.restarts + 1, reason=cause)
        self._spawn()

    def _fail(self, reason: str) -> None:
        self.state = replace(self.state, phase='failed', reason=reason)

    def _last_words(self) -> str:
        lines = self._errors.decode(errors='replace').split('\n')
        return next((line.strip() for line in reversed(lines) if line.strip()), 'none')

    def _release(self) -> None:
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            stream.close()
        self._child = None


def run_child(train: Callable[[Callable[..., None], Callable[[], bool]], dict | None],
              with_parent: bool) -> int:
    """Train in this process and tell its parent in JSON lines; return the exit code.

    train         called with say(state, **figures) and cancelled(); returns the summary, or None
                  where it was cancelled
    with_parent   end when standard input ends, and let other processes go first
    """
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    if with_parent:
        end_with_parent()

    def say(state: str, **figures) -> None:
        print(json.dumps({'state': state, **figures}), flush=True)

    try:
        summary = train(say, lambda: bool(stopped))
    except (UserError, OSError) as error:
        say('failed', error=str(error))
        return EXIT_BAD_INPUT
    if summary is None:
        say('cancelled')
    else:
        say('done', **summary)
    return 0


def end_with_parent() -> None:
    """Make this process, the child, modest, and end it at once when its parent is gone.

    Its stdin ends with the parent, however that died; nobody else would end it.
    """
    lower_priority()            # the twin and the robot go first

    def watch():
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        os._exit(1)

    threading.Thread(target=watch, name='parent', daemon=True).start()


def _available(stream) -> bytes:
    """Return what a pipe holds now, bounded."""
    data = b''
    with contextlib.suppress(BlockingIOError):
        while len(data) < MAX_READ and (piece := os.read(stream.fileno(), MAX_LINE)):
            data += piece
    return data


def _cause(code: int) -> str:
    if code >= 0:
        return 'the training process was told to end'
    number = -code
    name = signal.Signals(number).name if number in set(signal.Signals) else f'signal {number}'
    hint = ' (by hand, or the system ran out of memory)' if number == signal.SIGKILL else ''
    return f'the training process was killed by {name}{hint}'
