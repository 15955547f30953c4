"""The twin: deterministic, timed, bounded, and refused where the model lacks a name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from robot_rl.contract import Contract, load_contract
from robot_rl.errors import InvalidFile, UserError
from robot_rl.sim.gap import Gap, load_gap
from robot_rl.sim.twin import Diverged, Twin

CONFIG = Path(__file__).resolve().parents[2] / 'config'
REACH = load_contract(str(CONFIG / 'reach.yaml'))
PUSH = load_contract(str(CONFIG / 'puck_push.yaml'))
FULL = np.array([2.5, 2.5])
PERIOD = 50_000_000     # ns


def with_simulation(contract: Contract, **changes) -> Contract:
    return replace(contract, simulation=replace(contract.simulation, **changes))


def with_model(folder: Path, *edits: tuple[str, str]) -> Contract:
    """Return the reach contract on an edited copy of its model."""
    text = REACH.simulation.model.read_text(encoding='utf-8')
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (folder / 'edited.xml').write_text(text, encoding='utf-8')
    return with_simulation(REACH, model=folder / 'edited.xml')


def rollout(twin: Twin, steps: int = 20) -> np.ndarray:
    rng = np.random.default_rng(5)
    observations = []
    for _ in range(steps):
        twin.step(rng.uniform(-1.0, 1.0, len(twin.contract.action.layout)))
        observations.append(twin.observation())
    return np.array(observations)


def test_same_seed_and_actions_give_the_same_bits():
    gap = replace(load_gap('declared'), observation_noise=0.01)
    assert np.array_equal(rollout(Twin(PUSH, gap, seed=4)), rollout(Twin(PUSH, gap, seed=4)))


def test_another_seed_starts_elsewhere():
    assert not np.array_equal(Twin(PUSH, seed=1).observation(), Twin(PUSH, seed=2).observation())


def test_each_reset_draws_a_new_start_that_does_not_depend_on_what_happened_before():
    moved, still = Twin(PUSH, seed=3), Twin(PUSH, seed=3)
    first = still.observation()
    rollout(moved)
    moved.reset()
    still.reset()
    assert np.array_equal(moved.observation(), still.observation())
    assert not np.array_equal(still.observation(), first)


def test_starts_lie_in_the_range_of_the_contract():
    twin = Twin(REACH)
    starts = []
    for _ in range(50):
        twin.reset()
        starts.append(twin.data.qpos[:2].copy())
    low, high = np.transpose([REACH.simulation.reset[name] for name in ('shoulder', 'elbow')])
    assert (starts >= low).all() and (starts <= high).all()
    assert (np.ptp(starts, axis=0) > 0.5 * (high - low)).all()


def test_time_advances_one_period_per_step_and_per_reset_and_never_goes_back():
    twin = Twin(REACH)
    times = [twin.time_ns]
    twin.step([0.0, 0.0])
    times.append(twin.time_ns)
    twin.reset()
    times.append(twin.time_ns)
    assert np.diff(times).tolist() == [PERIOD, PERIOD]


def test_a_control_period_is_that_much_physics():
    twin = Twin(REACH)
    twin.step([0.0, 0.0])
    assert twin.data.time == pytest.approx(0.05)


def test_slower_control_holds_each_action_longer():
    twin = Twin(REACH, Gap(control_rate=0.6))
    twin.step([0.0, 0.0])
    assert twin.data.time == pytest.approx(0.085)       # 0.0833 s in physics steps of 0.005 s
    assert twin.period_ns == 85_000_000


def test_latency_delays_a_command_by_that_time():
    twin = Twin(REACH, Gap(latency=0.06))
    twin.step(FULL)
    assert twin.data.ctrl.tolist() == [0.0, 0.0]
    assert twin.data.qvel[:2].tolist() == [0.0, 0.0]
    twin.step(-FULL)        # the first command acts from 0.06 s on, the second from 0.11 s
    assert twin.data.ctrl.tolist() == FULL.tolist()
    twin.step(-FULL)
    assert twin.data.ctrl.tolist() == (-FULL).tolist()


def test_reset_forgets_commands_on_their_way():
    twin = Twin(REACH, Gap(latency=0.06))
    twin.step(FULL)
    twin.step(FULL)         # due 0.11 s after its reset, so it would come before the next two
    twin.reset()
    twin.step(-FULL)
    twin.step(-FULL)
    assert twin.data.ctrl.tolist() == (-FULL).tolist()


def test_actions_are_clipped_at_the_range_that_the_gap_leaves():
    twin = Twin(REACH, Gap(action_bound=0.6))
    twin.step([99.0, -99.0])
    assert twin.data.ctrl == pytest.approx([1.5, -1.5])


def test_an_actuator_without_a_range_is_clipped_at_the_contract(tmp_path):
    contract = with_model(tmp_path, ('ctrlrange="-2.5 2.5"', ''))
    twin = Twin(contract, Gap(action_bound=0.5))
    twin.step([99.0, -99.0])
    assert twin.data.ctrl == pytest.approx([1.25, -1.25])


@pytest.mark.parametrize('action', [[np.nan, 0.0], [0.0], [0.0, 0.0, 0.0], [np.inf, 0.0]])
def test_an_action_that_is_not_m_finite_numbers_is_refused(action):
    with pytest.raises(UserError, match='expected 2 finite numbers'):
        Twin(REACH).step(action)


def test_a_diverged_world_says_so_and_works_again_after_a_reset():
    twin = Twin(REACH)
    twin.data.qvel[1] = np.inf
    with pytest.raises(Diverged, match='degree of freedom'):
        twin.step([0.0, 0.0])
    twin.reset()
    twin.step([0.0, 0.0])
    assert np.isfinite(twin.observation()).all()


def test_a_diverging_world_leaves_no_log_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test_a_diverged_world_says_so_and_works_again_after_a_reset()
    assert not list(tmp_path.iterdir())


def test_observation_is_the_state_in_the_order_of_the_contract():
    twin = Twin(REACH)
    twin.step(FULL)
    view = REACH.layout.view(twin.observation())
    assert np.array_equal(view['arm.position'], twin.data.qpos[:2])
    assert np.array_equal(view['arm.velocity'], twin.data.qvel[:2])
    fresh = mujoco.MjData(twin.model)
    fresh.qpos[:] = twin.data.qpos
    mujoco.mj_forward(twin.model, fresh)        # the tip of this state, not of the one before
    assert np.allclose(view['tip'], fresh.site('tip').xpos[:2], rtol=0, atol=1e-12)


def test_noise_changes_positions_only_and_stays_the_same_within_a_tick():
    clean, noisy = Twin(PUSH), Twin(PUSH, Gap(observation_noise=0.01))
    clean_view, view = (PUSH.layout.view(twin.observation()) for twin in (clean, noisy))
    assert np.array_equal(view['arm.velocity'], clean_view['arm.velocity'])
    for entry in ('arm.position', 'tip', 'puck'):
        error = view[entry] - clean_view[entry]
        assert (error != 0).all() and (np.abs(error) < 0.06).all()
    assert np.array_equal(noisy.observation(), view.values)


def test_messages_are_stamped_with_the_time_of_the_world():
    twin = Twin(PUSH)
    for _ in range(30):
        twin.step(np.zeros(3))
    header = twin.messages()['puck'].header
    assert (header.stamp.sec, header.stamp.nanosec) == (1, 550_000_000)
    assert header.frame_id == 'world'


def test_every_name_that_the_model_lacks_is_reported_at_once():
    contract = with_simulation(
        PUSH, observation={'arm': {'joints': ['shoulder', 'elbo', 'wrist']},
                           'tip': {'sight': 'tip'}, 'puck': {'body': 'pluck'}},
        action={**PUSH.simulation.action, 'elbow': 'elbow_torque'}, reset={'puck_w': (0.0, 1.0)})
    with pytest.raises(InvalidFile) as caught:
        Twin(contract)
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ['simulation.observation.arm.joints[1]', 'simulation.observation.tip',
                    'simulation.observation.tip.sight', 'simulation.observation.puck.body',
                    'simulation.action.elbow', 'simulation.reset.puck_w']
    assert ('simulation.observation.puck.body: expected a body of puck_push.xml (world, base, '
            "upper_arm, forearm, hand, puck), found 'pluck'; did you mean puck?"
            ) in str(caught.value)


def test_a_source_without_a_selected_joint_is_refused():
    contract = with_simulation(REACH, observation={'arm': {'joints': ['shoulder']},
                                                   'tip': {'site': 'tip'}})
    with pytest.raises(InvalidFile, match='joint elbow is missing'):
        Twin(contract)


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(InvalidFile, match='simulation.model: expected a MuJoCo model'):
        Twin(with_simulation(REACH, model=tmp_path / 'absent.xml'))


def test_a_broken_model_is_refused(tmp_path):
    contract = with_model(tmp_path, ('<worldbody>', '<wordbody>'))
    with pytest.raises(InvalidFile, match='simulation.model'):
        Twin(contract)


def test_a_contract_without_simulation_is_refused():
    with pytest.raises(InvalidFile, match='simulation: expected a model'):
        Twin(replace(REACH, simulation=None))


def test_a_control_period_that_is_no_whole_number_of_physics_steps_is_refused():
    with pytest.raises(InvalidFile, match='control_rate: expected .* found 30 Hz, 6.66667 steps'):
        Twin(replace(REACH, control_rate=30.0))


def test_geoms_are_the_visible_primitives_where_the_world_has_them():
    twin = Twin(PUSH)
    geoms = {geom.name: geom for geom in twin.geoms()}
    assert 'puck_side' not in geoms         # only for contacts, hidden
    assert {name: geoms[name].ns for name in ('table', 'puck_body', 'pedestal', 'peg')} == {
        'table': 'static', 'puck_body': 'moving', 'pedestal': 'robot', 'peg': 'robot'}
    assert geoms['puck_body'].type == 'cylinder'
    assert np.allclose(geoms['puck_body'].pos, twin.data.body('puck').xpos)
    assert np.allclose(np.linalg.norm(geoms['peg'].quat), 1.0)
    assert geoms['puck_body'].rgba[2] > geoms['puck_body'].rgba[0]      # of its blue material


def test_frames_lead_from_the_world_to_every_body():
    twin = Twin(PUSH, seed=7)
    rollout(twin)
    frames = {child: (parent, pos, quat) for parent, child, pos, quat in twin.frames()}
    assert frames['hand'][0] == 'forearm' and frames['puck'][0] == 'world'
    assert np.allclose(frames['hand'][1], [0.18, 0.0, 0.0])
    wrist = twin.data.joint('wrist').qpos[0]
    assert np.allclose(frames['hand'][2], [0, 0, np.sin(wrist / 2), np.cos(wrist / 2)])
