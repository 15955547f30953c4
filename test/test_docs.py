from __future__ import annotations

import importlib
from pathlib import Path
import re

import pytest
from robot_rl.bringup import KINDS

ROOT = Path(__file__).parents[1]
TOUR = (ROOT / 'docs' / 'tour.md').read_text()
ALGORITHMS = (ROOT / 'docs' / 'algorithms.md').read_text()
HOSTS = (ROOT / 'docs' / 'multi_host.md').read_text()
PLACES = sorted(set(re.findall(r'`([\w/]+\.py): ([\w.]+)`', TOUR + ALGORITHMS)))
FIELDS = re.findall(r'((?:`\w+`,? )+)of `([\w/]+\.py): (\w+)`', ALGORITHMS)


def test_the_tour_names_every_step():
    assert len(PLACES) > 20


@pytest.mark.parametrize(('file', 'name'), PLACES)
def test_what_the_tour_names_is_there(file, name):
    text = (ROOT / 'robot_rl' / file).read_text()
    for part in name.split('.'):
        assert re.search(rf'^ *(class|def) {part}\b', text, re.MULTILINE), f'{part} in {file}'


@pytest.mark.parametrize(('names', 'file', 'kind'), FIELDS)
def test_the_fields_of_the_glossary_are_there(names, file, kind):
    text = (ROOT / 'robot_rl' / file).read_text().partition(f'class {kind}')[2]
    fields = re.findall(r'^    (\w+): ', text.partition('\nclass ')[0], re.MULTILINE)
    assert set(re.findall(r'\w+', names)) <= set(fields)


def test_the_glossary_says_what_the_defaults_are():
    assert len(FIELDS) > 12
    for names, file, kind in FIELDS:
        found = getattr(importlib.import_module(f'robot_rl.{file[:-3].replace("/", ".")}'), kind)
        row, = [line for line in ALGORITHMS.splitlines() if f'{names}of `{file}: {kind}`' in line]
        for name in re.findall(r'\w+', names):
            default = found.__dataclass_fields__[name].default
            if isinstance(default, float) and default != -1.0 and default > 0.0:
                assert f'{default:g}' in row, row


def test_the_hosts_of_the_guide_share_out_the_whole_graph():
    nodes = ','.join(re.findall(r'nodes:=([a-z_,]+)', HOSTS)).split(',')
    assert sorted(nodes) == sorted(KINDS['robot'])
