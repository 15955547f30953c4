from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.learning.config import ExplorerConfig, SacConfig
from robot_rl.learning.explorer_learner import use_threads
from robot_rl.priority import AUTOGROUP, NICENESS
from robot_rl.sim.explorer_options import child_command
from robot_rl.sim.explorer_run import EXPLORERS, read_result, run_identity
from robot_rl.sim.explorer_settings import TrainSettings
from robot_rl.sim.train_explorers import train_explorers
from robot_rl.training_process import MAX_LINE, RESTARTS, TAIL, TrainingProcess, TrainingState
from robot_rl.training_run import alone_in

REACH = load_contract('reach')
SMALL = TrainSettings(steps=2400, updates=640, explorers=4, worlds=3, threads=1, batch=32, seed=1,
                      diversity=ExplorerConfig(latents=2),
                      sac=SacConfig(width=32, learning_rate=3e-3))
LONG = replace(SMALL, steps=300_000, updates=40_000)
PATIENCE = 30.0     # s, far more than anything here takes


@pytest.fixture(autouse=True)
def packages(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parents[1]))


@pytest.fixture
def process():
    process = TrainingProcess()
    yield process
    process.close()


def wait(process: TrainingProcess, condition: Callable[[TrainingState], object]) -> TrainingState:
    """Look at the process until a condition of its state holds; return the state."""
    deadline = time.monotonic() + PATIENCE
    while not condition(state := process.poll()):
        assert time.monotonic() < deadline, state
        time.sleep(0.002)
    return state


def ended(state: TrainingState) -> bool:
    return state.phase not in ('training', 'cancelling')


def child(script: str) -> list[str]:
    """Return the command of a stand-in for the training, with a function `say`."""
    return [sys.executable, '-IS', '-c', 'import json, os, signal, sys\n'
            'def say(**said): print(json.dumps(said), flush=True)\n' + script]


def training(folder: Path, settings: TrainSettings = SMALL) -> list[str]:
    return child_command(REACH.file, folder, settings, ['none'])


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory) -> bytes:
    use_threads(1)
    folder = tmp_path_factory.mktemp('undisturbed')
    return train_explorers(REACH, SMALL, [].append, lambda: False, folder).explorers


def test_nothing_goes_on_at_first(process):
    assert process.poll() == TrainingState('idle') and process.pid is None
    process.cancel()
    assert process.poll().phase == 'idle'


def test_a_training_shows_its_rounds_and_leaves_its_result(process, undisturbed, tmp_path):
    process.start(training(tmp_path))
    seen = []
    state = wait(process, lambda state: seen.append(state) or ended(state))
    percents = [state.progress['percent'] for state in seen if 'percent' in state.progress]
    assert percents == sorted(percents) and set(percents) <= {12.5 * part for part in range(9)}
    assert (state.phase, state.restarts, state.reason) == ('done', 0, '')
    result = read_result(tmp_path, REACH, run_identity(REACH, SMALL))
    assert result.explorers == undisturbed and state.progress == result.summary
    assert process.pid is None


