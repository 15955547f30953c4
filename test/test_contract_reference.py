"""docs/contract.md is what the dataclasses say, and they say what the reader of contracts does."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields, is_dataclass
import importlib.util
from pathlib import Path
import re

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile
from robot_rl.fields import OBSERVATION_TYPES, REWARD_TYPES
from robot_rl.schema import Section
import yaml

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location('generate', ROOT / 'docs' / 'generate.py')
GENERATE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(GENERATE)
KEYS = GENERATE.documented()
JOY = 'sensor_msgs/msg/Joy'
# Below these a contract has names of its own.
OWN = re.compile(r'(safety\.limits|simulation\.(observation|action|reset))\.')
# What is needed only where another key says so, and that key.
NEEDED_BY = {'success': 'reward', 'action.measured': 'action.on_stop'}


def _whole() -> list[dict]:
    """Return contracts that have every key: a Joy's, and a leader's with a reward of a topic."""
    joy = yaml.safe_load((ROOT / 'config' / 'puck_push.yaml').read_text())
    joy['action'] |= {'frame_id': 'base', 'measured': [
        f'arm.velocity.{name}' for name in joy['action']['names']]}
    joy['demonstration'] = {'action': 'measured'}
    joy['simulation']['features'] = ['tip']
    joy['display'] = {'path': 'robot_rl.tasks.puck_push:path', 'frame': 'table', 'radius': 0.1,
                      'here': ['tip.point.x', 'tip.point.y', 0.0], 'goal': [0.1, 0.2, 0.0],
                      'text': [0.0, 0.0, 1.0]}
    switch = {'topic': 'joy', 'type': JOY, 'timeout': 0.5}
    joy['safety'] = {
        'limits': {'tip.point.x': [-1.0, 1.0]}, 'policy_late': 5,
        'e_stop': {**switch, 'type': 'std_msgs/msg/Bool'}, 'dead_man': {**switch, 'button': 4},
        'intervention': {**switch, 'axes': [0, 1, 2], 'enable': 5, 'blend': 0.3,
                         'scale': [1, 1, -1],
                         'buttons': {'success': 0, 'failure': 1, 'discard': 2, 'start': 3}}}
    leader = deepcopy(joy)
    leader['safety']['intervention'] = {**switch, 'type': 'sensor_msgs/msg/JointState',
                                        'joints': 'velocity'}
    leader['reward'] = {'topic': 'score', 'type': 'std_msgs/msg/Float32', 'select': ['data'],
                        'max_age': 0.5}
    return [joy, leader]


WHOLE = _whole()


@pytest.fixture
def load(tmp_path):
    """Load a document as a contract file."""
    def do(document: dict):
        path = tmp_path / 'contract.yaml'
        path.write_text(yaml.safe_dump(document))
        return load_contract(str(path))
    return do


def holding(name: str) -> list[tuple[dict, dict, str]]:
    """Return (document, mapping, key) for every mapping of a whole contract that has the key."""
    found = []
    for document in deepcopy(WHOLE):
        *parents, last = name.split('.')
        mapping = document
        for parent in parents:
            mapping = mapping.get(parent, {}) if isinstance(mapping, dict) else {}
            mapping = mapping[0] if isinstance(mapping, list) else mapping
        if isinstance(mapping, dict) and last in mapping:
            found.append((document, mapping, last))
    return found


def plain(value):
    """Return what a contract became as values to compare, without its text."""
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)
                if item.name not in ('file', 'text', 'selection')}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_the_page_is_what_the_dataclasses_say():
    written = (ROOT / 'docs' / 'contract.md').read_text()
    assert written == GENERATE.reference(), 'docs/contract.md is old: make docs'


def test_every_key_that_is_read_is_documented_and_no_other(load, monkeypatch):
    asked, raw = set(), Section.raw

    def spy(self, key, *default):
        asked.add(re.sub(r'\[\d+\]', '', self.path(key)))
        return raw(self, key, *default)

    monkeypatch.setattr(Section, 'raw', spy)
    for document in WHOLE:
        load(document)
    assert {name for name in asked if not OWN.match(name)} == set(KEYS) - {'safety.e_stop.button'}


@pytest.mark.parametrize('name', [name for name, key in KEYS.items() if key.otherwise is None
                                  and name != 'safety.e_stop.button'])
def test_a_required_key_is_missed_by_name(load, name):
    places = holding(name)
    assert places
    for document, mapping, last in places:
        if name in NEEDED_BY and isinstance(document[NEEDED_BY[name]], dict):
            continue
        del mapping[last]
        with pytest.raises(InvalidFile) as caught:
            load(document)
        assert name in {re.sub(r'\[\d+\]', '', problem.key) for problem in caught.value.problems}


@pytest.mark.parametrize('name', [name for name, key in KEYS.items() if key.otherwise is not None])
def test_an_optional_key_means_its_default_where_it_is_left_out(load, name):
    places = holding(name)
    assert places
    for document, mapping, last in places:
        del mapping[last]
        if name == 'action.measured':       # others refer to it
            document.pop('demonstration')
        found = load(document)
        if KEYS[name].otherwise:
            mapping[last] = yaml.safe_load(KEYS[name].otherwise)
            assert plain(load(document)) == plain(found)


def test_every_meaning_is_a_sentence_of_its_own():
    for name, key in KEYS.items():
        assert key.kind and key.meaning and not key.meaning.endswith('.'), name
        assert '|' not in key.kind + key.meaning, name


def test_a_type_that_no_observation_may_have_is_marked():
    rows = {line.split('`')[1]: '(only a reward)' in line
            for line in GENERATE.reference().splitlines()
            if line.startswith('| `') and '/msg/' in line.split('`')[1]}
    assert {name for name, marked in rows.items() if marked} == {*REWARD_TYPES} - {
        *OBSERVATION_TYPES} == {'std_msgs/msg/Float32'}
