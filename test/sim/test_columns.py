"""Sensor columns: every type and rotation reads the numbers that a Twin reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from robot_rl.contract import Contract, load_contract, Observation
from robot_rl.errors import InvalidFile
from robot_rl.fields import compile_selection, OBSERVATION_TYPES
from robot_rl.layout import Layout
from robot_rl.sim.columns import compile_columns, FIELDS
from robot_rl.sim.gap import Gap
from robot_rl.sim.twin import Twin
from robot_rl.sim.vector import VectorTwin

MODEL = """
<mujoco>
  <option timestep="0.005" gravity="0 0 -1"/>
  <worldbody>
    <body name="goal" mocap="true" pos="0.1 0.2 0.3"/>
    <body name="drone" pos="1 2 3" euler="10 20 80">
      <freejoint name="float"/>
      <geom type="box" pos="0.03 0.01 0" size="0.1 0.05 0.02" mass="1"/>
      <site name="imu" pos="0.02 0 0.01" euler="30 0 10"/>
      <body name="flap" pos="0.2 0 0">
        <joint name="hinge" type="hinge" axis="0 0.6 0.8" damping="0.2" armature="0.05"/>
        <geom type="sphere" size="0.05" mass="0.1"/>
        <site name="edge" pos="0.1 0 0" euler="0 50 0"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor name="swing" joint="hinge" ctrlrange="-1 1"/>
    <motor name="fan" site="imu" gear="0 0 1 0.01 0 0.002" ctrlrange="0 1"/>
  </actuator>
  <sensor>
    <framequat name="turn" objtype="site" objname="imu"/>
    <gyro name="gyro" site="imu"/>
    <accelerometer name="accelerometer" site="imu"/>
    <force name="force" site="edge"/>
    <torque name="torque" site="edge"/>
    <jointpos name="angle" joint="hinge"/>
    <user name="custom" dim="2" needstage="pos"/>
  </sensor>
  <keyframe>
    <key name="start" qpos="1 2 3 0.9 0.1 -0.3 0.3 0.2" qvel="0.5 0.1 0 0.3 -2 1 -1"
         ctrl="0.2 0.5" mpos="0.4 0.5 0.6" mquat="0.8 0.6 0 0"/>
  </keyframe>
