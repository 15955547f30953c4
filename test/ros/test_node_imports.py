"""A node starts fast because it loads what it uses, and no more."""

from __future__ import annotations

import subprocess
import sys

from every_node import NODES
import pytest

HEAVY = {'torch', 'mujoco', 'matplotlib', 'scipy'}
USES = {'sac_learner': {'torch'}, 'sim_bridge': {'mujoco'}}


@pytest.mark.parametrize('name', NODES)
def test_a_node_loads_only_the_libraries_that_it_uses(name):
    script = f'import sys, robot_rl.nodes.{name}; print(*sorted({HEAVY} & set(sys.modules)))'
    result = subprocess.run([sys.executable, '-P', '-c', script], text=True, capture_output=True,
                            check=True)
    assert set(result.stdout.split()) == USES.get(name, set())


@pytest.mark.parametrize('name, ask', [('sim_bridge', 'training'), ('demo_ingest', 'order')])
def test_who_has_something_trained_beside_it_never_loads_torch(name, ask):
    script = (f'import sys, robot_rl.nodes.{name} as node; node.Settings().{ask}()\n'
              'print("torch" in sys.modules)')
    result = subprocess.run([sys.executable, '-P', '-c', script], text=True, capture_output=True,
                            check=True)
    assert result.stdout == 'False\n'
