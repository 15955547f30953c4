"""Which code a contract may name: what is installed, and what the user allows."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest
from robot_rl import installed
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile
from robot_rl.paths import contract_path

ROOT = Path(__file__).parents[1]
REWARD = 'robot_rl.tasks.reach:shaped_reward'
TASK = """\
from pathlib import Path
Path(__file__).with_name('ran').touch()

def reward(observation, action, next_observation):
    return observation['tip.point.x'], observation['tip.point.x'] > 1.0
"""


@pytest.fixture(autouse=True)
def own_imports(monkeypatch):
    """Give back sys.path and sys.modules as they were."""
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.delenv(installed.VARIABLE, raising=False)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(('stray', 'installed_task')):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a module that tells by a file `ran` that it was run."""
    folder = tmp_path / 'found'
    folder.mkdir()
    (folder / 'stray_task.py').write_text(TASK)
    return folder


@pytest.fixture
def contract(tmp_path):
    """Write a contract of another folder whose reward has this name; return its file."""
    def write(name: str = 'stray_task:reward', where: Path = tmp_path) -> Path:
        text = contract_path('reach').read_text()
        assert REWARD in text
        (where / 'mine.yaml').write_text(text.replace(REWARD, name))
        return where / 'mine.yaml'
    return write


def refusal(file: Path) -> str:
    with pytest.raises(InvalidFile) as caught:
        load_contract(str(file))
    return str(caught.value)


@pytest.mark.parametrize('entry', ['', '.', 'absolute', 'a link'])
def test_a_module_of_the_working_directory_is_refused_and_not_run(folder, contract, entry,
                                                                  tmp_path, monkeypatch):
    (tmp_path / 'link').symlink_to(folder)
    entry = {'absolute': str(folder), 'a link': str(tmp_path / 'link')}.get(entry, entry)
    monkeypatch.chdir(folder)
    sys.path.insert(0, entry)
    assert refusal(contract()) == (
        f'{tmp_path / "mine.yaml"}: reward: expected a module stray_task of an installed package, '
        f'found stray_task in {folder}, which is no installed package; install it, or allow its '
        f'folder: ROBOT_RL_FUNCTIONS={folder}')
    assert not (folder / 'ran').exists()


def test_a_module_that_is_nowhere_may_be_of_a_folder_that_is_allowed(contract):
    printed = refusal(contract('absent_task:reward'))
    assert 'an importable module absent_task, found ModuleNotFoundError: No module' in printed
    assert 'allow the folder that does: ROBOT_RL_FUNCTIONS=/folder, or correct' in printed


def test_a_function_that_is_nearly_named_is_suggested(contract):
    printed = refusal(contract(REWARD.replace('shaped', 'shapde')))
    assert printed.endswith("found 'shapde_reward'; did you mean shaped_reward?")


def test_a_module_beside_the_contract_is_refused_and_not_run(folder, contract):
    sys.path.insert(0, str(folder))
    assert f'found stray_task in {folder}' in refusal(contract(where=folder))
    assert not (folder / 'ran').exists()


def test_a_module_of_a_package_of_the_working_directory_is_refused(folder, contract, monkeypatch):
    (folder / 'stray' / 'deep').mkdir(parents=True)
    (folder / 'stray' / 'deep' / 'task.py').write_text(TASK)
    monkeypatch.chdir(folder)
    sys.path.insert(0, '')
    assert f'found stray in {folder}' in refusal(contract('stray.deep.task:reward'))
    assert not (folder / 'stray' / 'deep' / 'ran').exists()


def test_what_an_installed_module_imports_is_not_of_the_working_directory_either(
        folder, contract, tmp_path, monkeypatch):
    site = tmp_path / 'site'
    site.mkdir()
    (site / 'installed_task.py').write_text('from stray_task import reward\n')
    monkeypatch.chdir(folder)
    sys.path[:0] = ['', str(site)]
    assert f'found stray_task in {folder}' in refusal(contract('installed_task:reward'))
    assert not (folder / 'ran').exists()


