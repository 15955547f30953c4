from __future__ import annotations

from pathlib import Path
import re

import pytest
from robot_rl.bringup import KINDS

ROOT = Path(__file__).parents[1]
TOUR = (ROOT / 'docs' / 'tour.md').read_text()
HOSTS = (ROOT / 'docs' / 'multi_host.md').read_text()
PLACES = sorted(set(re.findall(r'`([\w/]+\.py): ([\w.]+)`', TOUR)))


def test_the_tour_names_every_step():
    assert len(PLACES) > 20


@pytest.mark.parametrize(('file', 'name'), PLACES)
def test_what_the_tour_names_is_there(file, name):
    text = (ROOT / 'robot_rl' / file).read_text()
    for part in name.split('.'):
        assert re.search(rf'^ *(class|def) {part}\b', text, re.MULTILINE), f'{part} in {file}'


def test_the_hosts_of_the_guide_share_out_the_whole_graph():
    nodes = ','.join(re.findall(r'nodes:=([a-z_,]+)', HOSTS)).split(',')
    assert sorted(nodes) == sorted(KINDS['robot'])
