"""Which steps a session holds already: a stream that keeps its last ones brings them again.

The policy server keeps its last steps for those who join late. So a recorder that was killed, or
was cut off, gets what it missed, and with it what it has; this tells the two apart. A step is
known by the instant at which it was published, which stands in its bag.
"""

from __future__ import annotations

from pathlib import Path
import time

from robot_rl.data.bag import DISCARDED, find_bags, read_bag
from robot_rl.errors import UserError

KEPT = 1000             # steps that the stream keeps (STEPS in robot_rl.ros.qos)
MOST = 2 * KEPT         # to remember
JOINING = 5.0           # s, in which a recorder that starts gets what was kept


class KnownSteps:
    """The newest steps of a session's folder; times in ns.

    What was published before the session began belongs to another one. Only a recorder that
    starts can meet such steps, before any of its own session's, so the rule ends there: it does
    not trust the clock any further.
    """

    def __init__(self, root: Path, steps_topic: str, session_began: int):
        self._discarded: dict[int, bool] = {}       # when published -> in a discarded episode
        self._read(root, steps_topic)
        self._before = session_began
        self._joined_by = time.monotonic() + JOINING

    def __contains__(self, published: int) -> bool:
        return published in self._discarded or (
            0 < published < self._before and time.monotonic() < self._joined_by)

    def add(self, published: int, discarded: bool = False) -> None:
        """Remember a step that came, and whether a person discarded its episode."""
        self._before = 0
        self._remember(published, discarded)

    def discarded(self, published: int) -> bool:
        """Tell whether a step belongs to an episode that was discarded."""
        return self._discarded.get(published, False)

    def _read(self, root: Path, steps_topic: str) -> None:
        """Read back as many steps as the stream keeps."""
        bags = [(bag, folder != root) for folder in (root, root / DISCARDED) if folder.is_dir()
                for bag in find_bags(folder)]
        found: list[tuple[int, bool]] = []
        for bag, discarded in sorted(bags, key=lambda pair: pair[0].name, reverse=True):
            if len(found) >= KEPT:
                break
            try:
                found += [(message.publish_time, discarded)
                          for message in read_bag(bag, [steps_topic])]
            except (OSError, UserError):    # of which the session tells; what it holds comes anew
                continue
        for published, discarded in found[:MOST]:
            self._remember(published, discarded)

    def _remember(self, published: int, discarded: bool) -> None:
        if published > 0:       # else the middleware does not tell when
            self._discarded[published] = discarded
        if len(self._discarded) > MOST:
            del self._discarded[next(iter(self._discarded))]
