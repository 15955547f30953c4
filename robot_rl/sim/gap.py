"""The dynamics gap: a declared difference between the simulator trained in and another world.

A claim about transfer needs a second world whose difference is written down. Every factor is
relative to the model file, so `Gap()` is the model itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
from robot_rl.bounded_yaml import load_bounded
from robot_rl.errors import InvalidFile, Problem
from robot_rl.schema import Section, show
import yaml

MAX_TEXT = 4096


@dataclass(frozen=True)
class Gap:
    """How one world differs from the model file; the defaults change nothing."""

    name: str = 'none'
    friction: float = 1.0           # factor on contact friction and joint friction loss
    mass: float = 1.0               # factor on every mass and inertia
    damping: float = 1.0            # factor on joint damping
    actuator_gain: float = 1.0      # factor on what an actuator makes of a command
    action_bound: float = 1.0       # factor on the actuators' command ranges
    control_rate: float = 1.0       # factor on the control rate; 0.6: periods 1/0.6 longer
    latency: float = 0.0            # s from a command to its effect, rounded to a physics step
    observation_noise: float = 0.0  # standard deviation, added to positions
    geom_offset: tuple[tuple[str, tuple[float, ...]], ...] = ()     # (geom, m in its body's frame)
    seed: int = 0                   # of that noise

    def apply(self, model: mujoco.MjModel) -> None:
        """Change a model in place; what it does not hold (rate, latency, noise) is the twin's."""
        model.geom_friction *= self.friction
        model.pair_friction *= self.friction
        model.dof_frictionloss *= self.friction
        model.tendon_frictionloss *= self.friction
        model.body_mass *= self.mass
        model.body_inertia *= self.mass
        model.dof_damping *= self.damping
        model.actuator_gainprm[:, 0] *= self.actuator_gain
        model.actuator_ctrlrange *= self.action_bound
        for name, offset in self.geom_offset:
            self._move(model, name, offset)
        mujoco.mj_setConst(model, mujoco.MjData(model))     # constants derived from the masses

    def _move(self, model: mujoco.MjModel, name: str, offset: tuple[float, ...]) -> None:
        """Put a geom off its place: a tool of another length, or mounted aside; not its mass."""
        geom = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name)
        if geom < 0:
            known = [model.geom(index).name for index in range(model.ngeom)]
            raise InvalidFile('gap', [Problem(
                f'geom_offset.{name}', 'a geom of the model: ' + ', '.join(filter(None, known)),
                name)])
        model.geom_pos[geom] += offset
        model.geom_sameframe[geom] = 0      # a compiled short cut past geom_pos


SHIPPED = {
    'none': Gap(),
    'mild': Gap('mild', friction=0.8, mass=1.2, damping=1.2, latency=0.02,
                observation_noise=0.001),
    'declared': Gap('declared', friction=0.4, mass=2.0, action_bound=0.6, control_rate=0.6,
                    latency=0.06),
    # Of puck_push: another tool than the model's, 4 cm longer and bent aside, on another table.
    'bent_tool': Gap('bent_tool', friction=0.7, mass=1.3, latency=0.02,
                     geom_offset=(('peg', (0.04, 0.015, 0.0)),)),
}

# key: (least, most); what lies outside is a typing error or a world that cannot be stepped.
BOUNDS = {
    'friction': (0.0, 100.0), 'mass': (0.01, 100.0), 'damping': (0.0, 100.0),
    'actuator_gain': (0.01, 100.0), 'action_bound': (0.01, 100.0), 'control_rate': (0.05, 20.0),
    'latency': (0.0, 10.0), 'observation_noise': (0.0, 10.0),
}
MAX_OFFSET = 10.0       # m


def load_gap(text: str) -> Gap:
    """Return a shipped gap by name, or one written as `{friction: 0.4, latency: 0.06}`.

    Raises InvalidFile with every problem.
    """
    text = text.strip()
    if text in SHIPPED:
        return SHIPPED[text]
    expected = 'one of ' + ', '.join(SHIPPED) + ', or a mapping such as {friction: 0.4}'
    try:
        document = load_bounded(text, MAX_TEXT) if len(text) <= MAX_TEXT else text
    except yaml.YAMLError:
        document = text
    if not isinstance(document, dict):
        raise InvalidFile('gap', [Problem('value', expected, show(document))])
    problems: list[Problem] = []
    section = Section(document, '', problems)
    values = {key: _bounded(section, key, *bounds) for key, bounds in BOUNDS.items()}
    offsets = section.section('geom_offset', required=False)
    gap = Gap(section.text('name', default='custom'), seed=section.integer('seed', 0), **values,
              geom_offset=tuple((str(name), _offset(offsets, name)) for name in offsets.data))
    section.refuse_unknown()
    if problems:
        raise InvalidFile('gap', problems)
    return gap


def _bounded(section: Section, key: str, least: float, most: float) -> float:
    value = section.number(key, default=getattr(Gap, key), least=least)
    if value > most:
        section.problem(key, f'at most {most}', value)
    return value


def _offset(section: Section, name: str) -> tuple[float, ...]:
    offset = section.numbers(name, 3)
    if max(map(abs, offset)) > MAX_OFFSET:
        section.problem(name, f'at most {MAX_OFFSET} m along each axis', list(offset))
    return offset
