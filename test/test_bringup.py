"""The graph: which nodes, which parameters, which topics meet, and the argv that starts them."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from itertools import count
from pathlib import Path
import subprocess
import sys

import pytest

from robot_rl.bringup import (command, FOLDERS, graph, keep_run_contract, KINDS, parameter_text,
                              REMAPPINGS, RUN)
from robot_rl.contract import load_contract
from robot_rl.errors import InvalidFile, UserError
from robot_rl.schema import load_yaml
import yaml

ROOT = Path(__file__).parents[1]

TEXTS = ['y', 'n', 'on', 'off', 'yes', 'no', 'true', '7', '1.5', '~', 'null', '', ' ', '# no',
         'a: b', 'a:=b', "it's", 'say "hi"', 'back\\slash', 'two\nlines', 'grün 😀', '{gap: 1}']
VALUES = [*TEXTS, True, False, 3, -7, 0.5, 5.0, 1e-5, 1e22, float('inf'), float('-inf'),
          ['y', 'n', '7'], [1.0, 2.5], [1, 2], [True, False]]


def named(specs) -> dict:
    return {spec.name: spec for spec in specs}


@pytest.mark.parametrize('kind', KINDS)
def test_every_node_gets_the_contract(kind):
    assert [spec.parameters['contract'] for spec in graph(kind, contract='reach')] == [
        'reach' for _ in KINDS[kind]]


def test_a_contract_file_is_found_from_any_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [ingest] = graph('ingest', contract='mine.yaml')
    assert ingest.parameters['contract'] == str(tmp_path / 'mine.yaml')


@pytest.mark.parametrize(('run_dir', 'params_file', 'kept'), [
    ('here', '', 'here'), ('here', 'mine.yaml', 'here'), ('', '', 'runs/today'),
    ('', 'mine.yaml', None)])
def test_a_run_keeps_its_contract_where_its_folder_is_known(
        tmp_path, monkeypatch, run_dir, params_file, kept):
    monkeypatch.chdir(tmp_path)
    for name in ('puck_push', 'reach'):     # the newest counts: bags have that of their own
        keep_run_contract(name, run_dir, params_file)
    found = [path.relative_to(tmp_path) for path in tmp_path.rglob('*') if path.is_file()]
    assert found == ([Path(kept, 'contract.yaml')] if kept else [])
    if kept:
        assert (tmp_path / found[0]).read_text() == load_contract('reach').text


def test_no_copy_is_kept_of_a_contract_that_is_not_there(tmp_path):
    keep_run_contract(str(tmp_path / 'absent.yaml'), str(tmp_path / 'run'), '')
    assert not (tmp_path / 'run').exists()


def test_the_folder_of_a_run_is_that_of_the_shipped_parameters():
    for spec in (*graph('robot', contract='reach'), *graph('ingest', contract='reach')):
        parameters = load_yaml(Path(spec.parameters_file))[f'/**/{spec.name}']['ros__parameters']
        key, folder = FOLDERS.get(spec.name, ('', ''))
        assert not key or parameters[key] in ('', str(RUN / folder)), spec.name


def test_in_simulation_all_but_the_clock_follow_the_clock():
    specs = graph('sim', contract='puck_push')
    assert {spec.name: spec.parameters['use_sim_time'] for spec in specs} == {
        'sim_bridge': False, 'safety_stop': True, 'policy_server': True, 'data_recorder': True,
        'sac_learner': True}


def test_on_the_robot_the_simulator_trains_and_does_not_play_the_robot():
    assert named(graph('robot', contract='puck_push'))['sim_bridge'].parameters['twin'] is False
    assert named(graph('sim', contract='puck_push'))['sim_bridge'].parameters['twin'] is True


@pytest.mark.parametrize('node, parameter', [('safety_stop', 'timeout'),
                                             ('policy_server', 'late_timeout')])
def test_what_is_late_is_waited_for_where_nothing_real_moves_and_only_there(node, parameter):
    waits = {kind: named(graph(kind, contract='puck_push'))[node].parameters
             for kind in ('sim', 'robot')}
    assert waits['sim'][parameter] == 1.0
    assert parameter not in waits['robot']


def test_on_the_robot_the_parameter_file_chooses_the_clock():
    specs = graph('robot', contract='puck_push')
    assert not any('use_sim_time' in spec.parameters for spec in specs)


def test_use_sim_time_given_holds_on_the_robot():
    specs = graph('robot', contract='puck_push', use_sim_time=False)
    assert [spec.parameters['use_sim_time'] for spec in specs] == [False] * 5


def test_no_seed_leaves_it_to_the_parameter_file():
    assert not any('seed' in spec.parameters for spec in graph('sim', contract='puck_push'))


def test_a_seed_reaches_every_node_that_draws():
    specs = graph('sim', contract='puck_push', seed=5)
    assert {spec.name for spec in specs if spec.parameters.get('seed') == 5} == {
        'policy_server', 'sac_learner', 'sim_bridge'}


def test_what_the_nodes_write_goes_below_the_run_folder(tmp_path):
    specs = named(graph('sim', contract='puck_push', run_dir=str(tmp_path)))
    assert specs['sim_bridge'].parameters['explorers_dir'] == str(tmp_path / 'explorers')
    assert specs['policy_server'].parameters['kept_dir'] == str(tmp_path / 'kept')
    assert specs['data_recorder'].parameters['bag_root'] == str(tmp_path / 'bags')
    assert specs['sac_learner'].parameters['checkpoint_dir'] == str(tmp_path / 'checkpoints')
    [ingest] = graph('ingest', contract='puck_push', run_dir=str(tmp_path))
    assert ingest.parameters['fit_dir'] == str(tmp_path / 'demonstrators')


def test_overrides_win_over_arguments():
    specs = named(graph('sim', contract='puck_push', seed=5,
                        overrides={'sim_bridge': {'seed': 6, 'lockstep': True}}))
    assert specs['sim_bridge'].parameters['seed'] == 6
    assert specs['sim_bridge'].parameters['lockstep'] is True
    assert specs['sac_learner'].parameters['seed'] == 5


def test_a_host_starts_the_nodes_that_are_its_own_in_their_order():
    robot = graph('robot', contract='puck_push', nodes=('data_recorder', 'safety_stop'))
    assert [spec.name for spec in robot] == ['safety_stop', 'data_recorder']
    everything = named(graph('robot', contract='puck_push'))
    assert list(robot) == [everything['safety_stop'], everything['data_recorder']]


def test_a_host_cannot_start_a_node_that_the_graph_does_not_have():
    with pytest.raises(UserError, match="nodes: expected nodes of robot .*, found 'learner'"):
        graph('robot', contract='puck_push', nodes=('sac_learner', 'learner'))


def test_an_override_of_a_node_that_does_not_run_is_refused():
    with pytest.raises(UserError, match='ingest.*demo_ingest.*sim_bridge'):
        graph('ingest', contract='puck_push', overrides={'sim_bridge': {}})


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="expected one of sim, robot, ingest, found 'real'"):
        graph('real', contract='puck_push')


def test_a_missing_parameter_file_is_refused(tmp_path):
    with pytest.raises(InvalidFile, match='absent.yaml: params_file: expected a file'):
        graph('sim', contract='puck_push', params_file=str(tmp_path / 'absent.yaml'))


def test_without_a_parameter_file_the_shipped_one_is_used():
    files = {spec.parameters_file for spec in graph('sim', contract='puck_push')}
    assert files == {str(ROOT / 'config/robot_rl.yaml')}


def test_joined_topics_name_nodes_of_the_graph():
    targets = [target for remappings in REMAPPINGS.values() for source, target in remappings
               if not source.startswith('/')]
    assert {target.split('/')[0] for target in targets} <= set(KINDS['robot'])


def test_all_joined_names_are_relative_so_that_a_namespace_moves_them():
    assert not [target for remappings in REMAPPINGS.values() for _, target in remappings
                if target.startswith('/')]


def test_command_of_a_node():
    spec = named(graph('sim', contract='puck_push', namespace='/cell/'))['data_recorder']
    assert command(spec, log_level='warn') == [
        sys.executable, '-P', '-m', 'robot_rl.nodes.data_recorder', '--ros-args',
        '--enclave', '/robot_rl/data_recorder',
        '-r', '__node:=data_recorder', '-r', '__ns:=/cell',
        '-r', 'steps:=policy_server/steps', '-r', 'events:=policy_server/events',
        '-r', 'safety_events:=safety_stop/events',
        '--params-file', str(ROOT / 'config/robot_rl.yaml'),
        '-p', 'contract:="puck_push"', '-p', 'use_sim_time:=true', '--log-level', 'warn']


@pytest.mark.parametrize('value', VALUES, ids=repr)
def test_a_parameter_is_the_same_after_yaml(value):
    text = parameter_text(value)
    if 'e' not in text or not isinstance(value, float):     # YAML 1.1 wants 1.0e-5; rcl does not
        assert yaml.safe_load(text) == value
        assert type(yaml.safe_load(text)) is type(value)


@pytest.mark.parametrize('value', [None, {'a': 1}, b'bytes'])
def test_a_value_that_no_parameter_can_hold_is_refused(value):
    with pytest.raises(UserError, match='parameter: expected'):
        parameter_text(value)


def ros_parameters(spec) -> dict:
    """Return the parameters that a real node started with the argv of `spec` has."""
    rclpy = pytest.importorskip('rclpy')
    node_module = pytest.importorskip('rclpy.node')
    context = pytest.importorskip('rclpy.context').Context()
    rclpy.init(args=command(spec), context=context)
    node = node_module.Node(spec.name, context=context, enable_rosout=False,
                            start_parameter_services=False,
                            automatically_declare_parameters_from_overrides=True)
    try:
        return {name: node.get_parameter(name).value for name in node._parameters}
    finally:
        node.destroy_node()
        context.try_shutdown()


def test_rcl_reads_every_parameter_back_with_its_type():
    values = {f'value{index}': value for index, value in zip(count(), VALUES)}
    spec = named(graph('robot', contract='7', overrides={'sac_learner': values}))['sac_learner']
    found = ros_parameters(spec)
    assert {name: found[name] for name in values} == values
    assert [type(found[name]) for name in values] == [type(value) for value in VALUES]
    assert found['contract'] == '7'


@pytest.mark.parametrize('namespace', ['', 'cell/one'])
def test_the_shipped_parameters_reach_a_node_in_any_namespace(namespace):
    [spec] = graph('ingest', contract='reach', namespace=namespace)
    found = ros_parameters(spec)
    assert (found['contract'], found['bags']) == ('reach', [''])


def shipped(node: str) -> dict:
    return load_yaml(ROOT / 'config/robot_rl.yaml')[f'/**/{node}']['ros__parameters']


def test_the_shipped_parameters_name_every_node():
    nodes = {name for names in KINDS.values() for name in names}
    assert set(load_yaml(ROOT / 'config/robot_rl.yaml')) == {f'/**/{name}' for name in nodes}


@pytest.mark.parametrize('node', KINDS['sim'])
def test_the_shipped_parameters_are_those_that_the_node_declares_at_their_defaults(node):
    pytest.importorskip('rclpy')
    settings = import_module(f'robot_rl.nodes.{node}').Settings
    defaults = {item.name: list(item.default) if isinstance(item.default, tuple) else item.default
                for item in fields(settings)}
    folders = ('bag_root', 'checkpoint_dir', 'explorers_dir')
    chosen = {name: shipped(node)[name] for name in ('contract', *folders) if name in defaults}
    assert shipped(node) == {**defaults, **chosen}
    assert {name: type(value) for name, value in shipped(node).items()} == {
        name: type(value) for name, value in defaults.items()}


def test_policy_server_and_simulator_agree_on_lockstep():
    assert shipped('policy_server')['lockstep'] == shipped('sim_bridge')['lockstep']


def test_no_module_of_the_working_directory_shadows_a_library_of_a_node(tmp_path):
    (tmp_path / 'numpy.py').write_text('raise SystemExit("shadowed")')
    spec = named(graph('sim', contract='no such contract'))['policy_server']
    result = subprocess.run(command(spec), cwd=tmp_path, capture_output=True, text=True,
                            timeout=60.0)
    assert result.returncode == 2 and 'no such contract' in result.stderr
