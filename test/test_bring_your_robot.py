"""docs/bring_your_robot.md and config/robots/: what they name is there, what they show runs."""

from __future__ import annotations

from pathlib import Path
import re
import shlex

import numpy as np
import pytest
from robot_rl.bringup import KINDS
from robot_rl.cli import build_parser
from robot_rl.commands.contracts import shipped
from robot_rl.contract import load_contract
import yaml

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / 'docs' / 'bring_your_robot.md').read_text()
NODES = (ROOT / 'docs' / 'nodes.md').read_text()
FILES = sorted((ROOT / 'config' / 'robots').glob('*.yaml'))
FILES_BY_NAME = {file.stem: file for file in FILES}
COMMANDS = sorted({line.partition('  ')[0] for line in re.findall(r'^robot_rl .*$', GUIDE, re.M)}
                  | set(re.findall(r'`(robot_rl [^`]+\.yaml[^`]*)`', GUIDE)))


@pytest.mark.parametrize('command', COMMANDS)
def test_the_guides_commands_are_understood(command):
    assert build_parser().parse_args(shlex.split(command)[1:]).run


def test_the_guides_nodes_and_services_are_there():
    assert len(COMMANDS) >= 4
    nodes, = re.findall(r'nodes:=([a-z_,]+)', GUIDE)
    assert set(nodes.split(',')) <= set(KINDS['robot'])
    services = re.findall(r'service call /(\w+)/(\w+) (\S+)', GUIDE)
    assert services
    for node, service, kind in services:
        section = NODES.partition(f'\n## {node}\n')[2].partition('\n## ')[0]
        assert f'| `~/{service}` | `{kind}` | serves |' in section


def test_the_guides_safety_section_is_one_of_a_contract(tmp_path):
    block, = re.findall(r'```yaml\n(safety:\n.*?)```', GUIDE, re.S)
    document = yaml.safe_load(FILES_BY_NAME['servo_twist'].read_text())
    path = tmp_path / 'contract.yaml'
    path.write_text(yaml.safe_dump({**document, **yaml.safe_load(block)}))
    assert len(load_contract(path).safety.people) == 3


def test_the_guide_has_a_row_for_each_robot():
    assert set(FILES_BY_NAME) == set(re.findall(r'^\| `(\w+)` \|', GUIDE, re.M))


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_a_robots_contract_is_known_by_its_name_and_by_its_path(file):
    assert load_contract(file.stem).hash == load_contract(file).hash
    assert file.stem in shipped()


@pytest.mark.parametrize('name', ['ur5e_forward', 'fr3_trajectory', 'servo_twist', 'base_cmd_vel'])
def test_a_robots_first_limits_are_far_below_what_it_can(name):
    action = load_contract(name).action
    speed = action.max_rate if action.on_stop == 'hold' else action.high
    can = {'ur5e_forward': 3.14, 'fr3_trajectory': 2.62, 'servo_twist': 1.0,
           'base_cmd_vel': [0.22, 2.84]}[name]
    assert (speed / np.array(can) < 0.7).all()
