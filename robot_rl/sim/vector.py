"""Many worlds of one contract, stepped together in C++ threads by `mujoco.rollout`.

Each world is a Twin: same model, gap, start states, latency and limits. What differs is only how
its numbers travel. A rollout takes and returns physics states and sensordata, so the contract's
selections are sensors (columns.py), and every call runs one physics step more than the control
period: its sensordata belongs to the state in which the period ends, its own state is dropped.

A rollout does not return the solver's warm start, so every control period starts cold, here and
in the twin.
"""

from __future__ import annotations

from collections.abc import Sequence
import copy

import mujoco
from mujoco.rollout import Rollout
import numpy as np
from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.sim.columns import compile_columns
from robot_rl.sim.gap import Gap
from robot_rl.sim.twin import Twin

STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
INPUT = int(mujoco.mjtState.mjSTATE_CTRL)
MOCAP_INPUT = INPUT | int(mujoco.mjtState.mjSTATE_MOCAP_POS | mujoco.mjtState.mjSTATE_MOCAP_QUAT)
TIME, QPOS = 0, 1           # where they lie in a full physics state
NOISE_BLOCK = 64            # control steps whose noise is drawn at once
LEAST_TASK = 16             # worlds; smaller tasks and the threads wait for the pool's lock


class VectorTwin:
    """N worlds; each is deterministic in (seed, its index, its number of resets, its actions).

    World i starts where `Twin(contract, gap, seed=(seed, i))` does. Observation noise has the
    same distribution as a Twin's, in other draws.
    """

    def __init__(self, contract: Contract, worlds: int, gaps: Sequence[Gap] = (Gap(),),
                 seed: int = 0, threads: int = 1):
        """Load the model, change it by one gap for all worlds or one gap per world, and reset.

        Raises InvalidFile as Twin does, and for sources that only a Twin can read; UserError for
        counts that do not fit.
        """
        if worlds < 1 or threads < 1 or len(gaps) not in (1, worlds):
            raise UserError(f'vector twin: expected at least one world, at least one thread and '
                            f'1 or {worlds} gaps, found worlds {worlds}, threads {threads}, '
                            f'{len(gaps)} gaps')
        self.contract, self.worlds, self.seed, self.threads = contract, worlds, seed, threads
        self.gaps = tuple(gaps) * (worlds // len(gaps))
        self.period_ns = _common_period(contract, self.gaps)    # makes Twins: checks every name
        base, self._columns = compile_columns(contract)
        models = {gap: _with_gap(base, gap) for gap in dict.fromkeys(self.gaps)}
        self._models = [models[gap] for gap in self.gaps]
        self._data = [mujoco.MjData(base) for _ in range(threads)]
        self._caller = Rollout(nthread=0)       # resets are short: no thread is woken for them
        self._pool = Rollout(nthread=threads) if threads > 1 else self._caller
        tasks = threads * max(worlds // (threads * LEAST_TASK), 1)
        self._task = -(-worlds // tasks)        # worlds
        self.steps = round(self.period_ns * 1e-9 / base.opt.timestep)   # physics per control step
        self._timestep = base.opt.timestep
        self._bind(base)
        self.resets = np.zeros(worlds, int)
        self.diverged = np.zeros(worlds, bool)      # since the last reset: the world stands still
        self._observation = np.zeros((worlds, len(contract.layout)))
        self.reset()

    def reset(self, mask: np.ndarray | None = None) -> None:
        """Put the worlds of a mask (N,), or all, at new starts; forget commands on their way."""
        mask = np.ones(self.worlds, bool) if mask is None else np.asarray(mask, bool)
        if mask.shape != (self.worlds,):
            raise UserError(f'reset: expected a mask of {self.worlds}, found {mask.shape}')
        chosen = np.flatnonzero(mask)
        if not len(chosen):
            return
        self.state[chosen] = self._start
        draws = [np.random.default_rng((self.seed, world, self.resets[world])).random(
            len(self._start_columns)) for world in chosen]
        self.state[chosen[:, None], self._start_columns] = (
            self._start_low + self._start_spread * np.array(draws))
        for world in chosen[self._noise_scale[chosen] > 0]:
            self._noise_rngs[world] = np.random.default_rng(
                (self.gaps[world].seed, self.seed, world, self.resets[world]))
        self._history[chosen] = self._rest[0, 0, self._actuators]
        self._ticks[chosen] = 0
        self.resets[chosen] += 1
        sensordata = np.empty((len(chosen), 1, self._sensordata.shape[2]))
        after = np.empty((len(chosen), 1, self.state.shape[1]))
        self._roll(self._caller, [self._models[world] for world in chosen], self.state[chosen],
                   self._rest[:len(chosen)], after, sensordata)
        self._observation[chosen] = self._columns.read(sensordata[:, 0])
        self.diverged[chosen] = False
        self._add_noise(mask)

    def step(self, actions: np.ndarray) -> None:
        """Run one control period of every world under actions (N, m), in the contract's units.

        A world whose physics leaves the finite numbers is reported in `diverged`; until it is
        reset it is not simulated further and keeps its last observation. Raises UserError for
        actions that are not N x m finite numbers.
        """
        actions = self._checked(actions).clip(self._low, self._high)
        self._history[:, 1:] = self._history[:, :-1].copy()
        self._history[:, 0] = actions
        self._inputs[:, :, self._actuators] = self._history.reshape(-1, actions.shape[1]).take(
            self._running, axis=0)
        self._roll(self._pool, self._models, self.state, self._inputs, self._states,
                   self._sensordata)
        values = self._columns.read(self._sensordata[:, -1])
        self.diverged |= ~self._survived(values)
        self.state[:] = self._states[:, -2]
        if self.diverged.any():
            values[self.diverged] = self._observation[self.diverged]
            self.state[self.diverged] = self._start     # any finite state: its result is not used
        self._observation = values
        self._ticks += 1
        self._add_noise(~self.diverged)

    def observation(self) -> np.ndarray:
        """Return the observations (N, n) float64, a new array."""
        return self._observation.copy()

    def _bind(self, model: mujoco.MjModel) -> None:
        """Look the contract's names up and lay out what a rollout reads and writes."""
        contract, simulation, n = self.contract, self.contract.simulation, self.worlds
        names = contract.action.layout.names
        self._actuators = np.array([model.actuator(simulation.action[name]).id for name in names])
        starts = simulation.reset
        self._start_columns = np.array(
            [QPOS + int(model.joint(name).qposadr[0]) for name in starts], int)
        self._start_low, high = np.array(list(starts.values())).reshape(-1, 2).T
        self._start_spread = high - self._start_low
        limits = [_limits(contract, model, gap, self._actuators)
                  for model, gap in zip(self._models, self.gaps)]
        self._low, self._high = np.array(limits).transpose(1, 0, 2)     # (N, m) each
        data = self._data[0]
        if model.nkey:
            mujoco.mj_resetDataKeyframe(model, data, 0)
        self._input = MOCAP_INPUT if model.nmocap else INPUT
        self._start = _read(model, data, int(STATE))
        # Inputs when no command has arrived, (N, 1, i).
        self._rest = np.tile(_read(model, data, self._input), (n, 1, 1))
        self.state = np.tile(self._start, (n, 1))           # (N, k) full physics state
        self._inputs = np.tile(self._rest, (1, self.steps + 1, 1))
        self._states = np.empty((n, self.steps + 1, len(self._start)))
        self._sensordata = np.empty((n, self.steps + 1, model.nsensordata))
        # A command given at the start of a period acts `delay` physics steps later, so within a
        # period step i runs the command that is age[i] periods old; the extra step runs the last.
        delay = np.array([round(gap.latency / self._timestep) for gap in self.gaps])[:, None]
        early = np.arange(self.steps + 1) < delay % self.steps
        age = delay // self.steps + early               # (N, steps + 1)
        self._history = np.empty((n, age.max() + 1, len(names)))            # newest first
        self._running = np.arange(n)[:, None] * self._history.shape[1] + age    # rows of it
        self._ticks = np.zeros(n, int)
        self._noise_scale = np.array([gap.observation_noise for gap in self.gaps])
        self._noise_rngs: dict[int, np.random.Generator] = {}
        self._noise = np.zeros((n, NOISE_BLOCK, self._columns.noisy.sum()))

    def _roll(self, pool: Rollout, models, start, inputs, states, sensordata) -> None:
        pool.rollout(models, self._data[:max(pool.nthread, 1)], start, inputs,
                     control_spec=self._input, skip_checks=True, nstep=inputs.shape[1],
                     state=states, sensordata=sensordata, chunk_size=self._task)

    def _checked(self, actions) -> np.ndarray:
        actions = np.asarray(actions, np.float64)
        if actions.shape != self._low.shape:
            raise UserError(f'actions: expected shape {self._low.shape}, found {actions.shape}')
        if not np.isfinite(actions).all():
            world = int(np.argmin(np.isfinite(actions).all(axis=1)))
            raise UserError(f'actions: expected finite numbers, found {actions[world]} for world '
                            f'{world}')
        return actions

    def _survived(self, observation: np.ndarray) -> np.ndarray:
        """Return (N,): the clock ran to the end of the call; MuJoCo sets it back on divergence.

        A world that ran out of room for contacts stops there too, and counts as diverged.
        """
        least = self.state[:, TIME] + (self.steps + 0.5) * self._timestep
        return (self._states[:, -1, TIME] > least) & np.isfinite(observation).all(axis=1)

    def _add_noise(self, mask: np.ndarray) -> None:
        """Add to the positions of the worlds of a mask (N,) the noise of their tick."""
        if not self._noise_rngs:
            return
        chosen = np.flatnonzero(mask & (self._noise_scale > 0))
        slot = self._ticks[chosen] % NOISE_BLOCK
        for world in chosen[slot == 0]:
            self._noise[world] = self._noise_rngs[world].normal(
                0.0, self._noise_scale[world], self._noise.shape[1:])
        self._observation[np.ix_(chosen, self._columns.noisy)] += self._noise[chosen, slot]


def _common_period(contract: Contract, gaps: tuple[Gap, ...]) -> int:
    """Return the control period in ns that all gaps share, or raise UserError."""
    periods = {gap: Twin(contract, gap).period_ns for gap in dict.fromkeys(gaps)}
    if len(set(periods.values())) > 1:
        found = ', '.join(f'{gap.name} {period * 1e-9:g} s' for gap, period in periods.items())
        raise UserError(f'gaps: expected one control period in all worlds, found {found}; give '
                        'all gaps the same control_rate, or make a vector twin for each')
    return next(iter(periods.values()))


def _with_gap(model: mujoco.MjModel, gap: Gap) -> mujoco.MjModel:
    model = copy.copy(model)
    gap.apply(model)
    return model


def _limits(contract: Contract, model: mujoco.MjModel, gap: Gap,
            actuators: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (low, high) at which a world clips its actions, (m,) each, as Twin does."""
    limited = model.actuator_ctrllimited[actuators].astype(bool)
    ranges, action = model.actuator_ctrlrange[actuators], contract.action
    return (np.where(limited, ranges[:, 0], action.low * gap.action_bound),
            np.where(limited, ranges[:, 1], action.high * gap.action_bound))


def _read(model: mujoco.MjModel, data: mujoco.MjData, spec: int) -> np.ndarray:
    values = np.empty(mujoco.mj_stateSize(model, spec))
    mujoco.mj_getState(model, data, values, spec)
    return values
