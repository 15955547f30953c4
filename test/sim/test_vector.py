"""Many worlds at once: the numbers of a Twin, each world on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from robot_rl.contract import Contract, load_contract
from robot_rl.errors import InvalidFile, UserError
from robot_rl.sim.gap import Gap, SHIPPED
from robot_rl.sim.twin import Twin
from robot_rl.sim.vector import LEAST_TASK, NOISE_BLOCK, VectorTwin
from robot_rl.tasks.puck_push import scripted_action

REACH, PUSH = load_contract('reach'), load_contract('puck_push')
SAME_RATE = (Gap(), replace(SHIPPED['mild'], observation_noise=0.0),
             Gap('slippery', friction=0.4, mass=2.0, action_bound=0.6, latency=0.06),
             Gap('late', latency=0.13, actuator_gain=1.5, damping=0.5), Gap('two', latency=0.1))
NOISY = Gap('noisy', observation_noise=0.01)


def actions(contract: Contract, steps: int, worlds: int, hold: int = 10) -> np.ndarray:
    """Draw random actions, beyond the limits too, each held for a while: (steps, worlds, m)."""
    rng = np.random.default_rng(3)
    wide = 1.3 * contract.action.high
    drawn = rng.uniform(-wide, wide, (-(-steps // hold), worlds, len(wide)))
    return np.repeat(drawn, hold, axis=0)[:steps]


def run(vector: VectorTwin, commands: np.ndarray) -> np.ndarray:
    """Return the observations (steps + 1, N, n), the first before any step."""
    seen = [vector.observation()]
    for command in commands:
        vector.step(command)
        seen.append(vector.observation())
    return np.array(seen)


def run_twins(twins: list[Twin], commands: np.ndarray) -> np.ndarray:
    """Return the observations of twins, step by step."""
    seen = [[twin.observation() for twin in twins]]
    for command in commands:
        for twin, action in zip(twins, command):
            twin.step(action)
        seen.append([twin.observation() for twin in twins])
    return np.array(seen)


def pushing(observations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return actions (N, 3) of unsteady hands that push the puck."""
    views = [PUSH.layout.view(observation) for observation in observations]
    return np.array([scripted_action(view, rng) for view in views]) + rng.normal(0.0, 0.3)


@pytest.mark.parametrize('threads', [1, 2])
@pytest.mark.parametrize('gaps', [SAME_RATE, (SHIPPED['declared'],)], ids=['mixed', 'declared'])
def test_every_world_of_reach_observes_what_a_twin_observes(gaps, threads):
    vector = VectorTwin(REACH, len(gaps), gaps, seed=7, threads=threads)
    twins = [Twin(REACH, gap, seed=(7, world)) for world, gap in enumerate(gaps)]
    commands = actions(REACH, 300, len(gaps))
    assert np.abs(run(vector, commands) - run_twins(twins, commands)).max() < 1e-9


@pytest.mark.parametrize('threads', [1, 2])
@pytest.mark.parametrize('gaps', [SAME_RATE, (SHIPPED['declared'],)], ids=['mixed', 'declared'])
def test_every_world_of_puck_push_observes_what_a_twin_observes(gaps, threads):
    vector = VectorTwin(PUSH, len(gaps), gaps, seed=7, threads=threads)
    twins = [Twin(PUSH, gap, seed=(7, world)) for world, gap in enumerate(gaps)]
    rng, commands, seen = np.random.default_rng(2), [], [vector.observation()]
    for _ in range(300):
        commands.append(pushing(vector.observation(), rng))
        vector.step(commands[-1])
        seen.append(vector.observation())
    expected = run_twins(twins, np.array(commands))
    assert np.abs(seen - expected).max() < 1e-9
    assert np.ptp(PUSH.layout.view(expected)['puck'], axis=0).max(axis=-1).min() > 0.05     # m


