"""Pictures of episodes: a bounded GIF, or a reason why there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.sim import render
from robot_rl.sim.gap import Gap
from robot_rl.sim.twin import Twin
from robot_rl.tasks import reach

REACH = load_contract(str(Path(__file__).resolve().parents[2] / 'config' / 'reach.yaml'))


def still():
    return lambda observation: np.zeros(2)


def short(horizon: int):
    return replace(REACH, episode=replace(REACH.episode, horizon=horizon))


def test_an_episode_becomes_an_animated_gif(tmp_path):
    image = pytest.importorskip('PIL.Image')
    path = tmp_path / 'new' / 'reach.gif'
    reason = render.render_episode(short(4), Gap(), lambda: lambda _: np.ones(2),
                                   path, seed=0, episodes=1)
    if reason:
        pytest.skip(reason)
    with image.open(path) as picture:
        assert (picture.n_frames, picture.size) == (5, (render.WIDTH, render.HEIGHT))
        assert len(picture.convert('RGB').getcolors(1 << 20)) > 20      # not one flat color
    assert [entry.name for entry in path.parent.iterdir()] == ['reach.gif']


def test_no_backend_gives_the_reason_and_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(render, 'BACKENDS', ('nonsense',))
    path = tmp_path / 'reach.gif'
    reason = render.render_episode(short(2), Gap(), still, path, seed=0, episodes=1)
    assert 'nonsense' in reason and not path.exists()


def test_long_runs_are_thinned_to_a_bounded_number_of_frames():
    poses, ends, seconds = render._record(Twin(short(700)), still, 2)
    assert render.MAX_FRAMES / 2 < len(poses) <= render.MAX_FRAMES + 2
    assert ends.sum() == 2 and ends[-1]
    assert seconds == pytest.approx(8 * 0.05)


def test_a_finished_episode_ends_its_recording():
    rng = np.random.default_rng(0)
    poses, ends, _ = render._record(Twin(REACH), lambda: lambda values: reach.scripted_action(
        REACH.layout.view(values), rng), 1)
    assert len(poses) < REACH.episode.horizon and ends[-1]
