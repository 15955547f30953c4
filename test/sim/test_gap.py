"""The dynamics gap: what it changes in a model, and what it refuses."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from robot_rl.errors import InvalidFile
from robot_rl.sim.gap import Gap, load_gap, SHIPPED

MODEL = """
<mujoco>
  <worldbody>
    <body name="block">
      <joint name="slide" type="slide" damping="2" frictionloss="0.5"/>
      <geom name="box" type="box" size="0.1 0.1 0.1" mass="3" friction="0.6"/>
    </body>
  </worldbody>
  <actuator><velocity name="drive" joint="slide" kv="4" ctrlrange="-1 2"/></actuator>
</mujoco>
"""


def changed(gap: Gap) -> mujoco.MjModel:
    model = mujoco.MjModel.from_xml_string(MODEL)
    gap.apply(model)
    return model


def test_no_gap_changes_nothing():
    model, same = mujoco.MjModel.from_xml_string(MODEL), changed(Gap())
    for name in ('geom_friction', 'dof_frictionloss', 'body_mass', 'body_inertia', 'dof_damping',
                 'actuator_gainprm', 'actuator_ctrlrange', 'dof_invweight0'):
        assert np.array_equal(getattr(model, name), getattr(same, name)), name


def test_friction_scales_contacts_and_joint_friction_loss():
    model = changed(Gap(friction=0.5))
    assert model.geom_friction[0, 0] == pytest.approx(0.3)
    assert model.dof_frictionloss[0] == pytest.approx(0.25)


def test_mass_scales_what_is_derived_from_it():
    before, after = changed(Gap()), changed(Gap(mass=2.0))
    assert after.body_mass[1] == pytest.approx(6.0)
    assert after.dof_invweight0[0] == pytest.approx(before.dof_invweight0[0] / 2)


def test_damping_gain_and_bound_scale_their_own_parameter():
    model = changed(Gap(damping=3.0, actuator_gain=0.5, action_bound=0.6))
    assert model.dof_damping[0] == pytest.approx(6.0)
    assert model.actuator_gainprm[0, 0] == pytest.approx(2.0)
    assert model.actuator_biasprm[0, 2] == pytest.approx(-4.0)
    assert model.actuator_ctrlrange[0] == pytest.approx([-0.6, 1.2])


@pytest.mark.parametrize('name', sorted(SHIPPED))
def test_shipped_gaps_load_by_their_name(name):
    assert load_gap(name).name == name


def test_declared_gap_is_the_published_one():
    assert load_gap('declared') == Gap('declared', friction=0.4, mass=2.0, control_rate=0.6,
                                       action_bound=0.6, latency=0.06)


def test_a_mapping_sets_only_the_named_keys():
    assert load_gap('{friction: 0.4, latency: 0.06, seed: 3}') == Gap(
        'custom', friction=0.4, latency=0.06, seed=3)


def test_every_problem_of_a_mapping_is_named():
    with pytest.raises(InvalidFile) as caught:
        load_gap('{fricton: 0.4, mass: heavy, latency: -1, control_rate: 1e9}')
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {'fricton', 'mass', 'latency', 'control_rate'}
    assert 'did you mean friction?' in str(caught.value)


@pytest.mark.parametrize('text', ['declard', '', '[1, 2]', '{friction: 0.4', 'x' * 5000,
                                  '{name: [a], friction: .nan}', '!!python/object:os.system {}'])
def test_text_that_is_no_gap_is_refused(text):
    with pytest.raises(InvalidFile):
        load_gap(text)


ARM = """
<mujoco>
  <worldbody>
    <body name="arm">
      <joint name="turn" type="hinge" axis="0 0 1" armature="1"/>
      <geom name="link" type="capsule" fromto="0 0 0 0.3 0 0" size="0.01"/>
      <geom name="hub" type="sphere" size="0.02"/>
      <geom name="tool" type="sphere" pos="{x} {y} 0" size="0.02"/>
      <replicate count="8" offset="0.03 0 0"><geom size="0.011"/></replicate>
    </body>
    <body name="block" pos="0.38 0.1 0">
      <joint type="slide" axis="1 0 0"/>
      <joint type="slide" axis="0 1 0"/>
      <geom name="left" type="box" size="0.02 0.02 0.02" pos="0 0.02 0"/>
      <geom name="right" type="box" size="0.02 0.02 0.02" pos="0 -0.02 0"/>
      <replicate count="8" offset="0 0 0.03"><geom type="box" size="0.01 0.01 0.01"/></replicate>
    </body>
  </worldbody>
  <actuator><velocity joint="turn" kv="10"/></actuator>
</mujoco>
"""


def swung(model: mujoco.MjModel) -> np.ndarray:
    """Return where everything is after the arm has swung into the block."""
    data = mujoco.MjData(model)
    data.ctrl[0] = 1.0
    mujoco.mj_step(model, data, 500)
    return data.qpos.copy()


def test_a_moved_geom_touches_what_it_would_touch_in_a_model_compiled_so():
    compiled = mujoco.MjModel.from_xml_string(ARM.format(x=0.38, y=0.03))
    nominal = mujoco.MjModel.from_xml_string(ARM.format(x=0.3, y=0.0))
    moved = mujoco.MjModel.from_xml_string(ARM.format(x=0.3, y=0.0))
    Gap(geom_offset=(('tool', (0.08, 0.03, 0.0)),)).apply(moved)
    moved.body_mass, moved.body_inertia = compiled.body_mass, compiled.body_inertia
    moved.body_ipos, moved.body_iquat = compiled.body_ipos, compiled.body_iquat
    mujoco.mj_setConst(moved, mujoco.MjData(moved))
    assert swung(moved) == pytest.approx(swung(compiled), abs=1e-6)
    assert np.abs(swung(nominal) - swung(compiled)).max() > 0.01


def test_a_geom_at_its_body_frame_moves_too():
    moved = mujoco.MjModel.from_xml_string(ARM.format(x=0.3, y=0.0))
    Gap(geom_offset=(('hub', (0.05, 0.0, 0.0)),)).apply(moved)
    data = mujoco.MjData(moved)
    mujoco.mj_forward(moved, data)
    assert data.geom('hub').xpos == pytest.approx([0.05, 0.0, 0.0])


def test_a_geom_offset_is_read_from_yaml_and_can_tell_worlds_apart():
    gap = load_gap('{geom_offset: {box: [0.04, 0.0, 0.0]}}')
    assert gap.geom_offset == (('box', (0.04, 0.0, 0.0)),)
    assert len({gap, Gap('custom')}) == 2


def test_an_offset_of_an_unknown_geom_names_those_that_the_model_has():
    with pytest.raises(InvalidFile, match='geom_offset.peg.*box'):
        changed(Gap(geom_offset=(('peg', (0.1, 0.0, 0.0)),)))


@pytest.mark.parametrize('offset', ['[0.1]', '[0, 0, 20]', 'far', '[.nan, 0, 0]', '{x: 1}'])
def test_an_offset_that_is_no_place_is_refused(offset):
    with pytest.raises(InvalidFile, match='geom_offset.box'):
        load_gap(f'{{geom_offset: {{box: {offset}}}}}')
