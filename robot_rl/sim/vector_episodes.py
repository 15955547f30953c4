"""Episodes in many worlds at once: the rules of an episode on the robot, for training.

As in rollout.py, actions pass the gate's limits, and success, the reward's `terminated` and the
horizon end an episode, in that order. A world that diverges ends its episode without a transition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.safety.gate import Gate
from robot_rl.sim.vector import VectorTwin


@dataclass(frozen=True)
class StepResult:
    """One control step of N worlds; a row means nothing where its world was not `valid`."""

    observation: np.ndarray         # (N, n) acted on
    action: np.ndarray              # (N, m) executed: the requested one within the gate's limits
    reward: np.ndarray              # (N,)
    next_observation: np.ndarray    # (N, n) reached, before any reset
    terminated: np.ndarray          # (N,) bool, the task ended: no value beyond
    truncated: np.ndarray           # (N,) bool, the horizon: bootstrap from next_observation
    success: np.ndarray             # (N,) bool
    valid: np.ndarray               # (N,) bool, false where the world diverged

    @property
    def done(self) -> np.ndarray:
        """Which worlds (N,) ended their episode."""
        return self.terminated | self.truncated | ~self.valid


@dataclass(frozen=True)
class Experience:
    """k transitions, world by world, each world's in the order in which they happened."""

    observation: np.ndarray         # (k, n)
    action: np.ndarray              # (k, m), executed, in the contract's units
    reward: np.ndarray              # (k,)
    next_observation: np.ndarray    # (k, n)
    terminated: np.ndarray          # (k,) bool, no bootstrap
    truncated: np.ndarray           # (k,) bool, the horizon, a divergence, or the last one here
    success: np.ndarray             # (k,) bool
    world: np.ndarray               # (k,) int

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def end(self) -> np.ndarray:
        """Which transitions (k,) have no successor here."""
        return self.terminated | self.truncated


class VectorEpisodes:
    """Runs back-to-back episodes; `step` is one step of a training loop.

    With `auto_reset` a world that is done starts anew at once, and `observation` is that of its
    new start; without, it must be reset before the next step.
    """

    def __init__(self, twin: VectorTwin, auto_reset: bool = True):
        """Start an episode in every world; raise InvalidFile for a task that is no function."""
        twin.contract.check_functions()
        self.twin, self.contract, self.auto_reset = twin, twin.contract, auto_reset
        self._gate = Gate(twin.contract)
        self._executed = np.zeros((twin.worlds, len(twin.contract.action.layout)))
        self._steps = np.zeros(twin.worlds, int)
        self._over = np.zeros(twin.worlds, bool)
        self.reset()

    def reset(self, mask: np.ndarray | None = None) -> None:
        """Start an episode in the worlds of a mask (N,), or in all."""
        self.twin.reset(mask)
        chosen = slice(None) if mask is None else mask
        self._executed[chosen] = 0.0
        self._steps[chosen] = 0
        self._over[chosen] = False
        self.observation = self.twin.observation()      # (N, n), what the next action is for

    def step(self, requested: np.ndarray) -> StepResult:
        """Run one control step under the requested actions (N, m).

        Raises UserError for actions that are not N x m finite numbers, for a reward that fails,
        and for a world that is over and was not reset.
        """
        if not self.auto_reset and self._over.any():
            raise UserError(f'world {int(np.argmax(self._over))}: its episode is over, reset it')
        action, observation = self._limited(requested), self.observation
        self.twin.step(action)
        self._executed = action.copy()      # a reset sets rows of it to rest
        self._steps += 1
        following, valid = self.twin.observation(), ~self.twin.diverged
        reward, terminated, success = _judge(self.contract, observation, action, following, valid)
        truncated = valid & ~terminated & (self._steps >= self.contract.episode.horizon)
        result = StepResult(observation, action, reward, following, terminated, truncated,
                            success, valid)
        self.observation = following
        done = result.done
        if done.any():
            if self.auto_reset:
                self.reset(done)
            else:
                self._over = done
        return result

    def _limited(self, requested) -> np.ndarray:
        """Return what the gate lets through of finite requests."""
        requested = np.asarray(requested, np.float64)
        if requested.shape != self._executed.shape or not np.isfinite(requested).all():
            raise UserError(f'actions: expected finite numbers of shape {self._executed.shape}, '
                            f'found shape {requested.shape}, '
                            f'{int((~np.isfinite(requested)).sum())} of them not finite')
        return self._gate.limit(requested, self._executed)


def collect(episodes: VectorEpisodes, act: Callable[[np.ndarray], np.ndarray],
            steps: int) -> Experience:
    """Run `act`, observations (N, n) -> actions (N, m), for that many steps in every world.

    Goes on where the episodes stand and leaves them there, so a second call continues. At most
    N * steps transitions come back; what a diverged world did last is left out.
    """
    if not episodes.auto_reset:
        raise UserError('collect: expected episodes with auto_reset, found them without')
    results = []
    for _ in range(steps):
        results.append(episodes.step(act(episodes.observation)))
    return gather(results)


def gather(results: list[StepResult]) -> Experience:
    """Return consecutive step results as one Experience, world by world."""
    if not results:
        raise UserError('experience: expected at least one step, found none')
    columns = {name: np.array([getattr(result, name) for result in results]).swapaxes(0, 1)
               for name in StepResult.__dataclass_fields__}     # (N, steps, ...)
    valid = columns.pop('valid')
    last = np.zeros_like(valid)             # no successor: a divergence comes next, or nothing
    last[:, :-1] = ~valid[:, 1:]
    last[:, -1] = True
    columns['truncated'] = (columns['truncated'] | last) & ~columns['terminated']
    columns['world'] = np.broadcast_to(np.arange(len(valid))[:, None], valid.shape)
    return Experience(**{name: column[valid] for name, column in columns.items()})


def _judge(contract: Contract, observation, action, following, valid):
    """Return (reward, terminated, success), (N,) each; raise UserError where the task fails."""
    try:
        reward, terminated = contract.judge(observation, action, following)
        success = contract.is_success(following)
    except Exception as error:  # noqa: B902, user code may raise anything
        raise UserError(f'{contract.reward_name}: {type(error).__name__}: {error}') from error
    if not (np.isfinite(reward) | ~valid).all():
        raise UserError(f'{contract.reward_name}: expected finite rewards, found '
                        f'{reward[valid][~np.isfinite(reward[valid])][0]}')
    success = success & valid
    return reward, (terminated & valid) | success, success
