"""Transitions in memory, and batches drawn from several sources at fixed shares."""

from __future__ import annotations

import numpy as np
from robot_rl.data.transitions import Transitions
from robot_rl.learning.table import Table
import torch
from torch import Tensor


class Replay:
    """One source: transitions as rows of one growing float32 table, oldest first.

    A row is (observation n, action m, reward 1, next observation n, terminated 1), so a batch is
    one gather. The bags hold the experience; this is a copy to sample from.
    """

    def __init__(self, observation_size: int, action_size: int):
        self.sizes = (observation_size, action_size, 1, observation_size, 1)
        self._table = Table(sum(self.sizes))

    def __len__(self) -> int:
        return len(self._table)

    @property
    def rows(self) -> Tensor:
        """The filled part of the table, (count, row size)."""
        return torch.from_numpy(self._table.rows)

    def add(self, transitions: Transitions) -> None:
        """Append transitions in order."""
        self._table.append(np.concatenate((
            transitions.observation, transitions.action, transitions.reward[:, None],
            transitions.next_observation, transitions.terminated[:, None]), axis=1))


def shares(weights: dict[str, float], sources: dict[str, Replay], batch: int) -> dict[str, int]:
    """Split a batch among the sources that hold anything, in proportion to their weights.

    Symmetric sampling (RLPD): two sources of equal weight give half of every batch each, however
    much either holds.
    """
    filled = {name: weights[name] for name, source in sources.items()
              if len(source) and weights[name] > 0.0}
    total = sum(filled.values())
    counts = {name: int(batch * weight / total) for name, weight in filled.items()}
    if counts:
        counts[max(filled, key=filled.get)] += batch - sum(counts.values())
    return counts


def draw(sources: dict[str, Replay], counts: dict[str, int],
         generator: torch.Generator) -> tuple[Tensor, ...]:
    """Return (observation, action, reward, next observation, terminated) of a mixed batch."""
    parts = []
    for name, count in counts.items():
        rows = sources[name].rows
        parts.append(rows[torch.randint(len(rows), (count,), generator=generator)])
    table = parts[0] if len(parts) == 1 else torch.cat(parts)
    sizes = next(iter(sources.values())).sizes
    return table.split(sizes, dim=1)
