"""Nothing in the package runs what it reads, and what it reads is bounded."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from robot_rl.bounded_yaml import load_bounded, MAX_DEPTH, MAX_MERGED
from robot_rl.contract import load_contract
from robot_rl.data.bag_metadata import parse_info
from robot_rl.data.intake import Intake, MAX_MESSAGE_BYTES
from robot_rl.errors import InvalidFile, UserError
from robot_rl.sim.gap import load_gap
import yaml

PACKAGE = Path(__file__).parents[1] / 'robot_rl'
FILES = sorted(PACKAGE.rglob('*.py'))
MODULES = {'pickle', '_pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve',
           'jsonpickle', 'code', 'codeop'}
BUILTINS = {'eval', 'exec', 'compile', '__import__'}
CALLS = {f'{module}.{call}' for module, calls in {
    'torch': ('load', 'jit.load', 'hub.load'), 'pandas': ('read_pickle',),
    'yaml': ('load_all', 'unsafe_load', 'full_load'), 'os': ('system', 'popen'),
    'runpy': ('run_path',), 'subprocess': ('getoutput', 'getstatusoutput')}.items()
    for call in calls}
ONE_YAML_LOADER = 'bounded_yaml.py'


def name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def dangers(source: str, file: str = '') -> list[str]:
    """Return what a source has that could run the data it reads."""
    found, names = [], {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(alias.asname or alias.name).partition('.')[0]:
                      alias.name if alias.asname else alias.name.partition('.')[0]
                      for alias in node.names}
            found += [alias.name for alias in node.names
                      if alias.name.partition('.')[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name: f'{node.module}.{alias.name}'
                      for alias in node.names}
            found += [node.module] if node.module.partition('.')[0] in MODULES else []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, dot, rest = ast.unparse(node.func).partition('.')
        called = names.get(head, head) + dot + rest
        given = {word.arg: word.value for word in node.keywords}
        if called in BUILTINS or called in CALLS:
            found.append(called)
        if called in ('yaml.load', 'yaml.safe_load') and file != ONE_YAML_LOADER:
            found.append(called)        # one that bounds nothing
        for word, harmless in (('shell', False), ('allow_pickle', False), ('weights_only', None)):
            if word in given and getattr(given[word], 'value', '') is not harmless:
                found.append(f'{word} in {called}')
    return found


@pytest.mark.parametrize('file', FILES, ids=name)
def test_nothing_in_a_file_runs_what_it_reads(file):
    assert dangers(file.read_text(), file.name) == []


@pytest.mark.parametrize(('source', 'found'), [
    ('import pickle', 'pickle'), ('from pickle import loads', 'pickle'),
    ('def f():\n    import shelve', 'shelve'), ('import os.path, marshal as m', 'marshal'),
    ('import torch\ntorch.load(f)', 'torch.load'), ('import torch as t\nt.load(f)', 'torch.load'),
    ('from torch import load\nload(f)', 'torch.load'), ('eval(text)', 'eval'),
    ('exec(text)', 'exec'), ('import yaml\nyaml.load(t, Loader)', 'yaml.load'),
    ('from yaml import load_all as go\ngo(t)', 'yaml.load_all'),
    ('import numpy as np\nnp.load(f, allow_pickle = True)', 'allow_pickle in numpy.load'),
    ('import numpy as np\nnp.load(f, allow_pickle=maybe)', 'allow_pickle in numpy.load'),
    ('import subprocess\nsubprocess.run(t, shell = True)', 'shell in subprocess.run'),
    ('from os import system\nsystem(t)', 'os.system')])
def test_the_check_sees(source, found):
    assert dangers(source) == [found]


@pytest.mark.parametrize('source', [
    'import numpy as np\nnp.load(f, allow_pickle=False)', 'model.eval()',
    'import re\nre.compile(t)', 'import subprocess\nsubprocess.run(command)',
    'from safetensors.numpy import load\nload(t)'])
def test_the_check_does_not_see_ghosts(source):
    assert dangers(source) == []


def bomb(levels: int) -> str:
    """Return mappings, each with nine times the keys of the one before."""
    rows = ['a0: &a0 {' + ', '.join(f'k{index}: 1' for index in range(9)) + '}']
    rows += [f'a{level}: &a{level} {{<<: [{", ".join([f"*a{level - 1}"] * 9)}]}}'
             for level in range(1, levels)]
    return '\n'.join(rows)


def chain(links: int) -> str:
    """Return mappings, each with one key more than the one before."""
    return 'a0: &a0 {k0: 1}\n' + '\n'.join(
        f'a{link}: &a{link} {{<<: *a{link - 1}, k{link}: 1}}' for link in range(1, links))


def aliases(levels: int) -> str:
    return 'a0: &a0 [1]\n' + '\n'.join(
        f'a{level}: &a{level} [{", ".join([f"*a{level - 1}"] * 9)}]' for level in range(1, levels))


BOMBS = {'merges of merges': bomb(30), 'a chain of merges': chain(2000),
         'merges side by side': f'{bomb(1)}\nb: {{{", ".join(["<<: *a0"] * 9)}}}',
         'flow nesting': '[' * 300_000, 'nested mappings': '{a: ' * 300_000,
         'block nesting': '- ' * 300_000, 'explicit keys': '? ' * 300_000,
         'many values': '[' + '1, ' * 1_100_000 + ']', 'a date that is none': 'a: 2001-99-99',
         'a float that is none': 'a: !!float', 'a key that cannot be one': '{[1]: {[]: 2}}'}


@pytest.mark.parametrize('text', BOMBS.values(), ids=list(BOMBS))
def test_a_text_that_costs_more_than_it_is_long_is_refused(text, tmp_path):
    with pytest.raises(yaml.YAMLError):
        load_bounded(text, 1_000_000)
    with pytest.raises(InvalidFile):        # as in a recording that was interrupted
        parse_info(tmp_path / 'bag.mcap', text, complete=False)
    (tmp_path / 'contract.yaml').write_text(text)
    with pytest.raises(InvalidFile):
        load_contract(str(tmp_path / 'contract.yaml'))


def test_aliases_of_aliases_cost_nothing():
    assert len(load_bounded(aliases(30), 1_000)) == 30


def test_the_bounds_are_where_they_are_said_to_be():
    assert load_bounded('[' * MAX_DEPTH + ']' * MAX_DEPTH, 1000)
    with pytest.raises(yaml.YAMLError, match='nested more than 100 deep'):
        load_bounded('[' * (MAX_DEPTH + 1) + ']' * (MAX_DEPTH + 1), 1000)
    with pytest.raises(yaml.YAMLError, match=f'copies more than {MAX_MERGED} keys'):
        load_bounded(chain(200), 10_000)
    assert len(load_bounded(chain(100), 10_000)) == 100
    with pytest.raises(yaml.YAMLError, match='more than 10 values'):
        load_bounded('[1, 2, 3, 4, 5, 6, 7]', 10)


def test_a_gap_with_a_date_that_is_none_is_refused():
    with pytest.raises(InvalidFile, match='gap: value: expected one of'):
        load_gap('{friction: 2001-99-99}')


def test_a_contract_of_very_many_names_is_refused_at_once(tmp_path):
    names = ', '.join(f'j{index}' for index in range(50_000))
    (tmp_path / 'long.yaml').write_text(f'action: {{names: [{names}]}}\n')
    with pytest.raises(InvalidFile, match='more than 10000 values'):
        load_contract(str(tmp_path / 'long.yaml'))


def test_of_very_many_unknown_keys_the_first_are_named(tmp_path):
    (tmp_path / 'keys.yaml').write_text(''.join(f'key{index}: 1\n' for index in range(2_000)))
    with pytest.raises(UserError) as caught:
        load_contract(str(tmp_path / 'keys.yaml'))
    assert sum('expected a known key' in line for line in str(caught.value).splitlines()) == 20


def test_a_message_that_no_chunk_should_hold_is_dropped_and_counted():
    intake = Intake(1 << 30)
    assert not intake.put(3, bytes(MAX_MESSAGE_BYTES + 1), 0, 0)
    assert intake.put(3, bytes(MAX_MESSAGE_BYTES), 0, 0)
    assert intake.missed()['dropped'] == 1
