"""Metadata agrees with the files, and `make setup` says clearly what a machine lacks."""

from __future__ import annotations

import ast
from importlib import import_module
import os
from pathlib import Path
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

import robot_rl
from robot_rl.bringup import KINDS

ROOT = Path(__file__).parents[1]
XML = ElementTree.parse(ROOT / 'package.xml').getroot()


@pytest.fixture(scope='module')
def metadata() -> dict:
    """Return the arguments that setup.py gives to setup()."""
    setuptools = pytest.importorskip('setuptools')
    arguments = {}
    script = compile((ROOT / 'setup.py').read_text(), 'setup.py', 'exec')
    original, folder = setuptools.setup, os.getcwd()
    setuptools.setup = lambda **given: arguments.update(given)
    os.chdir(ROOT)
    try:
        exec(script, {'__name__': '__main__'})  # noqa: S102, our own setup.py
    finally:
        setuptools.setup = original
        os.chdir(folder)
    return arguments


def dependencies(tag: str) -> set[str]:
    return {element.text for element in XML.findall(tag)}


def test_versions_agree(metadata):
    assert {metadata['version'], XML.findtext('version'), robot_rl.__version__} == {'0.1.0'}


def test_names_and_licence_agree(metadata):
    assert {metadata['name'], XML.findtext('name')} == {'robot_rl'}
    assert {metadata['license'], XML.findtext('license')} == {'Apache-2.0'}
    assert 'Apache License' in (ROOT / 'LICENSE').read_text()


def test_colcon_sees_an_ament_python_package():
    packages = pytest.importorskip('catkin_pkg.package')
    package = packages.parse_package(str(ROOT))
    assert package.get_build_type() == 'ament_python'
    assert package.package_format == 3


def test_package_xml_names_no_schema_because_ament_xmllint_would_fetch_it():
    assert 'xml-model' not in (ROOT / 'package.xml').read_text()


def test_every_file_to_install_exists(metadata):
    installed = {file for _, files in metadata['data_files'] for file in files}
    assert not [file for file in installed if not (ROOT / file).is_file()]


@pytest.mark.parametrize('folder, pattern', [
    ('config', '*.yaml'), ('config/robots', '*.yaml'), ('launch', '*.py'), ('rviz', '*')])
def test_every_shared_file_is_installed(metadata, folder, pattern):
    installed = {file for _, files in metadata['data_files'] for file in files}
    here = {f'{folder}/{file.name}' for file in (ROOT / folder).glob(pattern) if file.is_file()}
    assert here and here <= installed


def test_every_folder_of_the_package_is_installed(metadata):
    folders = {str(file.parent.relative_to(ROOT)).replace('/', '.')
               for file in (ROOT / 'robot_rl').rglob('*.py')}
    assert set(metadata['packages']) == folders


def test_executables_land_where_ros2_run_looks():
    text = (ROOT / 'setup.cfg').read_text()
    assert 'install_scripts=$base/lib/robot_rl' in text
    assert 'script_dir=$base/lib/robot_rl' in text


def test_every_node_of_the_graph_has_an_executable(metadata):
    scripts = dict(line.split(' = ') for line in metadata['entry_points']['console_scripts'])
    nodes = {name: f'robot_rl.ros.start:{name}' for names in KINDS.values() for name in names}
    assert scripts == {**nodes, 'robot_rl': 'robot_rl.cli:main'}


def test_every_executable_calls_what_is_there(metadata):
    for line in metadata['entry_points']['console_scripts']:
        module, _, name = line.split(' = ')[1].partition(':')
        assert callable(getattr(import_module(module), name)), line


def test_every_requirement_is_pinned_for_make_setup(metadata):
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    pinned = {line.partition('==')[0].lower() for line in lines if '==' in line}
    wanted = [*metadata['install_requires'], *metadata['extras_require']['ros'],
              *metadata['extras_require']['test'], *metadata['extras_require']['docs']]
    names = {text.split('>')[0].split('<')[0].split('[')[0] for text in wanted}
    assert not names - pinned


def test_every_message_package_in_use_is_a_dependency():
    used = set()
    for folder in ('ros', 'nodes'):
        for file in (ROOT / 'robot_rl' / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    used.add(node.module.partition('.')[0])
    used = {module for module in used if module.endswith(('_msgs', '_srvs', '_interfaces'))}
    assert not used - dependencies('exec_depend')


def make(tmp_path, python: str) -> subprocess.CompletedProcess:
    """Run `make setup` in a copy, with a stand-in for python3."""
    if not shutil.which('make'):
        pytest.skip('needs make')
    for file in ('Makefile', 'setup.py', 'constraints.txt'):
        shutil.copy(ROOT / file, tmp_path)
    interpreter = tmp_path / 'python3'
    interpreter.write_text(f'#!/bin/sh\n{python}\n')
    interpreter.chmod(interpreter.stat().st_mode | stat.S_IXUSR)
    return subprocess.run(['make', 'setup', f'PYTHON={interpreter}'], cwd=tmp_path, text=True,
                          capture_output=True)


def test_make_setup_says_so_if_python_lacks_ensurepip(tmp_path):
    (tmp_path / 'ensurepip.py').write_text('raise ImportError')
    result = make(tmp_path, f'PYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"')
    assert result.returncode == 2
    assert 'expected the modules venv and ensurepip' in result.stderr
    assert 'apt install python3-venv' in result.stderr
    assert not (tmp_path / '.venv').exists()


def test_make_setup_says_so_if_python_is_of_another_version(tmp_path):
    result = make(tmp_path, 'exit 1')
    assert result.returncode == 2
    assert 'expected Python 3.11, 3.12 or 3.13' in result.stderr
    assert not (tmp_path / '.venv').exists()