def test_worlds_start_again_as_a_twin_does():
    vector, twin = VectorTwin(PUSH, 2, seed=5), Twin(PUSH, seed=(5, 1))
    run(vector, actions(PUSH, 3, 2))
    for _ in range(2):
        vector.reset()
        twin.reset()
        assert np.abs(vector.observation()[1] - twin.observation()).max() < 1e-12


def test_an_actuator_without_a_range_is_clipped_at_the_contract(tmp_path):
    text = REACH.simulation.model.read_text(encoding='utf-8')
    (tmp_path / 'free.xml').write_text(text.replace('ctrlrange="-2.5 2.5"', ''), encoding='utf-8')
    contract = replace(REACH, simulation=replace(REACH.simulation, model=tmp_path / 'free.xml'))
    gap = Gap(action_bound=0.5)
    vector, twin = VectorTwin(contract, 1, [gap]), Twin(contract, gap, seed=(0, 0))
    commands = np.full((10, 1, 2), 99.0)
    assert np.abs(run(vector, commands) - run_twins([twin], commands)).max() < 1e-9


def test_a_world_does_not_depend_on_the_worlds_beside_it():
    commands = actions(PUSH, NOISE_BLOCK + 5, 3)
    few = run(VectorTwin(PUSH, 2, [NOISY], seed=4), commands[:, :2])
    many = run(VectorTwin(PUSH, 3, [NOISY], seed=4, threads=2), commands)
    assert np.array_equal(few, many[:, :2])


@pytest.mark.parametrize('worlds', [1, LEAST_TASK, 2 * LEAST_TASK + 1, 5 * LEAST_TASK])
def test_how_worlds_are_shared_out_to_threads_changes_nothing(worlds):
    commands = actions(REACH, 3, worlds)
    alone, shared = (run(VectorTwin(REACH, worlds, threads=threads), commands)
                     for threads in (1, 2))
    assert np.array_equal(alone, shared)


def test_reset_of_one_world_leaves_the_others_alone():
    commands = actions(PUSH, 20, 2)
    whole, part = (VectorTwin(PUSH, 2, [replace(NOISY, latency=0.06)]) for _ in range(2))
    expected = run(whole, commands)
    run(part, commands[:10])
    before = part.observation()
    part.reset(np.array([True, False]))
    assert np.array_equal(part.observation()[1], before[1])
    assert not np.array_equal(part.observation()[0], before[0])
    assert np.array_equal(run(part, commands[10:])[:, 1], expected[10:, 1])
    assert part.resets.tolist() == [2, 1]


def test_reset_forgets_commands_on_their_way():
    vector = VectorTwin(REACH, 1, [Gap(latency=0.06)])
    vector.step([[2.5, 2.5]])
    vector.reset()
    vector.step([[-2.5, -2.5]])
    assert REACH.layout.view(vector.observation())['arm.velocity'].tolist() == [[0.0, 0.0]]


def test_each_world_and_each_reset_has_its_own_start_in_the_range_of_the_contract():
    vector = VectorTwin(REACH, 8)
    starts = []
    for _ in range(5):
        starts.append(REACH.layout.view(vector.observation())['arm.position'])
        vector.reset()
    starts = np.concatenate(starts)
    assert len(np.unique(starts[:, 0])) == len(starts)
    low, high = np.transpose([REACH.simulation.reset[name] for name in ('shoulder', 'elbow')])
    assert (starts >= low).all() and (starts <= high).all()


def test_noise_changes_positions_only_by_as_much_as_the_gap_says():
    commands = actions(REACH, 3 * NOISE_BLOCK, 4)
    clean, noisy = (run(VectorTwin(REACH, 4, [gap]), commands) for gap in (Gap(), NOISY))
    error = REACH.layout.view(noisy - clean)
    assert not error['arm.velocity'].any()
    for entry in ('arm.position', 'tip'):
        assert error[entry].std() == pytest.approx(0.01, rel=0.1)
        assert len(np.unique(error[entry].round(12))) > 0.99 * error[entry].size