def test_a_child_that_is_killed_is_started_again_and_goes_on_to_the_same_bits(
        process, undisturbed, tmp_path):
    process.start(training(tmp_path))
    wait(process, lambda state: state.progress.get('round', 0) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    state = wait(process, lambda state: state.restarts)
    assert 'killed by SIGKILL (by hand, or the system ran out of memory)' in state.reason
    assert state.phase == 'training' and state.progress['round'] >= 2
    state = wait(process, ended)
    assert (state.phase, state.restarts) == ('done', 1)
    assert (tmp_path / EXPLORERS).read_bytes() == undisturbed


def test_a_child_that_dies_again_and_again_without_a_round_is_given_up(process):
    process.start(child('print("first\\n  the end is near \\n", file=sys.stderr)\n'
                        'os.kill(os.getpid(), signal.SIGSEGV)'))
    state = wait(process, ended)
    assert (state.phase, state.restarts) == ('failed', RESTARTS)
    assert state.reason == ('the training process was killed by SIGSEGV, 4 times without a new '
                            'round between; last words: the end is near')


def test_a_round_in_between_gives_a_dying_child_new_chances(process, tmp_path):
    (tmp_path / 'lives').write_text('')
    process.start(child(
        f'file = open({str(tmp_path / "lives")!r}, "r+")\n'
        'lives = len(file.read())\n'
        'file.write("x")\n'
        'file.close()\n'
        'if lives % 2: say(state="training", round=lives)\n'
        f'if lives > {2 * RESTARTS}: say(state="done", lives=lives)\n'
        'else: os.kill(os.getpid(), signal.SIGKILL)'))
    state = wait(process, ended)
    assert (state.phase, state.restarts, state.progress) == (
        'done', 2 * RESTARTS + 1, {'lives': 2 * RESTARTS + 1})


def test_preparing_is_shown_but_gives_no_new_chances(process):
    process.start(child('say(state="preparing", episodes=3)\n'
                        'os.kill(os.getpid(), signal.SIGKILL)'))
    assert wait(process, lambda state: state.progress).progress == {'episodes': 3}
    assert wait(process, ended).restarts == RESTARTS


def test_bad_input_is_told_and_not_tried_again(process, tmp_path):
    process.start(training(tmp_path, replace(SMALL, steps=0)))
    state = wait(process, ended)
    assert (state.phase, state.restarts) == ('failed', 0)
    assert state.reason == 'explorers: steps: expected two rounds of 300 or more, found 0'


def test_an_error_in_the_program_is_told_by_its_last_line(process):
    process.start(child('raise MemoryError("no room for 9 GB")'))
    state = wait(process, ended)
    assert (state.phase, state.restarts) == ('failed', 0)
    assert state.reason == 'exit code 1: MemoryError: no room for 9 GB'


def test_a_child_that_ends_without_a_word_has_failed(process):
    process.start(child(''))
    assert wait(process, ended).reason == 'exit code 0: none'


def test_a_child_that_somebody_else_tells_to_end_is_started_again(process, tmp_path):
    process.start(training(tmp_path, LONG))
    wait(process, lambda state: state.progress)
    os.kill(process.pid, signal.SIGTERM)
    state = wait(process, lambda state: state.restarts)
    assert (state.phase, state.reason) == ('training', 'the training process was told to end')


def test_a_cancelled_training_keeps_its_rounds_and_goes_on_later(process, undisturbed, tmp_path):
    process.start(training(tmp_path))
    wait(process, lambda state: state.progress.get('round', 0) >= 2)
    process.cancel()
    assert process.state.phase == 'cancelling'
    state = wait(process, ended)
    assert (state.phase, state.reason) == ('cancelled', '')
    assert not (tmp_path / EXPLORERS).exists() and len(list(tmp_path.glob('round_*'))) >= 2
    process.start(training(tmp_path))
    assert process.state == TrainingState('training')
    state = wait(process, lambda state: state.progress)
    assert state.progress['round'] >= 3
    assert wait(process, ended).phase == 'done'
    assert (tmp_path / EXPLORERS).read_bytes() == undisturbed


def test_a_child_that_will_not_end_is_killed_after_the_grace():
    now = [0.0]
    process = TrainingProcess(grace=5.0, clock=lambda: now[0])
    process.start(child('signal.signal(signal.SIGTERM, lambda *_: say(state="training", told=1))\n'
                        'say(state="training", told=0)\nwhile True: signal.pause()'))
    wait(process, lambda state: state.progress)
    process.cancel()
    wait(process, lambda state: state.progress['told'])
    now[0] = 4.9
    pid = process.pid
    assert process.poll().phase == 'cancelling' and process.pid == pid
    now[0] = 5.1
    assert wait(process, ended).phase == 'cancelled'


def test_a_cancel_before_the_child_is_up_works(process, tmp_path):
    process.start(training(tmp_path, LONG))
    process.cancel()
    assert wait(process, ended).phase == 'cancelled'


def test_a_cancel_that_comes_too_late_changes_nothing(process):
    process.start(child('signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n'
                        'say(state="training", round=9)\nsignal.sigwait([signal.SIGTERM])\n'
                        'say(state="done", pool=3)'))
    wait(process, lambda state: state.progress)
    process.cancel()
    state = wait(process, ended)
    assert (state.phase, state.progress) == ('done', {'pool': 3})


@pytest.mark.parametrize('noise', ['hello', '3', '[1]', '{', '"state"', '{"round": 4}', 'null'])
def test_what_the_task_prints_is_passed_over(process, noise):
    process.start(child(f'print({noise!r})\nsay(state="training", round=1)\nprint({noise!r})\n'
                        'say(state="done", pool=1)'))
    assert wait(process, ended) == TrainingState('done', {'pool': 1})


def test_what_a_child_says_without_end_is_not_kept(process):
    process.start(child('for _ in range(64):\n    print("x" * 65536, end="", flush=True)\n'
                        '    print("y" * 65536, end="", flush=True, file=sys.stderr)\n'
                        'print("\\nlast", file=sys.stderr)\nsys.exit(7)'))
    longest = []
    state = wait(process, lambda state: longest.append(
        (len(process._rest), len(process._errors))) or ended(state))
    assert state.reason == 'exit code 7: last'
    assert max(rest for rest, _ in longest) <= MAX_LINE
    assert max(errors for _, errors in longest) <= TAIL


def test_a_program_that_is_not_there_is_a_failure(process):
    process.start(['/nowhere/python'])
    assert process.poll().phase == 'failed'
    assert process.state.reason.startswith('cannot start: ')


def test_two_trainings_at_once_are_refused(process):
    process.start(child('signal.pause()'))
    with pytest.raises(ValueError, match='expected no training'):
        process.start(child(''))


def test_closing_leaves_no_child(process):
    process.start(child('signal.pause()'))
    pid = process.pid
    process.close()
    assert process.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_child_lets_the_twin_go_first(process, tmp_path):
    process.start(training(tmp_path, LONG))
    wait(process, lambda state: state.progress)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(
        19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    group = Path('/proc', str(process.pid), AUTOGROUP.name)     # it leads a session of its own
    assert not AUTOGROUP.is_file() or group.read_text().endswith(f' nice {NICENESS}\n')


def test_a_child_ends_with_its_parent_that_was_killed(tmp_path):
    script = ('import sys\nfrom robot_rl.training_process import TrainingProcess\n'
              'process = TrainingProcess()\nprocess.start(sys.argv[1:])\n'
              'while not process.poll().progress: pass\n'
              'print("round", flush=True)\nsys.stdin.read()')
    parent = subprocess.Popen([sys.executable, '-c', script, *training(tmp_path, LONG)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == 'round\n'
    with pytest.raises(UserError, match='another process trains in this folder'):
        with alone_in(tmp_path, patience=0.0):
            pass
    parent.kill()
    parent.communicate()
    with alone_in(tmp_path, patience=PATIENCE):     # free: the child is gone
        pass
