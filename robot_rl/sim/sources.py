"""Read a ROS-shaped message out of a MuJoCo state, as the contract's simulation section says.

A stand-in message is a tree of SimpleNamespace with the field names of the ROS type, without the
fields that a simulation does not know (covariances, array layout). It is what the selections of
the contract read, so a simulated observation is made by the same code as a real one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import mujoco
import numpy as np
from robot_rl.schema import MISSING, Section, suggestion

Build = Callable[[mujoco.MjData, SimpleNamespace, Callable], SimpleNamespace]

COUNTS = {'body': 'nbody', 'site': 'nsite', 'sensor': 'nsensor', 'joint': 'njnt',
          'actuator': 'nu'}
FRAMES = {'body': mujoco.mjtObj.mjOBJ_XBODY, 'site': mujoco.mjtObj.mjOBJ_SITE}
SINGLE_AXIS = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


@dataclass(frozen=True)
class Scene:
    """A compiled model and the name of its file, for looking names up."""

    model: mujoco.MjModel
    file: str

    def names(self, kind: str) -> list[str]:
        """Return the names of all bodies, sites, sensors, actuators or single-axis joints."""
        get = getattr(self.model, kind)
        indices = range(getattr(self.model, COUNTS[kind]))
        if kind == 'joint':     # a message holds one number per joint: no balls, no free joints
            indices = [i for i in indices if self.model.jnt_type[i] in SINGLE_AXIS]
        return [name for i in indices if (name := get(i).name)]

    def find(self, kind: str, name, section: Section, key: str) -> int | None:
        """Return the index of a named object; record a Problem where there is none."""
        known = self.names(kind)
        if name in known:
            return getattr(self.model, kind)(name).id
        section.problem(key, f'a {kind} of {self.file} ({", ".join(known) or "it names none"})',
                        name, suggestion(str(name), known))
        return None


def vector(values) -> SimpleNamespace:
    """Return x, y, z."""
    return SimpleNamespace(x=float(values[0]), y=float(values[1]), z=float(values[2]))


def quaternion(wxyz) -> SimpleNamespace:
    """Return x, y, z, w of MuJoCo's w, x, y, z."""
    w, x, y, z = (float(value) for value in wxyz)
    return SimpleNamespace(x=x, y=y, z=z, w=w)


def compile_source(scene: Scene, type_name: str, section: Section) -> Build:
    """Return `build(data, header, noisy)` for one entry; record what the model does not offer.

    `noisy` maps an array of positions to the positions as sensed.
    """
    build = BUILDERS[type_name](scene, section)
    section.refuse_unknown()
    return build


def _joint_state(scene: Scene, section: Section) -> Build:
    """`joints`: names of hinges and slides."""
    names, model = section.texts('joints'), scene.model
    found = [scene.find('joint', name, section, f'joints[{index}]')
             for index, name in enumerate(names)]
    positions = [model.jnt_qposadr[index] for index in found if index is not None]
    speeds = [model.jnt_dofadr[index] for index in found if index is not None]

    def build(data, header, noisy):
        return SimpleNamespace(header=header, name=list(names),
                               position=noisy(data.qpos[positions]), velocity=data.qvel[speeds],
                               effort=data.qfrc_actuator[speeds])

    return build


def _frame(scene: Scene, section: Section):
    """Return (object type, index) of the body or site that the section names."""
    named = [kind for kind in FRAMES if section.raw(kind) is not MISSING]
    if len(named) != 1:
        section.problem('', 'either {body: name} or {site: name}', section.data)
        return FRAMES['body'], None
    kind = named[0]
    return FRAMES[kind], scene.find(kind, section.raw(kind), section, kind)


def _position(data, frame) -> np.ndarray:
    kind, index = frame
    return data.site_xpos[index] if kind == FRAMES['site'] else data.xpos[index]


def _orientation(data, frame) -> np.ndarray:
    kind, index = frame
    if kind != FRAMES['site']:
        return data.xquat[index]
    wxyz = np.zeros(4)
    mujoco.mju_mat2Quat(wxyz, data.site_xmat[index])
    return wxyz


def _pose(data, frame, noisy) -> SimpleNamespace:
    return SimpleNamespace(position=vector(noisy(_position(data, frame))),
                           orientation=quaternion(_orientation(data, frame)))


