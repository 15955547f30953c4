"""The task's own functions: found by name, and tried once before a robot depends on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from robot_rl.errors import InvalidFile, Problem
from robot_rl.installed import import_installed, NotInstalled, VARIABLE
from robot_rl.schema import Section, suggestion


def find_function(section: Section, key: str, file: Path):
    """Return (name, function) of a `module:function` in a mapping, with problems recorded.

    The module is one of an installed package, not of the folder of `file` nor the working one.
    """
    name = section.text(key)
    module_name, colon, attribute = name.partition(':')
    advice = 'install the package that holds it, or correct the name'
    if name and not colon:
        section.problem(key, 'module:function', name)
        return name, None
    if not name:
        return name, None
    try:
        module = import_installed(module_name, file.parent)
    except NotInstalled as error:
        section.problems.append(Problem(
            section.path(key), f'a module {module_name} of an installed package', str(error),
            f'install it, or allow its folder: {VARIABLE}={error.folder}'))
        return name, None
    except ModuleNotFoundError as error:
        section.problems.append(Problem(
            section.path(key), f'an importable module {module_name}',
            f'{type(error).__name__}: {error}',
            f'install the package that holds it, allow the folder that does: {VARIABLE}=/folder, '
            'or correct the name'))
        return name, None
    except Exception as error:  # noqa: B902, importing runs the user's code
        section.problem(key, f'an importable module {module_name}',
                        f'{type(error).__name__}: {error}', advice)
        return name, None
    function = getattr(module, attribute, None)
    if not callable(function):
        known = [one for one, value in vars(module).items() if callable(value)]
        section.problem(key, f'a function of {module_name}', attribute,
                        suggestion(attribute, known) or advice)
    return name, function


def try_functions(contract, reward_key: str) -> None:
    """Call reward and success on zeros, so that a wrong one is refused at load.

    `reward_key` is where the file names the reward. Learning calls them with a batch, an episode
    with one step.
    """
    problems: dict[str, Problem] = {}
    for shape, what in (((2,), 'a batch of 2'), ((), 'one step')):
        observation = np.zeros((*shape, len(contract.layout)))
        action = np.zeros((*shape, len(contract.action.layout)))
        calls = ((reward_key, contract.reward_name, contract.judge,
                  (observation, action, observation, np.zeros(shape))),
                 ('success', contract.success_name, contract.is_success, (observation,)))
        for key, name, function, arguments in calls:
            try:
                results = function(*arguments)
            except Exception as error:  # noqa: B902, user code may raise anything
                problem = Problem(key, f'{name} to accept {what} of this contract',
                                  f'{type(error).__name__}: {error}')
                problems.setdefault(key, problem)
                continue
            shapes = [result.shape for result in results] if key == reward_key else [
                results.shape]
            if any(found != shape for found in shapes):
                problems.setdefault(key, Problem(key, f'results of shape {shape} for {what}',
                                                 f'{name} gives {shapes}'))
    if problems:
        raise InvalidFile(contract.file, list(problems.values()))


def try_demonstrator(contract) -> None:
    """Let the scripted person, where there is one, act once on zeros."""
    simulation = contract.simulation
    if not simulation or not simulation.demonstrator:
        return
    size = len(contract.action.layout)

    def act():
        person = simulation.demonstrator(np.random.default_rng(0))
        return person(contract.layout.view(np.zeros(len(contract.layout))))

    _try(contract, 'simulation.demonstrator', simulation.demonstrator_name, act, (size,))


def try_display(contract) -> None:
    """Ask once where some actions lead, where the contract names a path for them."""
    if contract.display and contract.display.path:
        actions = np.zeros((3, 2, len(contract.action.layout)))
        _try(contract, 'display.path', contract.display.path_name,
             lambda: contract.path(np.zeros(len(contract.layout)), actions), (3, 2, 3))


def _try(contract, key: str, name: str, call, shape: tuple[int, ...]) -> None:
    """Raise InvalidFile unless the call gives numbers of that shape."""
    try:
        found = np.asarray(call(), np.float64).shape
    except Exception as error:  # noqa: B902, user code may raise anything
        raise InvalidFile(contract.file, [Problem(key, f'{name} to accept zeros', (
            f'{type(error).__name__}: {error}'))]) from None
    if found != shape:
        raise InvalidFile(contract.file, [Problem(key, f'numbers of shape {shape}',
                                                  f'{name} gives {found}')])
