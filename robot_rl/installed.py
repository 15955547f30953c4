"""Import what a file names: installed modules, and those of folders that the user allowed.

`python -m` puts the working directory on sys.path, so a contract could run any file that lies
there, or beside it. What the program itself has already imported is not looked for again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
import importlib
from importlib.machinery import ModuleSpec, PathFinder
import importlib.util
import os
from pathlib import Path
import site
import sys
import sysconfig
from types import ModuleType

VARIABLE = 'ROBOT_RL_FUNCTIONS'     # folders, as in PATH, whose modules a contract may name


class NotInstalled(Exception):
    """A module that only a refused folder has."""

    def __init__(self, name: str, folder: str):
        self.folder = folder
        super().__init__(f'{name} in {folder}, which is no installed package')


def import_installed(name: str, beside: Path) -> ModuleType:
    """Return a module, for a file of the folder `beside`.

    Raises NotInstalled, or whatever importing raises.
    """
    try:
        with _trusted_path(beside):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition('.')[0]
        spec = PathFinder.find_spec(missing, sorted(_refused(beside)))
        if spec is None:
            raise
        raise NotInstalled(missing, _folder_of(spec)) from None


def find_installed(name: str, beside: Path) -> ModuleSpec | None:
    """Return where a module is, None where it is nowhere, for a file of the folder `beside`."""
    try:
        with _trusted_path(beside):
            return importlib.util.find_spec(name)
    except (ImportError, ValueError):       # a parent is missing, or it is no module's name
        return None


@contextmanager
def _trusted_path(beside: Path) -> Iterator[None]:
    """Search nowhere else, also for what the modules import in turn."""
    before = list(sys.path)
    # Last, so that none of their names hides that of a library; to stay, for child processes.
    before += [folder for folder in _allowed() if folder not in before]
    refused = _refused(beside)
    trusted = [entry for entry in before if _real(entry) not in refused]
    sys.path[:] = trusted
    importlib.invalidate_caches()           # a module may have been written a moment ago
    try:
        yield
    finally:
        sys.path[:] = before + [entry for entry in sys.path if entry not in trusted]


def _refused(beside: Path) -> set[str]:
    return {_real(''), _real(beside)} - set(_allowed()) - _installed()


def _allowed() -> list[str]:
    return [_real(folder) for folder in os.environ.get(VARIABLE, '').split(os.pathsep) if folder]


@cache
def _installed() -> set[str]:
    """Return where packages are installed to, and the folders of editable ones."""
    folders = {*sysconfig.get_paths().values(), *site.getsitepackages(),
               site.getusersitepackages()}
    links = [line.strip() for folder in folders for file in Path(folder).glob('*.pth')
             for line in file.read_text(errors='replace').splitlines()]
    return {_real(folder) for folder in folders} | {_real(link) for link in links
                                                    if os.path.isabs(link)}


def _folder_of(spec: ModuleSpec) -> str:
    """Return the folder of a search path in which a module of no package was found."""
    places = list(spec.submodule_search_locations or ()) or [spec.origin]
    return os.path.dirname(places[0])


def _real(folder: str | Path) -> str:
    """Return the folder without links; '' is the working directory, as in sys.path."""
    return os.path.realpath(folder or os.curdir)