</mujoco>
"""
ROTATED = [f'orientation:{rotation}' for rotation in ('quaternion', 'rpy', 'rot6d')]
POSE = ['pose.position', *(f'pose.{field}' for field in ROTATED)]
CASES = [
    ('sensor_msgs/msg/JointState', {'joints': ['hinge']},
     {'velocity': ['hinge'], 'position': ['hinge'], 'effort': ['hinge']}),
    ('geometry_msgs/msg/PoseStamped', {'body': 'drone'}, POSE),
    ('geometry_msgs/msg/PoseStamped', {'site': 'edge'}, POSE),
    ('geometry_msgs/msg/PoseStamped', {'body': 'goal'}, POSE),
    ('geometry_msgs/msg/PointStamped', {'site': 'edge'}, ['point.z', 'point.x']),
    ('geometry_msgs/msg/TwistStamped', {'body': 'flap'}, ['twist.angular', 'twist.linear']),
    ('geometry_msgs/msg/TwistStamped', {'site': 'edge'}, ['twist.linear.y', 'twist.angular.z']),
    ('nav_msgs/msg/Odometry', {'body': 'drone'},
     ['pose.pose.position', 'pose.pose.orientation:rpy', 'twist.twist.linear.y',
      'twist.twist.angular']),
    ('nav_msgs/msg/Odometry', {'site': 'imu'}, ['twist.twist.linear']),
    ('geometry_msgs/msg/WrenchStamped', {'force': 'force', 'torque': 'torque'},
     ['wrench.torque.y', 'wrench.force']),
    ('sensor_msgs/msg/Imu', {'orientation': 'turn', 'angular_velocity': 'gyro',
                             'linear_acceleration': 'accelerometer'},
     ['linear_acceleration', 'angular_velocity.x', *ROTATED]),
    ('std_msgs/msg/Float64', {'sensor': 'angle'}, ['data']),
    ('std_msgs/msg/Float64MultiArray', {'sensor': 'accelerometer'}, ['data.2', 'data.0']),
]


def flying(folder: Path, entries: list[tuple[str, dict, object]]) -> Contract:
    """Return a contract that observes a tumbling drone through the given entries."""
    reach = load_contract('reach')
    (folder / 'drone.xml').write_text(MODEL, encoding='utf-8')
    observations = tuple(Observation(f'entry{index}', f'topic{index}', kind, 0.1,
                                     compile_selection(kind, select))
                         for index, (kind, _, select) in enumerate(entries))
    sources = {f'entry{index}': source for index, (_, source, _) in enumerate(entries)}
    simulation = replace(reach.simulation, model=folder / 'drone.xml', observation=sources,
                         action={'swing': 'swing'}, reset={'hinge': (-0.5, 0.5)})
    action = replace(reach.action, layout=Layout(('swing',), ('N m',)), low=np.array([-1.0]),
                     high=np.array([1.0]), max_rate=np.array([np.inf]))
    return replace(reach, observations=observations, simulation=simulation, action=action)


def test_the_cases_below_hold_every_type():
    assert {kind for kind, *_ in CASES} == set(OBSERVATION_TYPES)


@pytest.mark.parametrize('case', CASES, ids=lambda case: f'{case[0]}-{next(iter(case[1]))}')
def test_a_source_reads_what_a_twin_reads(case, tmp_path):
    contract = flying(tmp_path, [case])
    gap = Gap(latency=0.02, mass=1.3)
    vector, twin = VectorTwin(contract, 1, [gap], seed=1), Twin(contract, gap, seed=(1, 0))
    rng = np.random.default_rng(0)
    for _ in range(60):
        difference = np.abs(vector.observation()[0] - twin.observation())
        assert difference.max() < 1e-9, contract.layout.names[difference.argmax()]
        action = rng.uniform(-1.0, 1.0, 1)
        twin.step(action)
        vector.step(action[None])


def test_entries_of_one_contract_share_sensors_and_keep_their_order(tmp_path):
    contract = flying(tmp_path, CASES)
    vector, twin = VectorTwin(contract, 2, seed=1), Twin(contract, seed=(1, 1))
    assert np.abs(vector.observation()[1] - twin.observation()).max() < 1e-9
    model, _ = compile_columns(contract)
    sensors = [(int(kind), int(objtype), int(index)) for kind, objtype, index in zip(
        model.sensor_type, model.sensor_objtype, model.sensor_objid)][-17:]
    assert model.nsensor == 7 + 17 and len(set(sensors)) == 17


def test_noise_goes_on_positions_and_not_on_rotations_velocities_or_sensors(tmp_path):
    contract = flying(tmp_path, CASES)
    _, columns = compile_columns(contract)
    noisy = {name.partition('.')[2] for name, noise in zip(contract.layout.names, columns.noisy)
             if noise}
    assert noisy == {'position.hinge', 'point.x', 'point.z',
                     *(f'{path}.position.{axis}' for path in ('pose', 'pose.pose')
                       for axis in 'xyz')}


def test_upright_pitch_reads_as_in_a_twin(tmp_path):
    contract = flying(tmp_path, [CASES[1]])
    text = MODEL.replace('0.9 0.1 -0.3 0.3 0.2', '1 0 1 0 0')
    contract.simulation.model.write_text(text, encoding='utf-8')
    seen, twin = VectorTwin(contract, 1).observation()[0], Twin(contract, seed=(0, 0))
    assert np.abs(seen - twin.observation()).max() < 1e-9
    assert contract.layout.view(seen)['entry0.pose.orientation:rpy.pitch'] == pytest.approx(
        np.pi / 2)


def test_a_sensor_that_does_not_follow_from_the_state_is_refused(tmp_path):
    contract = flying(tmp_path, [('std_msgs/msg/Float64MultiArray', {'sensor': 'custom'},
                                  ['data.0'])])
    Twin(contract)
    with pytest.raises(InvalidFile, match='simulation.observation.entry0: .*custom of type user'):
        VectorTwin(contract, 2)


def test_a_type_that_only_a_twin_reads_is_refused(tmp_path, monkeypatch):
    monkeypatch.delitem(FIELDS, 'std_msgs/msg/Float64')
    with pytest.raises(InvalidFile, match='simulation.observation.entry1: .*use Twin'):
        VectorTwin(flying(tmp_path, [CASES[4], CASES[11]]), 2)
