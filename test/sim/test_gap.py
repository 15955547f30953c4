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
