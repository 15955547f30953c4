"""The benchmarks as modules: they are scripts beside the package, not in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
import sys

FOLDER = Path(__file__).parents[1] / 'benchmarks'


def load(name: str):
    """Return benchmarks/<name>.py as a module that is known under a name of its own."""
    spec = importlib.util.spec_from_file_location(f'benchmark_{name}', FOLDER / f'{name}.py')
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