def _twist(model, data, frame, local: bool) -> SimpleNamespace:
    velocity = np.zeros(6)      # rotation first
    mujoco.mj_objectVelocity(model, data, *frame, velocity, local)
    return SimpleNamespace(linear=vector(velocity[3:]), angular=vector(velocity[:3]))


def _pose_stamped(scene: Scene, section: Section) -> Build:
    """`body` or `site`: a name."""
    frame = _frame(scene, section)
    return lambda data, header, noisy: SimpleNamespace(
        header=header, pose=_pose(data, frame, noisy))


def _point_stamped(scene: Scene, section: Section) -> Build:
    """`body` or `site`: a name."""
    frame = _frame(scene, section)
    return lambda data, header, noisy: SimpleNamespace(
        header=header, point=vector(noisy(_position(data, frame))))


def _twist_stamped(scene: Scene, section: Section) -> Build:
    """`body` or `site`: a name; velocities in the axes of the world."""
    frame = _frame(scene, section)
    return lambda data, header, noisy: SimpleNamespace(
        header=header, twist=_twist(scene.model, data, frame, local=False))


def _odometry(scene: Scene, section: Section) -> Build:
    """`body` or `site`: a name; velocities in its own axes."""
    frame = _frame(scene, section)
    child = str(section.data.get('body', section.data.get('site', '')))
    return lambda data, header, noisy: SimpleNamespace(     # the twist is in the child's axes
        header=header, child_frame_id=child,
        pose=SimpleNamespace(pose=_pose(data, frame, noisy)),
        twist=SimpleNamespace(twist=_twist(scene.model, data, frame, local=True)))


def _sensor(scene: Scene, section: Section, key: str, size: int | None = None) -> slice:
    """Return where a sensor's numbers lie in sensordata; `size` None takes any size."""
    index = scene.find('sensor', section.raw(key), section, key)
    if index is None:
        return slice(0)
    start, found = int(scene.model.sensor_adr[index]), int(scene.model.sensor_dim[index])
    if size is not None and found != size:
        section.problem(key, f'a sensor of {size} numbers', f'{section.raw(key)} of {found}')
    return slice(start, start + found)


def _wrench_stamped(scene: Scene, section: Section) -> Build:
    """`force`, `torque`: names of sensors of 3 numbers."""
    force, torque = (_sensor(scene, section, key, 3) for key in ('force', 'torque'))
    return lambda data, header, noisy: SimpleNamespace(header=header, wrench=SimpleNamespace(
        force=vector(data.sensordata[force]), torque=vector(data.sensordata[torque])))


def _imu(scene: Scene, section: Section) -> Build:
    """`orientation`: a sensor of 4 numbers; `angular_velocity`, `linear_acceleration`: of 3."""
    rotation = _sensor(scene, section, 'orientation', 4)
    turn, push = (_sensor(scene, section, key, 3)
                  for key in ('angular_velocity', 'linear_acceleration'))
    return lambda data, header, noisy: SimpleNamespace(
        header=header, orientation=quaternion(data.sensordata[rotation]),
        angular_velocity=vector(data.sensordata[turn]),
        linear_acceleration=vector(data.sensordata[push]))


def _float64(scene: Scene, section: Section) -> Build:
    """`sensor`: the name of a sensor of one number."""
    where = _sensor(scene, section, 'sensor', 1)
    return lambda data, header, noisy: SimpleNamespace(data=float(data.sensordata[where][0]))


def _float64_multi_array(scene: Scene, section: Section) -> Build:
    """`sensor`: the name of a sensor of any size."""
    where = _sensor(scene, section, 'sensor')
    return lambda data, header, noisy: SimpleNamespace(data=data.sensordata[where].copy())


BUILDERS = {
    'sensor_msgs/msg/JointState': _joint_state,
    'geometry_msgs/msg/PoseStamped': _pose_stamped,
    'geometry_msgs/msg/PointStamped': _point_stamped,
    'geometry_msgs/msg/TwistStamped': _twist_stamped,
    'nav_msgs/msg/Odometry': _odometry,
    'geometry_msgs/msg/WrenchStamped': _wrench_stamped,
    'sensor_msgs/msg/Imu': _imu,
    'std_msgs/msg/Float64': _float64,
    'std_msgs/msg/Float64MultiArray': _float64_multi_array,
}
