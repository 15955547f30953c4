"""The tables of docs/nodes.md, and the services of README.md, against the running nodes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
import re

from every_node import folders, node_class, NODES, settings
import pytest
from robot_rl.contract import load_contract

ROOT = Path(__file__).parents[2]
TABLES = ROOT / 'docs' / 'nodes.md'
CONTRACT = load_contract('reach')
# What a contract names is one row of each table.
OF_CONTRACT = {**{f'/{entry.topic}': 'observation topics' for entry in CONTRACT.observations},
               f'/{CONTRACT.action.topic}': 'action topic',
               f'/{CONTRACT.episode.reset_service}': 'reset service'}
OF_ROS = {'/rosout', '/parameter_events', '~/transition_event',
          '~/describe_parameters', '~/get_parameter_types', '~/get_parameters',
          '~/get_type_description', '~/list_parameters', '~/set_parameters',
          '~/set_parameters_atomically', '~/change_state', '~/get_state',
          '~/get_available_states', '~/get_available_transitions', '~/get_transition_graph'}
ABSOLUTE = {'/clock', '/diagnostics', '/tf'}
IF_INSTALLED = set() if importlib.util.find_spec('tf2_msgs') else {'/tf'}
TYPES = {bool: 'bool', int: 'integer', float: 'double', str: 'string', tuple: 'string array'}
ANY_NODE = pytest.mark.parametrize('name', NODES)


def rows(node: str, heading: str) -> list[list[str]]:
    """Return the cells of one table, without its head."""
    section = TABLES.read_text().partition(f'\n## {node}\n')[2].partition('\n## ')[0]
    table = section.partition(f'\n### {heading}\n')[2].partition('\n### ')[0]
    lines = [line for line in table.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in lines[2:]]


def documented(node: str, heading: str) -> set[tuple[str, str, str]]:
    """Return (name, type, direction) of every row; names and types are in backticks."""
    return {(name.strip('`'), kind.strip('`'), direction)
            for name, kind, direction, _ in rows(node, heading) if name.strip('`')
            not in IF_INSTALLED}


def spoken(bench, directions: dict[str, str]) -> set[tuple[str, str, str]]:
    """Return the same of a running node; `directions` maps rclpy's words to the table's."""
    found = set()
    for word, direction in directions.items():
        ask = getattr(bench.probe, f'get_{word}_names_and_types_by_node')
        for name, types in ask(bench.name, '/'):
            own = name.startswith(f'/{bench.name}/')
            if name in OF_CONTRACT and not own:
                found.add((OF_CONTRACT[name], 'of the contract', direction))
                continue
            name = f'~/{name.rpartition("/")[2]}' if own else name
            name = name if name.startswith('~') or name in ABSOLUTE | OF_ROS else name[1:]
            if name not in OF_ROS:
                found |= {(name, kind, direction) for kind in types}
    return found


def parameter_row(key: str, item) -> list[str]:
    """Return what the table says of a parameter."""
    data = item.metadata
    default = item.default
    shown = (f"'{default}'" if isinstance(default, str)
             else str(list(default)) if isinstance(default, tuple)
             else str(default).lower() if isinstance(default, bool) else str(default))
    notes = [data['description']]
    if data['choices']:
        notes.append(', '.join(choice or "''" for choice in data['choices']))
    if data['low'] is not None:
        notes.append(f'{data["low"]} to {data["high"]}' if data['high'] is not None
                     else f'at least {data["low"]}')
    if data['live']:
        notes.append('may change while running')
    return [f'`{key}`', TYPES[type(default)], f'`{shown}`', '; '.join(notes)]


@pytest.fixture
def alone(start, tmp_path):
    """Start a node under its own names, as nobody joined it to others."""
    def begin(name: str):
        bench = start(node_class(name), remappings=(), **folders(name, tmp_path))
        if name == 'policy_server':
            bench.until(lambda: bench.status.get('text', '').endswith('idle'))
        return bench
    return begin


def compare(bench, heading: str, directions: dict[str, str]) -> None:
    """Wait until the graph shows what the table says; else fail with the difference."""
    expected = documented(bench.name, heading)
    try:
        bench.until(lambda: spoken(bench, directions) == expected)
    except AssertionError:
        found = spoken(bench, directions)
        raise AssertionError(f'only in {TABLES.name}: {sorted(expected - found)}; '
                             f'only in the node: {sorted(found - expected)}') from None


@ANY_NODE
def test_the_topics_are_those_of_the_node(alone, name):
    compare(alone(name), 'Topics', {'publisher': 'publishes', 'subscriber': 'subscribes'})


@ANY_NODE
def test_the_services_are_those_of_the_node(alone, name):
    compare(alone(name), 'Services', {'service': 'serves', 'client': 'calls'})


@ANY_NODE
def test_the_parameters_are_those_of_the_node(name):
    expected = [parameter_row(key, item) for key, item in settings(name).items()]
    table = '\n'.join(f'| {" | ".join(row)} |' for row in expected)
    assert rows(name, 'Parameters') == expected, f'the table of {name} should be\n{table}'


@ANY_NODE
@pytest.mark.parametrize('heading', ['Topics', 'Services', 'Parameters'])
def test_every_row_has_a_meaning(name, heading):
    found = rows(name, heading)
    assert found
    assert all(len(row) == 4 and all(row) for row in found)


@ANY_NODE
def test_the_readme_names_services_that_the_table_has(name):
    [row] = [line for line in (ROOT / 'README.md').read_text().splitlines()
             if line.startswith(f'| `{name}` |')]
    called = set(re.findall(r'`(~/\w+)`', row.rpartition(' | ')[2]))
    assert called and called <= {service.strip('`') for service, *_ in rows(name, 'Services')}
