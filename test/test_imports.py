"""The core stays free of ROS, and each part of it of the heavy libraries it has no use for."""

from __future__ import annotations

import ast
from pathlib import Path
import subprocess
import sys

import pytest

PACKAGE = Path(__file__).parents[1] / 'robot_rl'
FILES = sorted(PACKAGE.rglob('*.py'))
ROS = {'rclpy', 'launch', 'launch_ros', 'ament_index_python', 'rosbag2_py', 'tf2_ros',
       'rcl_interfaces', 'builtin_interfaces', 'rosidl_runtime_py'}
WITH_ROS = {'ros', 'nodes', 'demo.py', 'session.py'}
FORBIDDEN = {
    'data': {'torch', 'mujoco'},
    'learning': {'mujoco', 'mcap', 'rosbags'},
    'safety': {'torch', 'mujoco', 'mcap', 'rosbags'},
    'sim': {'torch', 'mcap', 'rosbags'},
    'tasks': {'torch', 'mcap', 'rosbags'},
    'nodes': {'mcap', 'rosbags', 'mujoco'},
    'bringup.py': {'torch', 'mujoco', 'numpy', 'mcap', 'rosbags'},
    'contract.py': {'torch', 'mujoco', 'mcap', 'rosbags'},
}


def is_ros(module: str) -> bool:
    return module in ROS or module.endswith(('_msgs', '_srvs'))


def imported(tree: ast.AST) -> set[str]:
    """Return the top-level names of all imports, those inside functions as well."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {name.partition('.')[0] for name in names}


def part(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0]


def name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


@pytest.mark.parametrize('file', [file for file in FILES if part(file) not in WITH_ROS], ids=name)
def test_the_core_imports_no_ros(file):
    assert not {module for module in imported(ast.parse(file.read_text())) if is_ros(module)}


@pytest.mark.parametrize('file', [file for file in FILES if part(file) in FORBIDDEN], ids=name)
def test_a_part_imports_only_the_libraries_it_needs(file):
    assert not imported(ast.parse(file.read_text())) & FORBIDDEN[part(file)]


@pytest.mark.parametrize('file', FILES, ids=name)
def test_nothing_imports_pickle(file):
    assert not imported(ast.parse(file.read_text())) & {'pickle', 'dill', 'joblib', 'shelve',
                                                        'cloudpickle', 'marshal'}


def test_the_guard_of_child_processes_needs_the_standard_library_only():
    modules = imported(ast.parse((PACKAGE / 'processes.py').read_text()))
    assert modules <= set(sys.stdlib_module_names)


def test_the_check_sees_an_import_inside_a_function():
    assert imported(ast.parse('def f():\n    from rclpy.node import Node')) == {'rclpy'}


def test_loading_a_contract_loads_neither_ros_nor_torch():
    script = ('import sys, robot_rl.contract, robot_rl.bringup, robot_rl.processes\n'
              'print(*({"rclpy", "torch", "mujoco"} & set(sys.modules)))')
    result = subprocess.run([sys.executable, '-c', script], cwd=PACKAGE.parent, text=True,
                            capture_output=True, check=True)
    assert result.stdout.strip() == ''
