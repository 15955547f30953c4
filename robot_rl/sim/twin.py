"""The twin: a MuJoCo world that speaks the contract's names, one control period at a time.

One thread owns a twin. It is driven by sim_bridge as a robot, and by training and tests directly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from types import SimpleNamespace

import mujoco
import numpy as np
from robot_rl.contract import Contract
from robot_rl.errors import InvalidFile, Problem, UserError
from robot_rl.fields import BadMessage
from robot_rl.schema import Section
from robot_rl.sim.gap import Gap
from robot_rl.sim.sources import compile_source, Scene

WORLD_FRAME = 'world'
DIVERGED = {mujoco.mjtWarning.mjWARN_BADQPOS: 'position',
            mujoco.mjtWarning.mjWARN_BADQVEL: 'velocity',
            mujoco.mjtWarning.mjWARN_BADQACC: 'acceleration'}
SHAPES = {mujoco.mjtGeom.mjGEOM_PLANE: 'plane', mujoco.mjtGeom.mjGEOM_SPHERE: 'sphere',
          mujoco.mjtGeom.mjGEOM_CAPSULE: 'capsule', mujoco.mjtGeom.mjGEOM_ELLIPSOID: 'ellipsoid',
          mujoco.mjtGeom.mjGEOM_CYLINDER: 'cylinder', mujoco.mjtGeom.mjGEOM_BOX: 'box'}
HIDDEN_GROUP = 3        # MuJoCo viewers hide geoms of this group and above

# Without this MuJoCo writes MUJOCO_LOG.TXT into the working directory; Diverged says the same.
mujoco.set_mju_user_warning(lambda text: None)


class Diverged(Exception):
    """The physics left the finite numbers; the twin can be reset and used again."""


@dataclass(frozen=True)
class Geom:
    """A visible primitive, in world coordinates."""

    name: str
    type: str               # plane, sphere, capsule, ellipsoid, cylinder, box
    size: np.ndarray        # (3,) MuJoCo half sizes, m
    pos: np.ndarray         # (3,) m
    quat: np.ndarray        # (4,) x, y, z, w
    rgba: np.ndarray        # (4,)
    ns: str                 # static, moving, or robot: what the actions move


class Twin:
    """A world of a contract; deterministic in (seed, number of resets, actions).

    `begin` is where its time begins, ns.
    """

    def __init__(self, contract: Contract, gap: Gap = Gap(), seed: int = 0, begin: int = 0):
        """Load, change by the gap and reset; raise InvalidFile with every problem."""
        self.contract, self.gap, self.seed = contract, gap, seed
        self.model = load_model(contract)
        steps = _physics_steps(contract, self.model)
        self._bind(contract)
        gap.apply(self.model)
        self.data = mujoco.MjData(self.model)
        timestep = self.model.opt.timestep
        self._steps = max(1, round(steps / gap.control_rate))
        self._delay = round(gap.latency / timestep)
        self.period_ns = round(self._steps * timestep * 1e9)
        limited = self.model.actuator_ctrllimited[self._actuators].astype(bool)
        ranges = self.model.actuator_ctrlrange[self._actuators]
        action = contract.action        # an actuator without a range has the contract's
        self._low = np.where(limited, ranges[:, 0], action.low * gap.action_bound)
        self._high = np.where(limited, ranges[:, 1], action.high * gap.action_bound)
        self.time_ns, self.resets = begin, 0
        self.reset()
        self._try_selections()

    def reset(self) -> None:
        """Put the world at keyframe 0 (or the model's zero), then draw the contract's starts."""
        if self.model.nkey:
            mujoco.mj_resetDataKeyframe(self.model, self.data, 0)
        else:
            mujoco.mj_resetData(self.model, self.data)
        rng = np.random.default_rng((self.seed, self.resets))
        for address, (low, high) in self._starts:
            self.data.qpos[address] = rng.uniform(low, high)
        mujoco.mj_forward(self.model, self.data)
        self._tick, self._pending = 0, deque()
        self.resets += 1
        self.time_ns += self.period_ns

    def step(self, action) -> None:
        """Run one control period under an action (m,) in the contract's order and units.

        Each command takes effect `gap.latency` after it was given. Raises UserError for an action
        that is not m finite numbers, Diverged when the physics did not survive the period.
        """
        action = np.asarray(action, np.float64)
        if action.shape != self._low.shape or not np.isfinite(action).all():
            raise UserError(f'action: expected {len(self._low)} finite numbers, found {action}')
        command = np.clip(action, self._low, self._high)
        self.data.qacc_warmstart[:] = 0.0   # the period depends on the state alone, as in rollout
        self._pending.append((self._tick + self._delay, command))
        end = self._tick + self._steps
        while self._tick < end:
            while self._pending and self._pending[0][0] <= self._tick:
                self.data.ctrl[self._actuators] = self._pending.popleft()[1]
            until = min(end, self._pending[0][0]) if self._pending else end
            mujoco.mj_step(self.model, self.data, until - self._tick)
            self._tick = until
        mujoco.mj_forward(self.model, self.data)    # poses and sensors of the state just reached
        self.time_ns += self.period_ns
        self._check_finite()

    def messages(self) -> dict[str, SimpleNamespace]:
        """Return a stand-in message per observation entry, stamped with `time_ns`."""
        seconds, nanoseconds = divmod(self.time_ns, 1_000_000_000)
        header = SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=nanoseconds),
                                 frame_id=WORLD_FRAME)
        noisy = self._sensor_noise()
        return {name: build(self.data, header, noisy) for name, build in self._sources.items()}

    def observation(self) -> np.ndarray:
        """Return the observation vector (n,) float64 that the contract selects."""
        messages = self.messages()
        return np.concatenate([entry.selection.read(messages[entry.name])
                               for entry in self.contract.observations])

    def geoms(self) -> list[Geom]:
        """Return the visible primitives for markers; meshes and height fields are left out."""
        model, data, geoms = self.model, self.data, []
        for index in range(model.ngeom):
            shape = SHAPES.get(mujoco.mjtGeom(model.geom_type[index]))
            rgba = _color(model, index)
            if not shape or rgba[3] == 0 or model.geom_group[index] >= HIDDEN_GROUP:
                continue
            body = model.geom_bodyid[index]
            moving = model.body_weldid[body] != 0
            geoms.append(Geom(
                model.geom(index).name or f'geom_{index}', shape, model.geom_size[index].copy(),
                data.geom_xpos[index].copy(), _quaternion(data.geom_xmat[index]), rgba,
                'robot' if model.body_rootid[body] in self._robot else
                'moving' if moving else 'static'))
        return geoms

    def frames(self) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
        """Return (parent, child, position (3,), quaternion xyzw (4,)) for every body but world."""
        model, data, frames = self.model, self.data, []
        for index in range(1, model.nbody):
            parent = model.body_parentid[index]
            turn = data.xmat[parent].reshape(3, 3).T
            position = turn @ (data.xpos[index] - data.xpos[parent])
            rotation = turn @ data.xmat[index].reshape(3, 3)
            frames.append((_body_name(model, parent), _body_name(model, index), position,
                           _quaternion(rotation.ravel())))
        return frames

    def _bind(self, contract: Contract) -> None:
        """Look every name of the simulation section up in the model, or raise InvalidFile."""
        simulation, problems = contract.simulation, []
        scene = Scene(self.model, simulation.model.name)
        sources = Section(simulation.observation, 'simulation.observation', problems)
        self._sources = {entry.name: compile_source(scene, entry.type, sources.section(entry.name))
                         for entry in contract.observations}
        actuators = Section(simulation.action, 'simulation.action', problems)
        self._actuators = [scene.find('actuator', simulation.action[name], actuators, name)
                           for name in contract.action.layout.names]
        starts = Section(simulation.reset, 'simulation.reset', problems)
        self._starts = []
        for name, (low, high) in simulation.reset.items():
            joint = scene.find('joint', name, starts, name)
            if not low <= high:
                starts.problem(name, 'low <= high', [low, high])
            if joint is not None:
                self._starts.append((self.model.jnt_qposadr[joint], (low, high)))
        if problems:
            raise InvalidFile(contract.file, problems)
        self._robot = _moved(self.model, self._actuators)

    def _try_selections(self) -> None:
        """Read every entry once, so that a source without a selected field is refused here."""
        messages, problems = self.messages(), []
        for entry in self.contract.observations:
            try:
                entry.selection.read(messages[entry.name])
            except BadMessage as error:
                problems.append(Problem(f'simulation.observation.{entry.name}',
                                        'a source of the selected fields', str(error)))
        if problems:
            raise InvalidFile(self.contract.file, problems)

    def _sensor_noise(self):
        """Return the function that makes positions noisy; the same at every call in one tick."""
        scale = self.gap.observation_noise
        if not scale:
            return lambda values: values
        rng = np.random.default_rng((self.gap.seed, self.seed, self.resets, self._tick))
        return lambda values: values + rng.normal(0.0, scale, np.shape(values))

    def _check_finite(self) -> None:
        """Raise Diverged where MuJoCo met a bad number and put its own state back."""
        warnings = self.data.warning
        for warning, quantity in DIVERGED.items():
            if warnings[warning].number:
                dof = warnings[warning].lastinfo
                raise Diverged(f'{quantity} of degree of freedom {dof} is not finite or huge, '
                               f'{self._tick} physics steps after the reset')


def load_model(contract: Contract) -> mujoco.MjModel:
    """Return the MuJoCo model that a contract names, or raise InvalidFile."""
    simulation = contract.simulation
    if simulation is None:
        raise InvalidFile(contract.file, [Problem(
            'simulation', 'a model and where to read each name', 'nothing',
            'add the section, or run on the robot')])
    try:
        return mujoco.MjModel.from_xml_path(str(simulation.model))
    except ValueError as error:
        raise InvalidFile(contract.file, [Problem(
            'simulation.model', f'a MuJoCo model at {simulation.model}',
            ' '.join(str(error).split()))]) from None


def _physics_steps(contract: Contract, model: mujoco.MjModel) -> int:
    """Return the physics steps in a control period, or raise InvalidFile."""
    ratio = 1.0 / (contract.control_rate * model.opt.timestep)
    if ratio < 0.5 or abs(ratio - round(ratio)) > 1e-6 * ratio:
        raise InvalidFile(contract.file, [Problem(
            'control_rate', 'a period that is a whole number of the physics steps of '
            f'{model.opt.timestep:g} s in {contract.simulation.model.name}',
            f'{contract.control_rate:g} Hz, {ratio:.6g} steps',
            'change one of the two')])
    return round(ratio)


def _moved(model: mujoco.MjModel, actuators: list[int]) -> set[int]:
    """Return the topmost bodies of the trees whose joints the actuators move."""
    joints = [model.actuator_trnid[index, 0] for index in actuators
              if model.actuator_trntype[index] == mujoco.mjtTrn.mjTRN_JOINT]
    return {int(model.body_rootid[model.jnt_bodyid[joint]]) for joint in joints}


def _color(model: mujoco.MjModel, index: int) -> np.ndarray:
    material = model.geom_matid[index]
    return (model.geom_rgba[index] if material < 0 else model.mat_rgba[material]).copy()


def _quaternion(matrix: np.ndarray) -> np.ndarray:
    """Return x, y, z, w of a flat rotation matrix (9,)."""
    wxyz = np.zeros(4)
    mujoco.mju_mat2Quat(wxyz, matrix)
    return np.roll(wxyz, -1)


def _body_name(model: mujoco.MjModel, index: int) -> str:
    return model.body(index).name or f'body_{index}'
