"""Show what a policy does: run episodes in a twin and write them as an animated GIF.

The episodes run in this process and only their joint positions are kept; a child process draws
them, because MuJoCo chooses its graphics backend when it is imported and a broken driver must not
take the caller down.
"""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import subprocess
import sys
import tempfile

import mujoco
import numpy as np
from robot_rl.contract import Contract
from robot_rl.sim.gap import Gap
from robot_rl.sim.twin import Diverged, Twin

BACKENDS = ('egl', 'osmesa')        # graphics card or driver without a screen, then software
WIDTH, HEIGHT = 400, 300
CAMERA = 'main'                     # used where the model has it
MAX_FRAMES = 200
MAX_RATE = 20.0                     # frames per second
COLORS = 192                        # of the palette that all frames share: keeps the file small
PAUSE_MS = 800                      # on the last frame of each episode
TIMEOUT = 180.0                     # s for one backend


def render_episode(contract: Contract, gap: Gap, begin: Callable[[], Callable], path: Path,
                   seed: int, episodes: int = 2) -> str:
    """Write a GIF of a policy; return '' or why there is none.

    `begin()` is called for each episode and returns `act(observation (n,)) -> action (m,)`.
    """
    poses, ends, period = _record(Twin(contract, gap, seed), begin, episodes)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / 'poses.npz'
        np.savez(recording, model=str(contract.simulation.model), poses=poses, ends=ends,
                 period=period)
        for backend in BACKENDS:
            reason = _draw_in_child(recording, path, backend)
            if not reason:
                return ''
            reasons.append(f'{backend}: {reason}')
    return 'no picture could be drawn; ' + '; '.join(reasons)


def _record(twin: Twin, begin: Callable[[], Callable], episodes: int):
    """Return joint positions (frames, nq), whether each ends an episode, and seconds between."""
    poses, ends = [], []
    for _ in range(episodes):
        twin.reset()
        act = begin()
        episode = [twin.data.qpos.copy()]
        for _ in range(twin.contract.episode.horizon):
            observation = twin.observation()
            action = act(observation)
            try:
                twin.step(action)
            except Diverged:
                break
            episode.append(twin.data.qpos.copy())
            if twin.contract.judge(observation, action, twin.observation())[1]:
                break
        poses += episode
        ends += [False] * (len(episode) - 1) + [True]
    period = twin.period_ns * 1e-9
    stride = max(1, -(-len(poses) // MAX_FRAMES), round(1.0 / (MAX_RATE * period)))
    kept = [index for index, end in enumerate(ends) if end or index % stride == 0]
    return np.array(poses)[kept], np.array(ends)[kept], stride * period


def _draw_in_child(recording: Path, path: Path, backend: str) -> str:
    """Run this module as a program under one backend; return '' or the last line of its error."""
    environment = {**os.environ, 'MUJOCO_GL': backend, 'PYTHONPATH': os.pathsep.join(sys.path)}
    try:
        child = subprocess.run(
            [sys.executable, '-P', '-m', 'robot_rl.sim.render', str(recording), str(path)],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if child.returncode == 0:
        return ''
    lines = child.stderr.strip().splitlines()
    return lines[-1] if lines else f'ended with status {child.returncode}'


def draw(recording: Path, path: Path) -> None:
    """Draw a recording of poses as a GIF; runs in the child process."""
    from PIL import Image       # only drawing needs pillow

    with np.load(recording) as data:
        model = mujoco.MjModel.from_xml_path(str(data['model']))
        poses, ends, period = data['poses'], data['ends'], float(data['period'])
    state = mujoco.MjData(model)
    cameras = [model.camera(index).name for index in range(model.ncam)]
    camera = CAMERA if CAMERA in cameras else -1        # -1: the free camera
    pictures = []
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        for pose in poses:
            state.qpos[:] = pose
            mujoco.mj_forward(model, state)
            renderer.update_scene(state, camera)
            pictures.append(Image.fromarray(renderer.render()))
    palette = pictures[0].quantize(COLORS, Image.Quantize.MAXCOVERAGE)  # keeps rare colors
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE)
                for picture in pictures]
    frame_ms = round(period * 100) * 10         # a GIF counts in hundredths of a second
    part = path.with_name(path.name + '.part')
    pictures[0].save(part, format='GIF', save_all=True, append_images=pictures[1:], loop=0,
                     duration=[frame_ms + PAUSE_MS * bool(end) for end in ends], disposal=1)
    with part.open('rb+') as stream:
        os.fsync(stream.fileno())
    part.replace(path)


if __name__ == '__main__':
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
