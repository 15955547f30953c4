"""An update rule whose step is a compiled graph: the same equations, more of them a second.

torch.compile (PyTorch 2, Ansel et al. 2024) turns a step, its gradients included, into a few C++
loops and the matrix products between them: one graph with the actor's update and one without. The
first of each takes half a minute of one processor, and seconds where the compiler's cache knows
it. Numbers differ from the eager ones by rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
import os
from pathlib import Path
from types import FunctionType

from robot_rl.learning.sac import Sac
import torch

CACHE = 'TORCHINDUCTOR_CACHE_DIR'       # torch's default is a folder in /tmp that anyone may make


def compiled(rule: Sac, on_failure: Callable[[str], None]) -> Sac:
    """Return the rule with its step compiled when it is first taken.

    One that cannot be, as without a C++ compiler, tells `on_failure` why, once, and goes on as it
    was.
    """
    fast = copy(rule)
    fast.step = _Step(rule.step, on_failure)
    return fast


class _Step:
    """A step that is compiled while that works."""

    def __init__(self, eager: Callable, on_failure: Callable[[str], None]):
        self._eager, self._on_failure = eager, on_failure
        self._fast: Callable | None = None

    def __call__(self, *arguments):
        if self._fast is self._eager:
            return self._eager(*arguments)
        try:
            if self._fast is None:
                self._fast = _compile(self._eager)
            return self._fast(*arguments)
        except Exception as error:  # noqa: B902, what a compiler raises is not told
            self._fast = self._eager
            self._on_failure(f'not compiled, it goes on slower: {_first_line(error)}')
            return self._eager(*arguments)


def _compile(step: Callable) -> Callable:
    """Return the step as one graph; raises what torch raises where it has no way to it."""
    folder = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    os.environ.setdefault(CACHE, str(folder / 'robot_rl' / 'compiled'))
    import torch._dynamo.config as tracing      # on use: the compiler takes seconds to import
    import torch._inductor.config as compiling

    tracing.trace_autograd_ops = True           # the gradient belongs to the step
    compiling.compile_threads = 1               # no worker processes beside the node
    compiling.cpp_cache_precompile_headers = _keep_headers(Path(os.environ[CACHE]) / 'headers')
    return torch.compile(_of_its_own(step), fullgraph=True, dynamic=False)


def _keep_headers(folder: Path) -> bool:
    """Have torch keep precompiled headers in the folder; tell whether it has a way to.

    Whatever CACHE says, it keeps them in its default; who may write there has code run by us.
    """
    import torch._inductor.codecache as cache

    if not hasattr(cache, '_HEADER_DIR') or not hasattr(cache, '_HEADER_LOCK_DIR'):
        return False                            # it compiles three times as long
    cache._HEADER_DIR, cache._HEADER_LOCK_DIR = str(folder), str(folder / 'locks')
    return True


def _of_its_own(step: Callable) -> Callable:
    """Return the same function with code that no other has.

    torch compiles a method anew for each object, and gives up after eight times for the same
    code: the fifth learner of a process would be eager.
    """
    def own(*arguments):
        return step(*arguments)

    return FunctionType(own.__code__.replace(), own.__globals__, own.__name__,
                        closure=own.__closure__)


def _first_line(error: Exception) -> str:
    return f'{type(error).__name__}: {(str(error).splitlines() or [""])[0]}'
