"""The six nodes, each with what it needs to start in an empty folder."""

from __future__ import annotations

from dataclasses import fields
import importlib
from pathlib import Path

NODES = {'policy_server': 'PolicyServer', 'safety_stop': 'SafetyStop',
         'data_recorder': 'DataRecorder', 'sac_learner': 'SacLearner', 'sim_bridge': 'SimBridge',
         'demo_ingest': 'DemoIngest'}


def node_class(name: str) -> type:
    return getattr(importlib.import_module(f'robot_rl.nodes.{name}'), NODES[name])


def settings(name: str) -> dict:
    """Return the declared parameters: {name: dataclass field}."""
    kind = importlib.import_module(f'robot_rl.nodes.{name}').Settings
    return {item.name: item for item in fields(kind)}


def folders(name: str, root: Path) -> dict[str, str]:
    """Return the parameters that keep a node from writing elsewhere."""
    return {'data_recorder': {'bag_root': str(root / 'bags')},
            'sac_learner': {'checkpoint_dir': str(root / 'checkpoints')},
            'sim_bridge': {'explorers_dir': str(root / 'explorers')},
            'demo_ingest': {'fit_dir': str(root / 'demonstrators')}}.get(name, {})
