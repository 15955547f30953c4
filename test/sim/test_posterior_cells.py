from __future__ import annotations

from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

from made_policies import demonstrator
import numpy as np
import pytest
from robot_rl.cell_folder import Job, run_cell
from robot_rl.data.pusht import import_pusht
from robot_rl.learning.diffusion_policy import decode_demonstrator
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.sim import posterior_cells
from robot_rl.sim.posterior_cells import (chosen, contract_of, covered, demonstrations, FitCell,
                                          HELD_OUT, METHODS, Sampled, scripted, TASKS,
                                          TuneCell, TUNERS)
from robot_rl.sim.trial import Budget
from robot_rl.sim.twin import Twin
from robot_rl.tasks.push_t import score

PUCK, PUSH_T = contract_of('puck_push'), contract_of('push_t')
CELL = FitCell('puck_push', 'postbc', 3, 1, 4)
TUNE = TuneCell(CELL, 'steer', Budget(episodes=1, period=1, measured=2, final=3))


@pytest.fixture(scope='module')
def recorded() -> list:
    """Return a few demonstrations, and as many as are held out."""
    use_threads(1)
    twin = Twin(PUCK)
    few = [scripted(twin, number) for number in range(5)]
    return few + [few[0]] * HELD_OUT


@pytest.fixture
def tiny(monkeypatch) -> None:
    """Make every fit and measurement tiny."""
    for name, config in METHODS.items():
        monkeypatch.setitem(METHODS, name, replace(
            config, updates=2, width=8, member_width=4, ensemble_updates=1, batch=4))
    monkeypatch.setattr(posterior_cells, 'STATES', 6)
    monkeypatch.setattr(posterior_cells, 'SAMPLES', 4)
    for name, value in (('ROUND', {'ensemble': 1, 'policy': 1}), ('LOOK', (2, 2)),
                        ('FINAL', (2, 4))):
        monkeypatch.setattr(f'robot_rl.learning.posterior.{name}', value)


def test_few_demonstrations_of_a_seed_are_the_first_of_more_of_it():
    names = list(range(30))
    few, more = (chosen(names, demos, 3).episodes for demos in (4, 7))
    assert more[:4] == few and len(more) == 7
    assert chosen(names, 4, 4).episodes != few


def test_nothing_learns_from_what_is_held_out():
    every = chosen(list(range(30)), 0, 0)
    assert sorted(every.episodes) == list(range(10))
    assert every.held_out == tuple(range(10, 30))


def test_successes_of_the_scripted_person_are_learned_from(monkeypatch):
    monkeypatch.setattr(posterior_cells, 'RECORDED', 30 - HELD_OUT)
    episodes = demonstrations('puck_push', None)
    assert len(episodes) == 30
    assert all(episode.terminated[-1] for episode in episodes)


def test_recordings_come_again(recorded):
    again = scripted(Twin(PUCK), 0)
    assert all(np.array_equal(*pair) for pair in zip(vars(again).values(),
                                                     vars(recorded[0]).values()))


@pytest.fixture
def pusht_file(tmp_path):
    """Return a file of two people: one who covers the goal at the end, one who does not."""
    goal = [256.0, 256.0, np.pi / 4]
    state = np.array([[50.0, 60.0, 300.0, 256.0, np.pi / 4], [55.0, 60.0, 280.0, 256.0, 0.8],
                      [58.0, 60.0, *goal], [59.0, 60.0, *goal],
                      [50.0, 60.0, 300.0, 256.0, 1.0], [55.0, 60.0, 290.0, 256.0, 1.0]])
    np.savez(tmp_path / 'demos.npz', state=state.astype(np.float32),
             action=(state[:, :2] + 5).astype(np.float32), episode_ends=np.array([4, 6]))
    return tmp_path / 'demos.npz'


def test_people_are_learned_from_up_to_their_success(pusht_file):
    episodes = sorted(demonstrations('push_t', pusht_file), key=len, reverse=True)
    assert [len(episode) for episode in episodes] == [2, 1]
    assert [episode.terminated.tolist() for episode in episodes] == [[0.0, 1.0], [0.0]]
    assert [episode.truncated.tolist() for episode in episodes] == [[0.0, 0.0], [1.0]]
    assert episodes[0].action[0] == pytest.approx([0.055, 0.065])