def test_noise_is_drawn_only_where_the_gap_asks_for_it():
    commands = actions(REACH, 5, 2)
    clean, mixed = (run(VectorTwin(REACH, 2, gaps), commands) for gaps in ([Gap()],
                                                                           [Gap(), NOISY]))
    assert np.array_equal(clean[:, 0], mixed[:, 0])
    assert not np.array_equal(clean[:, 1], mixed[:, 1])


def test_an_observation_stays_the_same_within_a_tick_and_belongs_to_the_caller():
    vector = VectorTwin(REACH, 2, [NOISY])
    first = vector.observation()
    first_copy = first.copy()
    first += 1.0
    assert np.array_equal(vector.observation(), first_copy)


@pytest.mark.parametrize('threads', [1, 2])
def test_a_diverged_world_is_reported_and_harms_no_other(threads, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = actions(PUSH, 20, 4)
    expected = run(VectorTwin(PUSH, 4), commands)
    vector = VectorTwin(PUSH, 4, threads=threads)
    run(vector, commands[:10])
    vector.state[1, -1] = np.inf
    seen = run(vector, commands[10:])
    assert vector.diverged.tolist() == [False, True, False, False]
    assert np.array_equal(seen[:, [0, 2, 3]], expected[10:][:, [0, 2, 3]])
    assert (seen[:, 1] == expected[10, 1]).all()        # it stands still, and is finite
    assert not list(tmp_path.iterdir())                 # no log file of MuJoCo


def test_a_diverged_world_works_again_after_a_reset():
    vector = VectorTwin(PUSH, 2)
    vector.state[1, -1] = np.inf
    run(vector, actions(PUSH, 3, 2))
    vector.reset(vector.diverged)
    assert not vector.diverged.any()
    seen = run(vector, actions(PUSH, 3, 2))[:, 1]
    twin = Twin(PUSH, seed=(0, 1))
    twin.reset()
    assert np.abs(seen - run_twins([twin], actions(PUSH, 3, 2)[:, 1:])[:, 0]).max() < 1e-9


def test_gaps_of_different_control_periods_are_refused():
    with pytest.raises(UserError, match='one control period .* none 0.05 s, declared 0.085 s'):
        VectorTwin(REACH, 2, [Gap(), SHIPPED['declared']])


@pytest.mark.parametrize('worlds, gaps, threads', [(0, 1, 1), (3, 2, 1), (2, 0, 1), (1, 1, 0)])
def test_counts_that_do_not_fit_are_refused(worlds, gaps, threads):
    with pytest.raises(UserError, match=f'found worlds {worlds}, threads {threads}, {gaps} gaps'):
        VectorTwin(REACH, worlds, [Gap()] * gaps, threads=threads)


@pytest.mark.parametrize('command, expected', [
    ([[0.0, 0.0]], 'shape'), ([[0.0, 0.0], [np.nan, 0.0]], 'for world 1'),
    ([[np.inf, 0.0], [0.0, 0.0]], 'for world 0')])
def test_actions_that_are_not_finite_numbers_for_every_world_are_refused(command, expected):
    vector = VectorTwin(REACH, 2)
    before = vector.state.copy()
    with pytest.raises(UserError, match=expected):
        vector.step(command)
    vector.step(np.zeros((2, 2)))
    untouched = VectorTwin(REACH, 2)
    untouched.step(np.zeros((2, 2)))
    assert np.array_equal(vector.state, untouched.state) and not np.array_equal(vector.state,
                                                                                before)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(UserError, match='mask of 2'):
        VectorTwin(REACH, 2).reset(np.ones(3, bool))


def test_what_a_twin_refuses_is_refused():
    simulation = replace(REACH.simulation, action={'shoulder': 'shoulder_torque',
                                                   'elbow': 'elbow_velocity'})
    with pytest.raises(InvalidFile, match='did you mean shoulder_velocity?'):
        VectorTwin(replace(REACH, simulation=simulation), 2)
