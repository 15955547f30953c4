"""What the benchmark runs, keeps and claims; its cells on worlds that are tiny."""

from __future__ import annotations

from dataclasses import replace
import json
import sys
from types import SimpleNamespace

from benchmark_files import FOLDER, load
from made_policies import explorers
import numpy as np
import pytest
from robot_rl import cell_folder
from robot_rl.installed import VARIABLE
from robot_rl.learning.policy import RandomPolicy

sys.path.insert(0, str(FOLDER))
cells = load('sample_efficiency_cells')
sys.modules['sample_efficiency_cells'] = cells
benchmark = load('sample_efficiency')
sys.path.remove(str(FOLDER))


@pytest.fixture(autouse=True)
def found(monkeypatch):
    """Let contracts find the functions that they name."""
    monkeypatch.setenv(VARIABLE, str(FOLDER))
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def ran(monkeypatch) -> list:
    """Make cells up; return them as they run."""
    done = []

    def inline(function, jobs, workers, engine, then):
        for job in jobs:
            done.append(job.cell)
            row = {'curve': [[job.cell.steps, 100.0 * job.cell.seed + 600.0]],
                   'wall_seconds': 1.0, 'cpu_seconds': 1.0}
            yield job, (row, b'')

    monkeypatch.setattr(cell_folder, 'run_cells', inline)
    return done


class World:
    """A gymnasium environment of 3 numbers and 2 motors that ends after so many steps."""

    def __init__(self, most: int, terminates: bool):
        self.observation_space = SimpleNamespace(shape=(3,))
        limits = np.full(2, 0.5, np.float32)
        self.action_space = SimpleNamespace(low=-limits, high=limits)
        self.spec = SimpleNamespace(max_episode_steps=most)
        self.unwrapped = SimpleNamespace(dt=0.05)
        self.most, self.terminates, self.seeds = most, terminates, []

    def reset(self, seed=None):
        self.seeds.append(seed)
        self.step_number = 0
        return np.zeros(3), {}

    def step(self, action):
        assert np.abs(action).max() <= 0.5
        self.step_number += 1
        over = self.step_number == self.most
        return (np.full(3, float(self.step_number)), 2.0, over and self.terminates,
                over and not self.terminates, {})


def random_policy() -> RandomPolicy:
    return RandomPolicy(np.full(2, -0.5), np.full(2, 0.5))


def test_all_is_run_once_three_seeds_and_five_of_the_sparse_task(tmp_path, ran):
    assert benchmark.main(['--run-dir', str(tmp_path)]) == 1        # 700 is less than 2800
    assert len(ran) == 3 * 4 * 3 + 5 * 2
    assert {cell.seed for cell in ran if cell.task != benchmark.CARTPOLE} == {0, 1, 2}
    benchmark.main(['--run-dir', str(tmp_path)])
    assert len(ran) == 46


def test_claims_are_of_what_is_there(tmp_path, ran):
    asked = ['--run-dir', str(tmp_path), '--sides']
    assert benchmark.main([*asked, 'default', 'stable-baselines3']) == 0    # all alike
    assert benchmark.main([*asked, 'alone']) == 0
    file = tmp_path / 'sample_efficiency.json'
    assert json.loads(file.read_text())['claims'] == []
    assert file.with_suffix('.png').read_bytes()[1:4] == b'PNG'


def test_the_sparse_task_counts_seeds(tmp_path, ran):
    benchmark.main(['--run-dir', str(tmp_path), '--sides', 'explorers'])
    claim, = json.loads((tmp_path / 'sample_efficiency.json').read_text())['claims']
    assert (claim['value'], claim['holds']) == (4, False)           # the first one has 600


def test_a_run_folder_of_other_steps_is_refused(tmp_path, ran, capsys):
    benchmark.main(['--run-dir', str(tmp_path), '--sides', 'alone'])
    assert benchmark.main(['--run-dir', str(tmp_path), '--sides', 'alone', '--steps',
                           '5000']) == 2
    assert 'steps: not that of this run' in capsys.readouterr().err


def test_an_episode_that_ends_is_no_truncation_and_the_other_way_round():
    for terminates in (True, False):
        episode = cells.gym_episode(World(4, terminates), random_policy(),
                                    np.random.default_rng(0), 10, 3)
        assert episode.terminated.tolist() == [0, 0, 0, terminates]
        assert episode.truncated.tolist() == [0, 0, 0, not terminates]
        assert episode.observation[:, 0].tolist() == [0, 1, 2, 3]
        assert episode.next_observation[:, 0].tolist() == [1, 2, 3, 4]


def test_the_last_episode_is_cut_where_the_steps_are_spent():
    episode = cells.gym_episode(World(9, True), random_policy(), np.random.default_rng(0), 5, 3)
    assert len(episode) == 5 and episode.truncated[-1] == 1.0 and not episode.terminated.any()


@pytest.mark.parametrize('side', ['default', 'wide'])
def test_our_learner_takes_so_many_steps_and_is_measured_on_the_way(monkeypatch, side):
    monkeypatch.setattr(cells, 'world', lambda task: World(20, True))
    monkeypatch.setattr(cells, 'MEASURED', 2)
    monkeypatch.setitem(cells.SIDES, side, small(side))
    curve = cells.Cell('Hopper-v5', side, 1, 70, 40).curve()
    assert curve == [(40, 40.0), (70, 40.0)]        # 2 for each of an episode's 20 steps


def test_without_gymnasium_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gymnasium', None)
    with pytest.raises(cells.UserError, match="pip install '.\\[bench\\]'"):
        cells.world('Hopper-v5')


def test_the_first_episodes_on_the_sparse_task_are_the_explorers(monkeypatch):
    cast, names = [], []
    monkeypatch.setattr(cells, 'MEASURED', 1)
    monkeypatch.setattr(cells, 'EXPLORED', 2)
    monkeypatch.setattr(cells, 'explorers', lambda contract, seed: explorers(contract, [0.5]))
    monkeypatch.setitem(cells.SIDES, 'explorers', small('explorers', utd_ratio=0.005))
    original = cells.Casting.cast

    def noted(self, *arguments):
        names.append(arguments[0])
        mode, policy = original(self, *arguments)
        cast.append(mode.name)
        return mode, policy

    monkeypatch.setattr(cells.Casting, 'cast', noted)
    (steps, value), = cells.Cell(cells.CARTPOLE, 'explorers', 0, 3000, 3000).curve()
    assert names == ['explore', 'explore', 'learn'] and cast[:2] == ['EXPLORE'] * 2
    assert steps == 3000 and 0.0 <= value <= 1000.0


@pytest.mark.parametrize(('position', 'height', 'paid'), [
    (0.0, 1.0, 1.0), (0.3, 1.0, 0.0), (0.0, 0.99, 0.0), (-0.2, 0.999, 1.0)])
def test_the_sparse_reward_pays_for_a_pole_that_stands_over_the_middle(position, height, paid):
    contract = cells.load_contract(str(cells.CONTRACT))
    seen = np.array([position, 0.0, 0.0, position, height])
    reward, terminated = contract.judge(seen, np.zeros(1), seen)
    assert (reward, terminated) == (paid, False)
    shaped, found = contract.in_simulation.judge(seen, np.zeros(1), seen)
    assert found == paid and (shaped == 1.0 if found else -1.0 <= shaped < 0.0)


def small(side: str, **changes) -> cells.Side:
    """Return the side as it learns in no time: a narrow one that compiles nothing."""
    whole = cells.SIDES[side]
    return cells.Side(replace(whole.sac, width=8), replace(
        whole.learner, compiled=False, start_transitions=20, **changes))