def test_an_installed_module_is_found_behind_one_of_the_working_directory(
        folder, contract, tmp_path, monkeypatch):
    site = tmp_path / 'site'
    site.mkdir()
    (site / 'stray_task.py').write_text(TASK)
    monkeypatch.chdir(folder)
    sys.path[:0] = ['', str(site)]
    assert load_contract(str(contract())).reward_name == 'stray_task:reward'
    assert (site / 'ran').exists() and not (folder / 'ran').exists()


def test_a_module_of_an_allowed_folder_is_taken_wherever_that_is(folder, contract, monkeypatch):
    monkeypatch.setenv(installed.VARIABLE, os.pathsep.join(('/nowhere', str(folder))))
    assert load_contract(str(contract(where=folder))).reward_name == 'stray_task:reward'
    assert str(folder) in sys.path      # a child process of multiprocessing finds it as well


def test_an_allowed_folder_hides_no_library(folder, contract, monkeypatch):
    (folder / 'colorsys.py').write_text(TASK)
    monkeypatch.delitem(sys.modules, 'colorsys', raising=False)
    monkeypatch.setenv(installed.VARIABLE, str(folder))
    assert 'a function of colorsys' in refusal(contract('colorsys:reward'))
    assert not (folder / 'ran').exists()


@pytest.mark.parametrize('linked', [True, False])
def test_the_working_directory_is_searched_where_an_editable_install_links_it(
        folder, contract, tmp_path, monkeypatch, linked):
    site = tmp_path / 'site'
    site.mkdir()
    (site / 'easy-install.pth').write_text(f'import os\n{folder if linked else "/nowhere"}\n')
    monkeypatch.setattr(installed.site, 'getsitepackages', lambda: [str(site)])
    installed._installed.cache_clear()
    monkeypatch.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        if linked:
            load_contract(str(contract()))
        else:
            refusal(contract())
    finally:
        installed._installed.cache_clear()
    assert (folder / 'ran').exists() == linked


def test_a_folder_of_installed_packages_may_be_the_working_directory(contract, monkeypatch):
    monkeypatch.chdir(Path(pytest.__file__).parents[1])
    assert 'a function of _pytest' in refusal(contract('_pytest:reward'))


def test_the_package_of_a_model_is_not_run_from_the_working_directory(folder, tmp_path,
                                                                      monkeypatch):
    (folder / 'stray').mkdir()
    (folder / 'stray' / '__init__.py').write_text(TASK)
    text = contract_path('reach').read_text()
    assert 'robot_rl.tasks:reach.xml' in text
    (tmp_path / 'mine.yaml').write_text(text.replace('robot_rl.tasks:', 'stray.models:'))
    monkeypatch.chdir(folder)
    sys.path.insert(0, '')
    found = load_contract(str(tmp_path / 'mine.yaml')).simulation.model
    assert found == tmp_path / 'stray.models:reach.xml'
    assert not (folder / 'stray' / 'ran').exists()


def test_the_path_stays_as_it_was_but_for_what_a_module_adds(folder, contract, monkeypatch):
    (folder / 'stray_task.py').write_text(f'import sys\nsys.path.append("/added")\n{TASK}')
    sys.path[:0] = ['', str(folder)]
    monkeypatch.chdir(folder.parent)
    before = list(sys.path)
    (folder.parent / 'other').mkdir()
    load_contract(str(contract(where=folder.parent / 'other')))
    assert sys.path == [*before, '/added']


@pytest.mark.parametrize('allow', [False, True])
def test_the_command_run_with_python_m_refuses_the_folder_it_is_run_in(folder, contract, allow):
    contract(where=folder)
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    if allow:
        environment[installed.VARIABLE] = '.'
    result = subprocess.run([sys.executable, '-m', 'robot_rl.cli', 'check', 'mine.yaml'],
                            cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == (0 if allow else 2), result.stderr
    assert (folder / 'ran').exists() == allow
    if not allow:
        assert result.stderr.endswith(f'allow its folder: ROBOT_RL_FUNCTIONS={folder}\n')
