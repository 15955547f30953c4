"""What each node can be told: a frozen dataclass per node, whose fields are its parameters.

The docstring of a class says what its node does, in one line. Nothing here imports ROS, torch or
MuJoCo, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import field, fields
from importlib import import_module
from pkgutil import iter_modules


def parameter(default, description: str, *, low=None, high=None, choices=(), live=False):
    """Return a dataclass field that is a node parameter; `live` may change while running."""
    return field(default=default, metadata={'description': description, 'low': low, 'high': high,
                                            'choices': tuple(choices), 'live': live})


def limit(default: float, description: str):
    """Return a parameter that is a limit of the node's diagnostics (vitals/limits.py)."""
    return parameter(default, f'{description}; 0: never', low=0.0, live=True)


def settings_of(node: str) -> type:
    """Return the settings of a node."""
    return import_module(f'{__name__}.{node}').Settings


def every_parameter() -> set[str]:
    """Return the names of the parameters of all nodes."""
    return {item.name for module in iter_modules(__path__)
            for item in fields(settings_of(module.name))}
