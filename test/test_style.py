"""Style: ament_flake8's rules, and the few that it cannot know."""

from __future__ import annotations

from pathlib import Path
import re
import subprocess
import sys

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ('robot_rl', 'launch', 'test', 'benchmarks', 'docs')
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob('*.py'))
PACKAGE = [file for file in FILES if file.is_relative_to(ROOT / 'robot_rl')]
LONGEST = 350       # lines


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_flake8_finds_nothing():
    pytest.importorskip('flake8')
    result = subprocess.run([sys.executable, '-m', 'flake8', *FOLDERS, 'setup.py'], cwd=ROOT,
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize('file', PACKAGE, ids=name)
def test_a_file_has_one_subject_and_fits_the_eye(file):
    assert len(file.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize('file', [file for file in PACKAGE if file.stat().st_size], ids=name)
def test_a_module_says_what_it_is_for(file):
    assert file.read_text().startswith(('"""', '#!'))


def test_test_files_have_different_names():
    names = [file.name for file in FILES if file.name.startswith('test_')]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize('pattern', [
    r'\byaml\.(unsafe_load|full_load|Loader|UnsafeLoader|FullLoader)\b', r'\btorch\.load\(',
    r'allow_pickle=True', r'\bshell=True'])
def test_no_loader_that_runs_what_it_reads(pattern):
    found = [name(file) for file in FILES if file.name != 'test_style.py'
             and re.search(pattern, file.read_text())]
    assert not found
