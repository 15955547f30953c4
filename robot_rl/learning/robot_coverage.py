"""What the robot has covered beside what the simulator promised, and when to say so.

The simulator's certificate comes with the explorers. The robot is measured on the same features
and cells, episode by episode: the explorers' episodes alone, to be held against the certificate,
and all episodes, which is what there is to learn from.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

import numpy as np
from robot_rl.contract import Contract
from robot_rl.learning.coverage import Coverage, feature_names
from robot_rl.learning.table import Table

EPISODES = 10           # of explorers on the robot before anything is compared
LEAST_VARIANCE = 0.1    # share of the simulator's lambda_min below which the robot's is too small
LEAST_CELLS = 0.5       # share of the simulator's cells, from as many observations on
ADVICE = ('check that the observations have the same units and frames as in the simulator; then '
          'train explorers with domain randomisation over the suspected gap, or more of them')


@dataclass(frozen=True)
class Comparison:
    """The certificates, and what they say together.

    The robot falls far below the simulator where, after EPISODES episodes of explorers,
    * its lambda_min is less than LEAST_VARIANCE of the simulator's: some direction of the
      features does not move. lambda_min is a mean, so it can be compared at any count;
    * or its cells are fewer than LEAST_CELLS of the simulator's although it has made at least as
      many observations: they pile up in few places, as those in other units or frames do. Cells
      only grow with the count, so before that they are not compared, and after it mildly.

    On puck_push, with three sets of explorers, 1800 draws of 10 episodes in worlds without a gap
    or with `mild` had at least 0.12 of lambda_min, and 0.84 of the cells at equal count: no false
    alarm. An arm that does a fifth of what it is told had 0.33 to 0.51 of the default set's cells.
    """

    simulator: Coverage
    explorers: Coverage     # the robot's, episodes of explorers
    robot: Coverage         # the robot's, all episodes
    episodes: int           # of explorers

    @property
    def warning(self) -> str:
        """What is wrong and what to do about it, or nothing."""
        promised, found = self.simulator, self.explorers
        if self.episodes < EPISODES:
            return ''
        reasons = []
        if found.lambda_min < LEAST_VARIANCE * promised.lambda_min:
            reasons.append(f'lambda_min {found.lambda_min:.3g} of {promised.lambda_min:.3g}')
        if found.count >= promised.count and (
                len(found.cells) < LEAST_CELLS * len(promised.cells)):
            reasons.append(f'cells {len(found.cells)} of {len(promised.cells)}')
        return (f'explorers cover far less on the robot than in the simulator '
                f'({", ".join(reasons)}): {ADVICE}') if reasons else ''

    def summary(self) -> dict:
        """Return plain numbers by whose they are."""
        return {'simulator': self.simulator.summary(),
                'robot': {'explorers': self.explorers.summary(), 'all': self.robot.summary(),
                          'explorer_episodes': self.episodes}}

    def figures(self) -> dict[str, float]:
        """Return the same as one flat mapping, for a status."""
        parts = {'simulator': self.simulator, 'explorers': self.explorers, 'robot': self.robot}
        return {f'coverage_{whose}_{name}': value for whose, coverage in parts.items()
                for name, value in coverage.summary().items()}


class RobotCoverage:
    """Collects episodes, also before there is a certificate to hold them against.

    Of each episode the features are kept, d float32 per transition: less than the replay holds.
    They lie in one table: an array per episode, alive for ever, would keep malloc from reusing
    what is freed between them, some 30 MB in half an hour at 50 Hz.
    """

    def __init__(self, contract: Contract):
        names = feature_names(contract)
        self._columns = np.array([contract.layout.slots[name] for name in names])
        self._width = len(contract.layout)
        self._table = Table(len(names))
        self._explored = bytearray()                # of each episode, whether an explorer acted
        self._ends = array('q')                     # and its end in the table
        self._now: Comparison | None = None

    def add(self, next_observation: np.ndarray, explored: bool) -> None:
        """Add an episode's observations (k, n); `explored` tells that an explorer acted."""
        found = next_observation[:, self._columns]
        self._table.append(found)
        self._explored.append(explored)
        self._ends.append(len(self._table))
        if self._now:
            self._now = self._with(self._now, explored, found)

    def certify(self, simulator: Coverage) -> None:
        """Take the simulator's certificate, the first or another, and count anew on its grid."""
        nothing = Coverage.empty(simulator.features)
        now = Comparison(simulator, nothing, nothing, 0)
        begin = 0
        for explored, end in zip(self._explored, self._ends):
            now = self._with(now, bool(explored), self._table.rows[begin:end])
            begin = end
        self._now = now

    @property
    def comparison(self) -> Comparison | None:
        """How robot and simulator compare now; None while there is no certificate."""
        return self._now

    def _with(self, now: Comparison, explored: bool, found: np.ndarray) -> Comparison:
        rows = np.zeros((len(found), self._width))      # a FeatureMap reads whole observations
        rows[:, self._columns] = found
        now = replace(now, robot=now.robot.add(rows))
        if not explored:
            return now
        return replace(now, explorers=now.explorers.add(rows), episodes=now.episodes + 1)
