"""Stand-in messages: the fields of the ROS types, filled with what the state says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile
from robot_rl.fields import OBSERVATION_TYPES
from robot_rl.schema import Section
from robot_rl.sim.sources import compile_source, Scene
from robot_rl.sim.twin import Twin
from rosbags.typesys import get_typestore, Stores

MODEL = """
<mujoco>
  <option gravity="0 0 0"/>
  <worldbody>
    <body name="drone" pos="1 2 3" euler="0 0 90">
      <freejoint name="float"/>
      <geom type="box" size="0.1 0.1 0.1" mass="1"/>
      <site name="imu"/>
      <body name="flap" pos="0.2 0 0">
        <joint name="hinge" type="hinge" axis="0 0 1"/>
        <geom type="sphere" size="0.05" mass="0.1"/>
        <site name="edge" pos="0.1 0 0"/>
      </body>
    </body>
  </worldbody>
  <sensor>
    <framequat name="turn" objtype="site" objname="imu"/>
    <gyro name="gyro" site="imu"/>
    <accelerometer name="accelerometer" site="imu"/>
    <force name="force" site="edge"/>
    <torque name="torque" site="edge"/>
    <jointpos name="angle" joint="hinge"/>
  </sensor>
</mujoco>
"""
SOURCES = {
    'sensor_msgs/msg/JointState': {'joints': ['hinge']},
    'geometry_msgs/msg/PoseStamped': {'body': 'drone'},
    'geometry_msgs/msg/PointStamped': {'site': 'edge'},
    'geometry_msgs/msg/TwistStamped': {'body': 'drone'},
    'geometry_msgs/msg/WrenchStamped': {'force': 'force', 'torque': 'torque'},
    'std_msgs/msg/Float64MultiArray': {'sensor': 'gyro'},
    'std_msgs/msg/Float64': {'sensor': 'angle'},
    'sensor_msgs/msg/Imu': {'orientation': 'turn', 'angular_velocity': 'gyro',
                            'linear_acceleration': 'accelerometer'},
    'nav_msgs/msg/Odometry': {'body': 'drone'},
}
HEADER = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=2), frame_id='world')


def moving_world() -> tuple[Scene, mujoco.MjData]:
    """Return a drone turned by 90 degrees that flies along its own x and spins about z."""
    model = mujoco.MjModel.from_xml_string(MODEL)
    data = mujoco.MjData(model)
    data.qvel[:6] = [0.0, 0.5, 0.0, 0.0, 0.0, 2.0]      # world y is the drone's x
    data.qpos[7], data.qvel[6] = 0.3, -1.0
    mujoco.mj_forward(model, data)
    return Scene(model, 'drone.xml'), data


def message(type_name: str, source: dict | None = None, noisy=lambda values: values):
    scene, data = moving_world()
    problems = []
    build = compile_source(scene, type_name, Section(source or SOURCES[type_name], 'e', problems))
    assert not problems, problems
    return build(data, HEADER, noisy)


def refusals(type_name: str, source) -> list[str]:
    problems = []
    compile_source(moving_world()[0], type_name, Section(source, 'entry', problems))
    return [str(problem) for problem in problems]


def assert_fields_exist(tree, type_name: str, store) -> None:
    fields = dict(store.fielddefs[type_name][1])
    for name, value in vars(tree).items():
        assert name in fields, f'{type_name} has no field {name}'
        if isinstance(value, SimpleNamespace):
            assert_fields_exist(value, fields[name][1], store)


@pytest.mark.parametrize('type_name', OBSERVATION_TYPES)
def test_every_type_has_a_source_with_the_field_names_of_ros(type_name):
    assert_fields_exist(message(type_name), type_name, get_typestore(Stores.ROS2_HUMBLE))


@pytest.mark.parametrize('type_name', OBSERVATION_TYPES)
def test_stamped_types_carry_the_header(type_name):
    assert (getattr(message(type_name), 'header', None) is HEADER) == (
        OBSERVATION_TYPES[type_name].stamped)


def test_orientation_is_in_ros_order():
    q = message('geometry_msgs/msg/PoseStamped').pose.orientation
    assert [q.x, q.y, q.z, q.w] == pytest.approx([0, 0, np.sqrt(0.5), np.sqrt(0.5)])


def test_a_site_has_its_own_pose():
    pose = message('geometry_msgs/msg/PoseStamped', {'site': 'edge'}).pose
    assert [pose.position.x, pose.position.y] == pytest.approx(
        [1 - 0.1 * np.sin(0.3), 2.2 + 0.1 * np.cos(0.3)])
    assert 2 * np.arctan2(pose.orientation.z, pose.orientation.w) == pytest.approx(
        np.pi / 2 + 0.3)


def test_a_twist_is_in_the_world_and_an_odometry_twist_in_the_body():
    world = message('geometry_msgs/msg/TwistStamped').twist
    body = message('nav_msgs/msg/Odometry').twist.twist
    assert [world.linear.x, world.linear.y] == pytest.approx([0.0, 0.5])
    assert [body.linear.x, body.linear.y] == pytest.approx([0.5, 0.0])
    assert world.angular.z == body.angular.z == pytest.approx(2.0)


def test_odometry_names_its_child_frame():
    assert message('nav_msgs/msg/Odometry').child_frame_id == 'drone'


def test_joint_state_has_position_velocity_and_effort_by_name():
    state = message('sensor_msgs/msg/JointState')
    assert state.name == ['hinge']
    assert (state.position, state.velocity, state.effort) == ([0.3], [-1.0], [0.0])


def test_sensor_values_arrive_in_their_fields():
    assert message('std_msgs/msg/Float64').data == pytest.approx(0.3)
    assert message('std_msgs/msg/Float64MultiArray').data[2] == pytest.approx(2.0)
    imu = message('sensor_msgs/msg/Imu')
    assert imu.angular_velocity.z == pytest.approx(2.0)
    assert imu.orientation.w == pytest.approx(np.sqrt(0.5))


def test_a_message_does_not_change_when_the_world_moves_on():
    scene, data = moving_world()
    build = compile_source(scene, 'sensor_msgs/msg/JointState', Section({'joints': ['hinge']},
                                                                        'e', []))
    state = build(data, HEADER, lambda values: values)
    data.qpos[7] = 9.0
    assert state.position == [0.3]


def test_noise_is_added_to_positions_and_not_to_rotations_or_velocities():
    odometry = message('nav_msgs/msg/Odometry', noisy=lambda values: values + 10)
    clean = message('nav_msgs/msg/Odometry')
    assert odometry.pose.pose.position.x == clean.pose.pose.position.x + 10
    assert odometry.pose.pose.orientation == clean.pose.pose.orientation
    assert odometry.twist == clean.twist


@pytest.mark.parametrize('type_name, source, expected', [
    ('sensor_msgs/msg/JointState', {'joints': ['float']}, 'a joint of drone.xml (hinge)'),
    ('sensor_msgs/msg/JointState', {'joints': 'hinge'}, 'a list of names'),
    ('geometry_msgs/msg/PoseStamped', {}, 'either {body: name} or {site: name}'),
    ('geometry_msgs/msg/PoseStamped', {'body': 'drone', 'site': 'imu'}, 'either {body: name}'),
    ('geometry_msgs/msg/PoseStamped', {'body': ['drone']}, 'a body of drone.xml'),
    ('geometry_msgs/msg/PointStamped', {'site': 'imv'}, 'did you mean imu?'),
    ('geometry_msgs/msg/WrenchStamped', {'force': 'force'}, 'entry.torque: expected a sensor'),
    ('sensor_msgs/msg/Imu', {**SOURCES['sensor_msgs/msg/Imu'], 'orientation': 'gyro'},
     'a sensor of 4 numbers'),
    ('std_msgs/msg/Float64', {'sensor': 'gyro'}, 'a sensor of 1 numbers'),
    ('std_msgs/msg/Float64', {'sensor': 'angle', 'scale': 2}, 'a known key'),
])
def test_a_source_that_the_model_does_not_offer_is_refused(type_name, source, expected):
    assert any(expected in text for text in refusals(type_name, source))


def test_the_twin_refuses_what_the_source_refuses():
    config = Path(__file__).resolve().parents[2] / 'config' / 'reach.yaml'
    contract = load_contract(str(config))
    sources = {**contract.simulation.observation, 'tip': {'site': 'tipp'}}
    with pytest.raises(InvalidFile, match='did you mean tip?'):
        Twin(replace(contract, simulation=replace(contract.simulation, observation=sources)))
