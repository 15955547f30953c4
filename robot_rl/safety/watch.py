"""The watch over a process that commands the robot: silence of its heartbeat is a stop.

Pure: the caller brings a monotonic time, in ns. A heartbeat is a counter; 0 is the last one of an
orderly stop, after which nothing is due any more.
"""

from __future__ import annotations

SILENT = 'heartbeat_silent'


class Watch:
    """Armed while heartbeats are due and something was commanded; a stop latches until `clear`.

    Without a command there is nothing to stop: a server that idles may be killed.
    """

    def __init__(self, timeout: int):
        self._timeout = timeout         # ns
        self._heard = 0                 # ns, the last heartbeat
        self._due = False               # another one must follow it
        self._commanded = False         # since the last orderly stop or `clear`
        self._looked = 0                # ns, the last look or heartbeat
        self._doubt = False             # the last look found silence, but came late itself
        self.beats = 0
        self.stops = 0
        self.stopped = ''               # latched reason

    @property
    def armed(self) -> bool:
        """Whether silence would be a stop."""
        return self._due and self._commanded and not self.stopped

    def beat(self, counter: int, now: int) -> None:
        """Take a heartbeat."""
        self._heard = self._looked = now
        self._due, self._doubt = counter > 0, False
        self._commanded = self._commanded and self._due
        self.beats += 1

    def command(self) -> None:
        """Note that something was commanded."""
        self._commanded = True

    def silence(self, now: int) -> int:
        """Return the ns since the last heartbeat, 0 where none is due."""
        return now - self._heard if self._due else 0

    def silent(self, now: int) -> bool:
        """Tell whether a heartbeat is overdue."""
        return self.silence(now) > self._timeout

    def look(self, now: int) -> bool:
        """Tell whether to stop: once, at the beginning of a stop.

        A look that comes late itself needs a second one: where this process was held up, the
        heartbeats of that time may still wait in its queue.
        """
        late = now - self._looked > self._timeout // 2
        self._looked = now
        if not (self.armed and self.silent(now)):
            return False
        if late and not self._doubt:
            self._doubt = True
            return False
        self.stopped = SILENT
        self.stops += 1
        return True

    def clear(self, now: int) -> str:
        """End a stop; return why not, '' where it is done."""
        if not self.stopped:
            return 'was not stopped'
        if self.silent(now):
            return (f'{self.stopped}: for {self.silence(now) * 1e-9:.1f} s; start again what is '
                    'silent')
        self.stopped, self._commanded = '', False
        return ''
