"""The order of numbers in a vector, and reading them by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Names and units of the numbers in a vector, in order."""

    names: tuple[str, ...]
    units: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def slots(self) -> dict[str, int | slice]:
        """Where each name lies, and each dotted prefix that names a run of numbers."""
        slots: dict[str, int | slice] = {}
        for index, name in enumerate(self.names):
            slots[name] = index
            parts = name.split('.')
            for depth in range(1, len(parts)):
                prefix = '.'.join(parts[:depth])
                start = slots[prefix].start if prefix in slots else index
                slots[prefix] = slice(start, index + 1)
        return slots

    def view(self, values: np.ndarray) -> View:
        """Wrap an array of shape (..., len(self)) for reading by name."""
        return View(self, np.asarray(values))


@dataclass(frozen=True)
class View:
    """`view['puck.pose.position.x']` has shape (...), `view['puck']` has shape (..., n)."""

    layout: Layout
    values: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        slot = self.layout.slots.get(name)
        if slot is None:
            raise KeyError(f'{name!r} is not in this vector: {", ".join(self.layout.names)}')
        return self.values[..., slot]