def test_people_are_seen_as_their_bags_show_them(pusht_file, tmp_path):
    from robot_rl.data.ingest import Ingest, IngestSettings
    import_pusht(pusht_file, tmp_path / 'bags')
    bags = [episode.transitions for episode in Ingest(
        [tmp_path / 'bags'], PUSH_T, IngestSettings(min_steps=1), lambda: False)]
    ours = demonstrations('push_t', pusht_file)
    for one, other in zip(sorted(bags, key=len), sorted(ours, key=len)):
        for name in ('observation', 'action', 'next_observation', 'reward'):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_a_t_that_is_left_as_people_leave_it_is_a_success():
    seen = np.array([0.1, 0.1, 0.260, 0.256, 0.260 - 0.0849, 0.256 + 0.0849])
    assert 0.85 < score(PUSH_T.layout.view(seen)) < 0.95
    assert PUSH_T.is_success(seen) and not PUSH_T.judge(seen, seen[:2], seen)[1]


def test_every_plan_of_a_sampled_policy_is_another(recorded):
    policy = decode_demonstrator(demonstrator(PUCK, [[0.0] * 3] * 3, spread=1.0), PUCK, 'made')
    sampled, seen = Sampled.of(policy), recorded[0].observation[:1]
    assert not np.array_equal(sampled.plans(seen, None), sampled.plans(seen, None))
    assert np.array_equal(policy.plans(seen, None), policy.plans(seen, None))
    assert np.array_equal(*(Sampled.of(policy).plans(seen, None) for _ in range(2)))


def test_regions_hold_the_actions_of_a_policy_itself(monkeypatch, recorded):
    monkeypatch.setattr(posterior_cells, 'STATES', 300)
    data = demonstrator(PUCK, [[0.0] * 3] * 2, replan=1, spread=0.3)
    policy = decode_demonstrator(data, PUCK, 'made')
    rng = np.random.default_rng(0)
    own = [replace(episode, action=policy.plans(episode.observation, rng)[:, 0].astype(np.float32))
           for episode in recorded[:5]]
    assert covered(policy, own) == pytest.approx([0.5, 0.8, 0.9, 0.95], abs=0.07)
    far = [replace(episode, action=episode.action * 0 + 1.4) for episode in recorded[:5]]
    assert covered(policy, far) == [0.0] * 4


def test_a_fit_is_told_and_fine_tuned(tiny, recorded):
    taught = chosen(recorded, CELL.demos, CELL.seed)
    row, artifact = run_cell(Job(CELL, taught))
    assert row['measured'] == 4 and len(row['covered']) == 4 and row['cpu_seconds'] > 0
    assert decode_demonstrator(artifact, PUCK, 'x').manifest['alpha'] == row['alpha']
    found, nothing = run_cell(Job(TUNE, taught, artifact))
    assert [point['episodes'] for point in found['curve']] == [0, 1] and nothing == b''
    assert found['curve'][0]['steps'] == 0 < found['final']['steps'] <= PUCK.episode.horizon


def test_a_clone_is_the_fit_of_the_posterior_without_its_latents(tiny, recorded):
    taught, clone = chosen(recorded, CELL.demos, CELL.seed), replace(CELL, method='bc')
    assert clone.needs == CELL and CELL.needs is None
    row, artifact = run_cell(Job(CELL, taught))
    cloned_row, cloned = run_cell(Job(clone, taught, artifact))
    policies = [decode_demonstrator(data, PUCK, 'x') for data in (artifact, cloned)]
    assert [policy.open_latents for policy in policies] == [len(PUCK.action.layout), 0]
    seen = recorded[0].observation
    assert np.array_equal(*(policy.plans(seen, None) for policy in policies))
    assert cloned_row['alpha'] == 0.0 and cloned_row['successes'] == row['successes']


def test_robot_steps_are_counted_at_the_robot_s_rate(tiny, recorded, monkeypatch):
    taught = chosen(recorded, CELL.demos, CELL.seed)
    _, artifact = run_cell(Job(CELL, taught))
    slow = replace(TASKS['puck_push'], gap=replace(TASKS['puck_push'].gap, control_rate=0.5,
                                                   action_bound=0.01))
    monkeypatch.setitem(TASKS, 'puck_push', slow)
    found, _ = run_cell(Job(TUNE, taught, artifact))
    assert found['final']['steps'] == PUCK.episode.horizon


@pytest.mark.parametrize('method', METHODS)
def test_every_method_is_a_fit_that_can_be_made(method):
    METHODS[method].check()
    like = METHODS['bc_long' if method.endswith('long') else 'bc']      # of the same size
    assert (METHODS[method].updates, METHODS[method].width) == (like.updates, like.width)


@pytest.mark.parametrize('tuner', TUNERS)
def test_every_cell_travels_and_has_a_file_of_its_own(tuner):
    cell = TuneCell(replace(CELL, demos=0), tuner, Budget())
    assert ForkingPickler.loads(ForkingPickler.dumps(Job(cell, None))) == Job(cell, None)
    assert cell.file == f'puck_push_postbc_all_1_{tuner}'
